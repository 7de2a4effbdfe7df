//! The `imgidx` program: parses its arguments, runs one command and maps the result to an exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
