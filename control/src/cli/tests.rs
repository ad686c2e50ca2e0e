//! The grammar as a whole: help texts, usage errors, completions.

use super::args::{Cli, Command};
use clap::{CommandFactory, Parser};

#[test]
fn the_grammar_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_help_with_an_example() {
    let root = Cli::command();
    for command in root.get_subcommands() {
        let name = command.get_name();
        let help = command.clone().render_long_help().to_string();
        assert!(command.get_about().is_some(), "{name} says nothing about itself");
        if name != "version" {
            assert!(help.contains("Examples:"), "{name} shows no example:\n{help}");
        }
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{name} does not explain {}", arg.get_id());
        }
    }
    assert!(root.clone().render_help().to_string().contains("Exit status"));
}

#[test]
fn usage_errors_end_with_two() {
    for line in [
        vec!["portcullis", "check"],
        vec!["portcullis", "frobnicate"],
        vec!["portcullis", "get", "pods"],
        vec!["portcullis", "get", "vs", "-o", "xml"],
        vec!["portcullis", "up", "--config", ".", "--workers", "0"],
        vec!["portcullis", "hello", "--tls-cert", "x"],
    ] {
        let error = Cli::try_parse_from(&line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line:?}");
    }
}

#[test]
fn up_takes_the_documented_arguments() {
    let line = [
        "portcullis",
        "up",
        "--config",
        "c",
        "--workers",
        "3",
        "--data-dir",
        "d",
        "--admin",
        "127.0.0.1:29000",
        "--access-log",
        "off",
    ];
    let Command::Up(args) = Cli::try_parse_from(line).unwrap().command else { panic!("not up") };
    assert_eq!((args.workers, args.admin.port()), (Some(3), 29000));
    assert_eq!(args.access_log.as_os_str(), "off");
}

#[test]
fn completions_exist_for_the_usual_shells() {
    for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("explain"), "{shell}");
        // The generator for fish leaves out positional arguments.
        assert!(script.contains("virtualservices") || shell == clap_complete::Shell::Fish, "{shell}");
    }
}
