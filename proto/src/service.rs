//! What the `main` functions of control and the gateway have in common.

use anyhow::Context as _;
use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    process::ExitCode,
};
use tokio::net::TcpListener;

/// Binds the address of `--listen`.
///
/// # Errors
/// The address can't be bound. The error names it and the flag.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address} (--listen)"))
}

/// Names a service for operators: its machine, and where it listens there.
pub fn name(listener: &TcpListener) -> String {
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    format!("{} {address}", machine.trim()).trim().to_owned()
}

/// Prints where a service listens.
pub fn announce(name: &str, scheme: &str, listener: &TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    // Standard output may be closed, or go to a full disk. Neither ends the service.
    let _ = writeln!(io::stdout(), "{name} listens on {scheme}://{address}");
    Ok(())
}

/// Logs why a service ended, if it failed, and returns the exit code.
pub fn exit_code(ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
