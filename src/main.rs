//! Arguments → run → exit status. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    breakwater::cli::run(std::env::args_os())
}
