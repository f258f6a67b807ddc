//! Why the domain refuses a command, and how long to wait before it is tried again.

use crate::proof::Fault;
use std::time::Duration;

/// How long a caller should wait when too many turns are open: nobody knows when one of them ends.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(5);

/// How long a caller should wait when an owner is at its limit: there is room again once retention
/// or a person deletes something.
const RETRY_AT_LIMIT: Duration = Duration::from_secs(60);

/// Why the domain refuses a command. `grpc/status.rs` gives each variant its `ErrorReason`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the key is missing, unknown, expired or revoked")]
    KeyInvalid,
    #[error("{0}")]
    NotAllowed(String),
    #[error("{0}")]
    Invalid(String),
    #[error("the token is unknown, revoked or expired")]
    TokenInvalid,
    /// Says what is wrong, for the sender's log.
    #[error("{0}")]
    SignatureInvalid(String),
    /// Says why nobody can tell who the visitor is.
    #[error("{0}")]
    IdentityInvalid(String),
    #[error("this link's secrets can't be opened: the sealing key is missing or has changed")]
    CannotVerify,
    #[error("the link is paused: it takes no messages until it is resumed")]
    Paused,
    #[error("this token is for the other kind of URL, /chat or /hook")]
    WrongKind,
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("the turn's frames are no longer kept")]
    PastRetention,
    #[error("the content is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("this Idempotency-Key came before with another body")]
    IdempotencyMismatch,
    /// The message needs a proof of work, or has one that is not valid.
    #[error("{0}")]
    NotProven(Fault),
    #[error("{by} holds the visitor's message")]
    TurnHeld { by: String },
    #[error("too many messages")]
    RateLimited { retry_after: Duration },
    #[error("too many open turns of this {of}")]
    TooManyTurns { of: &'static str },
    /// Says whose budget it is, in a sentence for visitors.
    #[error("{why}")]
    BudgetSpent { why: &'static str, new_in: Duration },
    #[error("{0}")]
    JidTaken(String),
    #[error("{0}; that is the limit")]
    LimitReached(String),
    #[error("the session is over, or another stream speaks for it: attach again")]
    SessionOver,
}

impl Refusal {
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(why.into())
    }

    pub(crate) fn not_allowed(why: impl Into<String>) -> Self {
        Self::NotAllowed(why.into())
    }

    /// Returns how long the caller should wait before it tries again, if that helps.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::BudgetSpent { new_in, .. } => Some(*new_in),
            Self::TooManyTurns { .. } => Some(RETRY_WHEN_FULL),
            Self::LimitReached(_) => Some(RETRY_AT_LIMIT),
            _ => None,
        }
    }
}
