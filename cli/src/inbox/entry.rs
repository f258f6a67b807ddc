//! A conversation as a list shows it.

use prost_types::Timestamp;
use std::fmt;

/// A conversation in the list.
pub(super) struct Entry {
    pub(super) number: usize,
    pub(super) conversation: String,
    pub(super) place: usize,
    pub(super) jid: String,
    pub(super) state: State,
    /// When the message came; without a message, when the conversation was assigned.
    pub(super) at: Option<Timestamp>,
    /// Who the visitor is, or empty.
    pub(super) who: String,
    /// The beginning of the message that is to be answered, or empty.
    pub(super) text: String,
}

/// Who has a conversation, and whether its visitor waits.
pub(super) enum State {
    Waits,
    WaitsFor(String),
    Yours,
    HeldBy(String),
    OpenWith(String),
    Open,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waits => f.write_str("waits"),
            Self::WaitsFor(name) => write!(f, "waits for {name}"),
            Self::Yours => f.write_str("is yours"),
            Self::HeldBy(name) => write!(f, "held by {name}"),
            Self::OpenWith(name) => write!(f, "open with {name}"),
            Self::Open => f.write_str("open"),
        }
    }
}

impl Entry {
    /// Whether its message waits, and nobody has claimed it.
    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Waits | State::WaitsFor(_))
    }
}
