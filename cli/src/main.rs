//! The `arizuko` command.

use std::{env, io, process::ExitCode};

fn main() -> ExitCode {
    arizuko::run(env::args_os(), &mut io::stdout())
}
