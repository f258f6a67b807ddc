//! How the work on a turn can end.

/// Why the agent did not answer a turn.
#[derive(Debug)]
pub(crate) struct Failure {
    /// A sentence for the visitor.
    pub(crate) error: String,
    /// For the operator alone.
    pub(crate) detail: String,
}

impl Failure {
    /// Returns a failure whose cause the visitor doesn't see.
    pub(crate) fn new(detail: impl Into<String>) -> Self {
        Self { error: "The agent could not answer.".into(), detail: detail.into() }
    }
}

/// Nobody wants the rest of the reply: the turn was cancelled, another agent has it by now, or the
/// reply has grown too long.
#[derive(Debug)]
pub(crate) struct Gone;

impl From<Gone> for Failure {
    fn from(Gone: Gone) -> Self {
        Self::new("the turn was cancelled")
    }
}

/// How a turn ended, as control sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// Control has the whole reply.
    Finished,
    /// Control has ended the turn: for example, the visitor cancelled it, its link ended, its deadline
    /// passed, or its reply grew too long.
    Cancelled,
    /// The turn is no longer this session's, for this reason.
    Lost(String),
    /// The turn was handed off to this folder, to which nobody is attached.
    Unattended(String),
}
