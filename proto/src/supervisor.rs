//! Tells a supervisor, such as systemd, when a service is ready and when it stops
//! (`NOTIFY_SOCKET`).

use sd_notify::NotifyState;

/// Tells the supervisor that the service is ready.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// Tells the supervisor that the service has begun to stop.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot tell the supervisor (NOTIFY_SOCKET)");
    }
}
