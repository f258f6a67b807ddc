//! What the gateway answers for each of control's reasons.

use arizuko_proto::v1::ErrorReason;
use http::StatusCode;

/// Returns the status and the sentence for one of control's reasons. Without a sentence, control's
/// message says what is wrong with the request.
pub(super) fn answer(reason: ErrorReason) -> (StatusCode, Option<&'static str>) {
    match reason {
        ErrorReason::Invalid => (StatusCode::BAD_REQUEST, None),
        ErrorReason::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None),
        ErrorReason::TokenInvalid => (
            StatusCode::UNAUTHORIZED,
            Some(
                "This link is unknown or has ended. Ask the person who gave it to you for a new one.",
            ),
        ),
        ErrorReason::SignatureInvalid => (StatusCode::UNAUTHORIZED, None),
        ErrorReason::IdentityInvalid => (StatusCode::FORBIDDEN, None),
        ErrorReason::WrongKind => (
            StatusCode::NOT_FOUND,
            Some("Nothing is here: chat links live under /chat/, webhooks under /hook/."),
        ),
        ErrorReason::LinkPaused => (
            StatusCode::FORBIDDEN,
            Some("This link is paused and takes no messages for now. Try again later."),
        ),
        ErrorReason::NotFound => {
            (StatusCode::NOT_FOUND, Some("There is no such conversation or turn under this link."))
        }
        ErrorReason::PastRetention => (
            StatusCode::GONE,
            Some("The frames of this turn are no longer kept. Read its messages in the history."),
        ),
        ErrorReason::IdempotencyMismatch => (
            StatusCode::UNPROCESSABLE_ENTITY,
            Some("This Idempotency-Key was used for another message. Use a new key."),
        ),
        ErrorReason::ProofRequired => (
            StatusCode::PRECONDITION_REQUIRED,
            Some(
                "This link takes a message only with a proof of work. Solve `challenge`, then send the message again with the solution as `altcha`.",
            ),
        ),
        ErrorReason::ProofInvalid => (StatusCode::PRECONDITION_REQUIRED, None),
        ErrorReason::RateLimited => (
            StatusCode::TOO_MANY_REQUESTS,
            Some("Too many messages at once. Wait a little, then try again."),
        ),
        ErrorReason::TooManyTurns => (
            StatusCode::TOO_MANY_REQUESTS,
            Some("Too many messages wait for a reply. Send yours again after the next reply."),
        ),
        ErrorReason::BudgetSpent => (StatusCode::TOO_MANY_REQUESTS, None),
        ErrorReason::LimitReached => (
            StatusCode::TOO_MANY_REQUESTS,
            Some("This link can't take more for now. Try again later."),
        ),
        ErrorReason::OutcomeUnknown => (
            StatusCode::GATEWAY_TIMEOUT,
            Some(
                "The request may have succeeded. Repeat it, with the same Idempotency-Key if it had one.",
            ),
        ),
        ErrorReason::Unavailable | ErrorReason::KeyInvalid | ErrorReason::NotAllowed => (
            StatusCode::SERVICE_UNAVAILABLE,
            Some("The service can't be reached right now, and nothing was done. Try again soon."),
        ),
        ErrorReason::Internal
        | ErrorReason::JidTaken
        | ErrorReason::TurnHeld
        | ErrorReason::Unspecified => (
            StatusCode::INTERNAL_SERVER_ERROR,
            Some("Something went wrong on our side. Try again later."),
        ),
    }
}
