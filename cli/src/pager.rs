//! Shows a table that is longer than the terminal through a pager, as git does.

use std::{
    env,
    io::{self, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use terminal_size::{Height, terminal_size};
use tokio::signal::unix::{SignalKind, signal};

/// How many lines to assume for a terminal whose size is unknown.
const LINES: usize = 24;

/// Whether there may be a pager.
static ALLOWED: AtomicBool = AtomicBool::new(false);

/// Allows or forbids pagers from now on.
pub(crate) fn allow(allowed: bool) {
    ALLOWED.store(allowed, Relaxed);
}

/// A pager that runs. Dropping it waits until it is quit.
pub(crate) struct Pager {
    process: Child,
    input: Option<ChildStdin>,
}

impl Pager {
    /// Starts the pager if there may be one, there is one, and the terminal has no room for so many
    /// lines.
    pub(crate) fn start(lines: usize) -> Option<Self> {
        let room = terminal_size().map_or(LINES, |(_, Height(lines))| lines.into());
        // The prompt that follows needs a line, too.
        if !ALLOWED.load(Relaxed) || lines < room {
            return None;
        }
        let mut command = match env::var("PAGER") {
            Ok(pager) if pager.trim().is_empty() => return None,
            Ok(pager) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &pager]);
                shell
            }
            Err(_) => {
                let mut less = Command::new("less");
                less.arg("-FRX");
                less
            }
        };
        let mut process = command.stdin(Stdio::piped()).spawn().ok()?;
        // Ctrl-C is for the pager, which goes on and would lose its terminal if this process ended.
        // If the handler can't be installed, the pager still works.
        let _ = signal(SignalKind::interrupt());
        let input = process.stdin.take();
        Some(Self { process, input })
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.input {
            Some(input) => input.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        drop(self.input.take());
        // An error says that it has ended.
        let _ = self.process.wait();
    }
}
