//! Starts the command line that a person uses; everything is in [`portcullis_control::cli`].

fn main() -> std::process::ExitCode {
    portcullis_control::cli::main()
}
