//! Standard output that was closed before the program began, as in `arizuko … >&-`. What is printed
//! there is lost, so a command that prints must fail. Rust opens `/dev/null` in place of a closed standard
//! output before `main`, so this is found out earlier.

use nix::errno::Errno;
#[cfg(target_os = "linux")]
use nix::fcntl::{FcntlArg, fcntl};
use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Has the system's loader call [`look`] before Rust's runtime starts.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "no safe code runs before Rust's runtime; what is called is safe Rust"
)]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

#[cfg(target_os = "linux")]
extern "C" fn look() {
    let flags = fcntl(io::stdout(), FcntlArg::F_GETFD);
    WAS_CLOSED.store(flags == Err(Errno::EBADF), Relaxed);
}

/// Whether standard output was closed when the program began; always false on other systems than
/// Linux.
pub(crate) fn stdout_was_closed() -> bool {
    WAS_CLOSED.load(Relaxed)
}

/// In place of standard output, takes nothing.
pub(crate) struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(Errno::EBADF.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(Errno::EBADF.into())
    }
}
