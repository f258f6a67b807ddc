//! The signals that tell a program to end: SIGINT, SIGTERM, SIGQUIT and SIGHUP.

use crate::supervisor;
use std::{fs, future::poll_fn, io, task::Poll};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Receives the signals. From its creation on they no longer kill the process.
pub struct Signals(Vec<Signal>);

impl Signals {
    /// Installs the handlers. Needs a runtime.
    pub fn listen() -> io::Result<Self> {
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()];
        // Under nohup a program outlives its terminal.
        if !is_ignored(SignalKind::hangup()) {
            kinds.push(SignalKind::hangup());
        }
        kinds.into_iter().map(signal).collect::<io::Result<_>>().map(Self)
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        poll_fn(|context| {
            let mut received = self.0.iter_mut().map(|signal| signal.poll_recv(context));
            if received.any(|poll| poll.is_ready()) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Whether the process ignores a signal, as `nohup` makes it do.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0)
}

/// Returns a token that is cancelled on the first signal, after the supervisor has been told.
pub fn shutdown() -> io::Result<CancellationToken> {
    let mut signals = Signals::listen()?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        signals.next().await;
        supervisor::stopping();
        token.cancel();
    });
    Ok(shutdown)
}
