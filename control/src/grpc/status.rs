//! The one place where an error becomes a gRPC status.

use crate::{ledger::Error, store::StoreError, transaction::Refusal};
use arizuko_proto::v1::ErrorReason;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const DOMAIN: &str = "arizuko";

pub(super) fn from(error: impl Into<Error>) -> Status {
    let error = error.into();
    let (code, reason) = classify(&error);
    let mut details = ErrorDetails::with_error_info(word(reason), DOMAIN, []);
    if let Some(after) = retry_after(&error) {
        details.set_retry_info(Some(after));
    }
    Status::with_error_details(code, message(&error), details)
}

/// The reason as it travels: without the enum's prefix.
pub(super) fn word(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// The reason in one of our statuses; none in one that the connection made.
pub(super) fn reason(status: &Status) -> Option<ErrorReason> {
    let info = status.get_details_error_info()?;
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
}

pub(super) fn classify(error: &Error) -> (Code, ErrorReason) {
    match error {
        Error::Refused(refusal) => match refusal {
            Refusal::KeyInvalid => (Code::Unauthenticated, ErrorReason::KeyInvalid),
            Refusal::NotAllowed(_) => (Code::PermissionDenied, ErrorReason::NotAllowed),
            Refusal::Invalid(_) => (Code::InvalidArgument, ErrorReason::Invalid),
            Refusal::TokenInvalid => (Code::Unauthenticated, ErrorReason::TokenInvalid),
            Refusal::WrongKind => (Code::NotFound, ErrorReason::WrongKind),
            Refusal::NotFound(_) => (Code::NotFound, ErrorReason::NotFound),
            Refusal::PastRetention => (Code::NotFound, ErrorReason::PastRetention),
            Refusal::TooLarge { .. } => (Code::InvalidArgument, ErrorReason::TooLarge),
            Refusal::IdempotencyMismatch => (Code::AlreadyExists, ErrorReason::IdempotencyMismatch),
            Refusal::RateLimited { .. } => (Code::ResourceExhausted, ErrorReason::RateLimited),
            Refusal::TooManyTurns { .. } => (Code::ResourceExhausted, ErrorReason::TooManyTurns),
            Refusal::JidTaken(_) => (Code::AlreadyExists, ErrorReason::JidTaken),
            Refusal::SessionOver => (Code::Unavailable, ErrorReason::Unavailable),
        },
        Error::Store(StoreError::Unavailable(_)) | Error::Busy => {
            (Code::Unavailable, ErrorReason::Unavailable)
        }
        Error::Store(StoreError::Unknown(_)) => {
            (Code::DeadlineExceeded, ErrorReason::OutcomeUnknown)
        }
        Error::Internal(_) => (Code::Internal, ErrorReason::Internal),
    }
}

/// What the caller may read: a refusal in full; of our own troubles only the kind.
pub(super) fn message(error: &Error) -> String {
    match error {
        Error::Refused(refusal) => refusal.to_string(),
        Error::Store(StoreError::Unavailable(why)) => {
            tracing::warn!(why, "the store is out of reach");
            "the store is out of reach; nothing was done".to_owned()
        }
        Error::Busy => {
            tracing::warn!("{error}");
            "too much is going on here; nothing was done".to_owned()
        }
        Error::Store(StoreError::Unknown(why)) => {
            tracing::warn!(why, "the store did not answer");
            "the store did not answer; repeat with the same idempotency key".to_owned()
        }
        Error::Internal(what) => {
            tracing::error!(what, "a bug, or a broken record");
            "internal error".to_owned()
        }
    }
}

fn retry_after(error: &Error) -> Option<Duration> {
    match error {
        Error::Refused(
            Refusal::RateLimited { retry_after } | Refusal::TooManyTurns { retry_after, .. },
        ) => Some(Duration::from_millis(*retry_after)),
        Error::Store(_) | Error::Busy => Some(Duration::from_secs(1)),
        _ => None,
    }
}
