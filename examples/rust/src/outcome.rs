//! How the work on a turn can end.

use std::{error::Error, fmt};

/// Why the agent did not answer a turn. Any error converts to a failure whose cause the visitor
/// doesn't see.
#[derive(Debug)]
pub struct Failure {
    /// A sentence for the visitor.
    pub error: String,
    /// For the operator alone.
    pub detail: String,
}

impl Failure {
    /// Returns a failure with a sentence for the visitor.
    pub fn telling(error: impl Into<String>) -> Self {
        let error = error.into();
        Self { detail: error.clone(), error }
    }

    /// Returns a failure whose cause the visitor doesn't see.
    pub fn new(detail: impl Into<String>) -> Self {
        Self { error: "The agent could not answer.".into(), detail: detail.into() }
    }
}

/// Nobody wants the rest of the reply: the turn was cancelled, another agent has it by now, or the
/// reply has grown too long.
#[derive(Debug)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the turn was cancelled")
    }
}

impl Error for Gone {}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// How a turn ended, as control sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Control has the whole reply.
    Finished,
    /// Control has ended the turn: for example, the visitor cancelled it, its link ended, its
    /// deadline passed, or its reply grew too long.
    Cancelled,
    /// The turn is no longer this session's, for this reason.
    Lost(String),
    /// The turn was handed off to this folder, to which nobody is attached.
    Unattended(String),
}
