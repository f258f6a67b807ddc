//! The names of the records in which controls and gateways report about themselves. All are in
//! partition 0.

use super::Set;

/// Names a [`Running`](crate::servers::Running), which lives for ten minutes after its server was
/// last seen. Written by `servers.rs` every 15 s.
pub(crate) fn server(id: &str) -> String {
    format!("server:{id}")
}

/// Names the servers that run, scored by the time when they were last seen. Written with each
/// [`server`].
pub(crate) fn servers() -> Set<String> {
    Set::new("servers")
}
