//! What goes wrong, as an HTTP answer: the one place where a `Status` of control's becomes one.

use crate::{Gateway, accept::Accept, control, page};
use arizuko_proto::v1::ErrorReason;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
    },
};
use serde::Serialize;
use std::{borrow::Cow, sync::Arc, time::Duration};
use tonic::Status;
use tonic_types::StatusExt as _;

/// When to come back, where control doesn't say.
const SOON: Duration = Duration::from_secs(2);

/// An error as the public sees it: `application/problem+json`, or a page for a browser.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    title: &'static str,
    #[serde(serialize_with = "code")]
    status: StatusCode,
    /// The stable word, for programs.
    reason: &'static str,
    /// A sentence, for people.
    detail: Cow<'static, str>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

fn code<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        reason: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            reason,
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// With a word on when to come back.
    pub(crate) fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID", detail)
    }

    /// Whether nobody knows the answer, as against the answer being no.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
    }

    pub(crate) fn reason(&self) -> &'static str {
        self.reason
    }

    /// Unknown, revoked, expired, malformed: all look alike.
    pub(crate) fn token_invalid() -> Self {
        let detail = "This link is unknown or has ended. Ask whoever gave it to you for a new one.";
        Self::new(StatusCode::UNAUTHORIZED, "TOKEN_INVALID", detail)
    }

    /// The page's heading: in a visitor's words, not in HTTP's.
    fn heading(&self) -> &'static str {
        match self.status {
            StatusCode::UNAUTHORIZED => "This link doesn't work",
            StatusCode::FORBIDDEN => "Not from here",
            StatusCode::NOT_FOUND => "Nothing here",
            StatusCode::PAYLOAD_TOO_LARGE => "Too long",
            StatusCode::TOO_MANY_REQUESTS => "One moment, please",
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => "Out of reach",
            _ => "That didn't work",
        }
    }

    fn unavailable() -> Self {
        let detail =
            "The service can't be reached right now, and nothing was done. Try again soon.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail).retry_after(SOON)
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let reason = control::reason(&status).unwrap_or(ErrorReason::Unavailable);
        let retry_after =
            status.get_details_retry_info().and_then(|info| info.retry_delay).unwrap_or(SOON);
        // Control's own words are for people where the request is at fault.
        let told = || status.message().to_owned();
        match reason {
            ErrorReason::Invalid => Self::invalid(told()),
            ErrorReason::TokenInvalid => Self::token_invalid(),
            ErrorReason::WrongKind => Self::new(
                StatusCode::NOT_FOUND,
                "WRONG_KIND",
                "Nothing is here: chat links live under /chat/, webhooks under /hook/.",
            ),
            ErrorReason::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "There is no such conversation or turn under this link.",
            ),
            ErrorReason::PastRetention => Self::new(
                StatusCode::GONE,
                "PAST_RETENTION",
                "The single frames of this turn are no longer kept. Its messages are, in the history.",
            ),
            ErrorReason::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", told())
            }
            ErrorReason::IdempotencyMismatch => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "IDEMPOTENCY_MISMATCH",
                "This Idempotency-Key came before with another message. Use a new one.",
            ),
            ErrorReason::RateLimited => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "RATE_LIMITED",
                "Too many messages at once. Wait a little, then send it again.",
            )
            .retry_after(retry_after),
            ErrorReason::TooManyTurns => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TOO_MANY_TURNS",
                "Too many messages wait for their reply. Send it again when one has come.",
            )
            .retry_after(retry_after),
            ErrorReason::OutcomeUnknown => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "OUTCOME_UNKNOWN",
                "It is not known whether this was done. Repeat it, with the same Idempotency-Key if it had one.",
            )
            .retry_after(SOON),
            ErrorReason::Unavailable => Self::unavailable(),
            ErrorReason::KeyInvalid | ErrorReason::NotAllowed => {
                tracing::error!("control refuses this gateway's key: {}", status.message());
                Self::unavailable()
            }
            ErrorReason::Internal | ErrorReason::JidTaken | ErrorReason::Unspecified => {
                tracing::error!(?reason, "control failed: {}", status.message());
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "INTERNAL",
                    "Something went wrong on our side.",
                )
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.retry_after {
            // Whole seconds, and not too early.
            let seconds = after.as_millis().div_ceil(1000).max(1);
            if let Ok(seconds) = HeaderValue::try_from(seconds.to_string()) {
                headers.insert(RETRY_AFTER, seconds);
            }
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For `dress`, which knows who asked.
        response.extensions_mut().insert(self);
        response
    }
}

/// Counts problems, and shows them as pages where a browser asked for one.
pub(crate) async fn dress(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = &problem {
        gateway.metrics.refused(problem.reason);
    }
    match problem {
        Some(problem) if Accept::of(&headers) == Accept::Html => {
            let (mut head, _) = response.into_parts();
            let html = gateway.page.problem(problem.heading(), &problem.detail);
            head.headers.insert(CONTENT_TYPE, page::HTML);
            let policy = "default-src 'none'; style-src 'self'; frame-ancestors 'none'";
            let policy = HeaderValue::from_static(policy);
            head.headers.insert(CONTENT_SECURITY_POLICY, policy);
            head.headers.remove(CONTENT_LENGTH);
            Response::from_parts(head, html.into())
        }
        _ => response,
    }
}
