//! The `arizuko` command.

mod closed;

use std::{env, io, process::ExitCode};

fn main() -> ExitCode {
    if closed::stdout_was_closed() {
        arizuko::run(env::args_os(), &mut closed::Closed)
    } else {
        arizuko::run(env::args_os(), &mut io::stdout())
    }
}
