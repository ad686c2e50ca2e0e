//! The command line `portcullis`.
//!
//! Owns what a person types and reads: arguments, messages, tables, exit codes. The work is done by the core (`check`
//! and `explain` call the same functions as control does) or by a running control process, asked over its admin API.
//! Must not contain rules of the Gloo API, and links no data plane code.
//!
//! Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 the answer is "no" (rejected, not found, not
//! reachable), 2 the command line itself is wrong.

mod args;
pub mod check;
mod client;
mod console;
pub mod explain;
mod get;
mod hello;
mod offline;
#[cfg(test)]
mod tests;
mod up;
mod yaml;

pub use args::Cli;

use args::Command;
use clap::{CommandFactory, Parser};
use console::Console;
use std::process::ExitCode;

/// What a command ends with when it did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The answer is "no", and the command has already said why on stdout.
    #[error("")]
    Silent,
    /// The answer is "no", for this reason.
    #[error("{0}")]
    Because(String),
    /// The arguments do not make sense together.
    #[error("{0}")]
    Usage(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // The reader of a pipe has seen enough (`portcullis get all | head`): that is its right.
            std::io::ErrorKind::BrokenPipe => Failure::Silent,
            _ => Failure::Because(error.to_string()),
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = Console::of_this_process();
    match run(cli, &console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Silent) => ExitCode::from(1),
        Err(Failure::Because(reason)) => {
            console.error(&reason);
            ExitCode::from(1)
        }
        Err(Failure::Usage(reason)) => {
            console.error(&reason);
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli, console: &Console) -> Result<(), Failure> {
    match cli.command {
        Command::Up(args) => runtime()?.block_on(up::run(args, console)),
        Command::Check(args) => check::run(&args, console),
        Command::Get(args) => runtime()?.block_on(get::run(&args, console)),
        Command::Explain(args) => explain::run(&args, console),
        Command::Hello(args) => runtime()?.block_on(hello::run(args, console)),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut text);
            console.data(&String::from_utf8_lossy(&text))
        }
        Command::Version => console.data(&format!("portcullis {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

/// One thread is enough for every command: none of them computes and serves at the same time.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Because(format!("cannot start the runtime: {error}")))
}
