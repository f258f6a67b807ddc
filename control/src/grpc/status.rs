//! Turns an error into a gRPC status: the one place that chooses codes and reasons.

use crate::{ledger::Error, proof::Fault, refusal::Refusal, store::StoreError};
use arizuko_proto::{public_id, v1::ErrorReason};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, reason) = name(&refusal);
        status(code, reason, &refusal.to_string(), refusal.retry_after())
    }
}

fn name(refusal: &Refusal) -> (Code, ErrorReason) {
    match refusal {
        Refusal::KeyInvalid => (Code::Unauthenticated, ErrorReason::KeyInvalid),
        Refusal::NotAllowed(_) => (Code::PermissionDenied, ErrorReason::NotAllowed),
        Refusal::Invalid(_) => (Code::InvalidArgument, ErrorReason::Invalid),
        Refusal::TokenInvalid => (Code::Unauthenticated, ErrorReason::TokenInvalid),
        Refusal::SignatureInvalid(_) => (Code::Unauthenticated, ErrorReason::SignatureInvalid),
        Refusal::IdentityInvalid(_) => (Code::Unauthenticated, ErrorReason::IdentityInvalid),
        Refusal::Paused => (Code::FailedPrecondition, ErrorReason::LinkPaused),
        Refusal::WrongKind => (Code::NotFound, ErrorReason::WrongKind),
        Refusal::NotFound(_) => (Code::NotFound, ErrorReason::NotFound),
        Refusal::PastRetention => (Code::NotFound, ErrorReason::PastRetention),
        Refusal::TooLarge { .. } => (Code::InvalidArgument, ErrorReason::TooLarge),
        Refusal::IdempotencyMismatch => (Code::AlreadyExists, ErrorReason::IdempotencyMismatch),
        Refusal::NotProven(Fault::Missing) => {
            (Code::FailedPrecondition, ErrorReason::ProofRequired)
        }
        Refusal::NotProven(_) => (Code::FailedPrecondition, ErrorReason::ProofInvalid),
        Refusal::TurnHeld { .. } => (Code::FailedPrecondition, ErrorReason::TurnHeld),
        Refusal::RateLimited { .. } => (Code::ResourceExhausted, ErrorReason::RateLimited),
        Refusal::TooManyTurns { .. } => (Code::ResourceExhausted, ErrorReason::TooManyTurns),
        Refusal::BudgetSpent { .. } => (Code::ResourceExhausted, ErrorReason::BudgetSpent),
        Refusal::LimitReached(_) => (Code::ResourceExhausted, ErrorReason::LimitReached),
        Refusal::JidTaken(_) => (Code::AlreadyExists, ErrorReason::JidTaken),
        Refusal::CannotVerify => (Code::Unavailable, ErrorReason::Unavailable),
        Refusal::SessionOver => (Code::Unavailable, ErrorReason::Unavailable),
    }
}

/// Returns the status of a message that is not proven, with a challenge to solve, in JSON.
pub(super) fn unproven(fault: Fault, challenge: String) -> Status {
    let refusal = Refusal::NotProven(fault);
    let (code, reason) = name(&refusal);
    let details = reason.details_with_challenge(challenge);
    Status::with_error_details(code, refusal.to_string(), details)
}

impl From<Error> for Status {
    /// Logs the cause of a failure of control or its store: callers don't see it.
    fn from(error: Error) -> Self {
        let retry_after = error.retry_after();
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Store(StoreError::Unavailable(why)) => {
                tracing::warn!(why, "store out of reach");
                let message = "the store is out of reach; nothing was done, try again";
                status(Code::Unavailable, ErrorReason::Unavailable, message, retry_after)
            }
            Error::Busy => {
                tracing::warn!("{error}");
                let message = "too many changes at once; nothing was done, try again";
                status(Code::Unavailable, ErrorReason::Unavailable, message, retry_after)
            }
            Error::Store(StoreError::Unknown(why)) => {
                tracing::warn!(why, "store did not answer");
                let message = "the store did not answer; repeat with the same idempotency key";
                let (code, reason) = (Code::DeadlineExceeded, ErrorReason::OutcomeUnknown);
                status(code, reason, message, retry_after)
            }
            Error::Internal(what) => {
                let what = public_id::redact(&what);
                tracing::error!(what, "internal error: a bug, or a corrupt record");
                let message = "internal error; control's log says more";
                status(Code::Internal, ErrorReason::Internal, message, retry_after)
            }
        }
    }
}

/// Returns the status of a call that did not end by its deadline.
pub(super) fn overdue(deadline: Duration) -> Status {
    let message = format!("the call took longer than {}", arizuko_proto::duration::print(deadline));
    status(Code::DeadlineExceeded, ErrorReason::OutcomeUnknown, &message, None)
}

fn status(code: Code, reason: ErrorReason, message: &str, retry_after: Option<Duration>) -> Status {
    let mut details = reason.details();
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(code, message, details)
}
