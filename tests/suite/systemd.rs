//! The systemd units: what systemd itself says of them. Where its tools are not there, there is nothing to ask.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis_tests::program;

const UNITS: [&str; 2] = ["portcullis-control.service", "portcullis-dataplane@.service"];
/// systemd's measure of how much a service could do; 10 is everything.
const EXPOSURE: f64 = 2.0;

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd")
}

/// Runs `systemd-analyze`, if it is there.
#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
fn analyze(args: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").arg("--no-pager").args(args).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: systemd-analyze: {error}");
            None
        }
    }
}

#[test]
fn the_services_may_do_next_to_nothing() {
    for unit in UNITS {
        let path = units().join(unit);
        let Some(output) = analyze(&["security", "--offline=true", path.to_str().unwrap()]) else { return };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // An old one does not know the option; and it may say nothing without a bus.
        let Some(line) = text.lines().find(|line| line.contains("Overall exposure level")) else { return };
        let level = line.rsplit(": ").next().and_then(|rest| rest.split(' ').next()).unwrap();
        let level: f64 = level.parse().unwrap();
        assert!(level <= EXPOSURE, "{unit}: {level}\n{text}");
    }
}

#[test]
fn systemd_understands_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let bin = program("portcullis").parent().unwrap().display().to_string();
    for unit in UNITS {
        let text = std::fs::read_to_string(units().join(unit)).unwrap();
        std::fs::write(folder.path().join(unit), text.replace("/usr/local/bin", &bin)).unwrap();
    }
    let named = ["portcullis-control.service", "portcullis-dataplane@1.service"]
        .map(|name| folder.path().join(name).display().to_string());
    let Some(output) = analyze(&["verify", &named[0], &named[1]]) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("portcullis")).collect();
    assert!(ours.is_empty(), "{said}");
}
