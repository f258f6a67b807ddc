//! Every problem that the gateway answers with. This module alone turns control's refusals into
//! HTTP answers, and it alone decides `Retry-After`.

mod reasons;

use crate::{control::Refusal, language::Language, schema::Challenge};
use arizuko_proto::v1::{ErrorReason, TurnStatus};
use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use reasons::answer;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::{borrow::Cow, time::Duration};

const UNSUPPORTED_ENCODING: &str = "UNSUPPORTED_ENCODING";

/// An error as the public sees it: `application/problem+json`, or a page for a browser.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Problem {
    title: &'static str,
    #[schemars(with = "u16")]
    #[serde(serialize_with = "code")]
    status: StatusCode,
    /// A stable word for programs.
    #[schemars(extend("examples" = ["TOKEN_INVALID", "RATE_LIMITED"]))]
    reason: &'static str,
    /// A sentence for people.
    detail: Cow<'static, str>,
    /// What to solve before the message is sent again.
    #[schemars(with = "Challenge")]
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<Box<RawValue>>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

fn code<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

/// The `WWW-Authenticate` of RFC 6750 for an invalid credential.
const CHALLENGE: &str = r#"Bearer error="invalid_token", error_description="The credential in the URL, or the signature, is not valid.""#;

/// How long a client should wait before it asks again whether a link is resumed. The wait is long,
/// because only a person resumes a link.
const WAIT_WHEN_PAUSED: Duration = Duration::from_secs(30);

/// Returns how long the client should wait before a retry, unless control says how long. `None` if
/// a retry doesn't help.
fn default_wait(status: StatusCode) -> Option<Duration> {
    match status {
        // Long enough for a short reply to end, or for a stream to close.
        StatusCode::TOO_MANY_REQUESTS => Some(Duration::from_secs(5)),
        // A failover of control or Redis takes about this long.
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Some(Duration::from_secs(2))
        }
        _ => None,
    }
}

impl From<Refusal> for Problem {
    fn from(Refusal { reason, message, retry_after, challenge }: Refusal) -> Self {
        let problem = Self::of_reason(reason, message.clone());
        if problem.reason != reason.word() || reason == ErrorReason::Internal {
            tracing::error!(reason = reason.word(), "control refused a call: {message}");
        }
        let retry_after = match reason {
            ErrorReason::LinkPaused => problem.retry_after,
            _ => problem.retry_after.map(|wait| retry_after.unwrap_or(wait)),
        };
        let challenge = challenge.and_then(|challenge| RawValue::from_string(challenge).ok());
        Self { retry_after, challenge, ..problem }
    }
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
            challenge: None,
            retry_after: default_wait(status),
        }
    }

    /// Makes the problem for one of control's reasons. Its detail is control's message where only
    /// that says what is wrong.
    fn of_reason(reason: ErrorReason, message: impl Into<Cow<'static, str>>) -> Self {
        let (status, detail) = answer(reason);
        let word = match status {
            StatusCode::SERVICE_UNAVAILABLE => ErrorReason::Unavailable.word(),
            StatusCode::INTERNAL_SERVER_ERROR => ErrorReason::Internal.word(),
            _ => reason.word(),
        };
        let problem = Self::new(status, word, detail.map_or_else(|| message.into(), Cow::Borrowed));
        let when_paused = (reason == ErrorReason::LinkPaused).then_some(WAIT_WHEN_PAUSED);
        Self { retry_after: when_paused.or(problem.retry_after), ..problem }
    }

    /// Says that the request is malformed.
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorReason::Invalid.word(), detail)
    }

    /// Says that the link's token is unknown, revoked, expired or malformed. All of these look
    /// alike.
    pub(crate) fn token_invalid() -> Self {
        Refusal::new(ErrorReason::TokenInvalid, "").into()
    }

    /// Says that the link takes no messages for now.
    pub(crate) fn paused() -> Self {
        Refusal::new(ErrorReason::LinkPaused, "").into()
    }

    /// Returns the problem of a webhook's delivery. Senders give up on a 403, but deliver again
    /// after a 503, so a paused link answers 503.
    pub(crate) fn of_delivery(refusal: Refusal) -> Self {
        let status = match refusal.reason {
            ErrorReason::LinkPaused => StatusCode::SERVICE_UNAVAILABLE,
            _ => return refusal.into(),
        };
        Self { title: status.canonical_reason().unwrap_or("Error"), status, ..refusal.into() }
    }

    /// Says that nothing is at the request's path.
    pub(crate) fn nothing_here() -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorReason::NotFound.word(), "There is nothing here.")
    }

    /// Says that there is no such turn or conversation under the link.
    pub(crate) fn not_found() -> Self {
        Refusal::new(ErrorReason::NotFound, "").into()
    }

    /// Says why a turn's reply is not complete; `None` if the turn ended well or is still open.
    /// `error` is the turn's own sentence.
    pub(crate) fn of_turn(status: TurnStatus, error: &str) -> Option<Self> {
        let (reason, detail) = match status {
            TurnStatus::Failed => ("TURN_FAILED", "The agent could not answer."),
            TurnStatus::Cancelled => ("TURN_CANCELLED", "The reply was stopped."),
            TurnStatus::Expired => ("TURN_EXPIRED", "Nobody answered in time."),
            _ => return None,
        };
        let detail = if error.is_empty() { Cow::from(detail) } else { error.to_owned().into() };
        Some(Self::new(StatusCode::BAD_GATEWAY, reason, detail))
    }

    /// Whether the problem says how a turn has ended.
    pub(crate) fn is_of_turn(&self) -> bool {
        self.reason.starts_with("TURN_")
    }

    /// Says that text which was sent is no longer part of the reply.
    pub(crate) fn taken_back() -> Self {
        let detail = "The agent has begun its reply again. To get all of it, repeat the request with the same Idempotency-Key, or read the turn.";
        Self::new(StatusCode::BAD_GATEWAY, "TAKEN_BACK", detail)
    }

    /// Says that a stream can't tell apart the messages of its reply any longer.
    pub(crate) fn too_many_messages() -> Self {
        let detail =
            "The reply has more messages than a stream can have. Read the turn for all of it.";
        Self::new(StatusCode::BAD_GATEWAY, ErrorReason::TooLarge.word(), detail)
    }

    /// Says that the message was taken, and that its reply can't be awaited any longer.
    pub(crate) fn no_reply_yet() -> Self {
        let detail = "The message was taken, and its reply goes on. Repeat the request with the same Idempotency-Key to read it.";
        let word = ErrorReason::OutcomeUnknown.word();
        Self::new(StatusCode::GATEWAY_TIMEOUT, word, detail)
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        let detail = format!("The request's body is larger than {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorReason::TooLarge.word(), detail)
    }

    pub(crate) fn body_too_slow() -> Self {
        let detail = "The request's body took too long to arrive. Send it again.";
        Self::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", detail)
    }

    pub(crate) fn unsupported_media_type() -> Self {
        let detail = "Send the message as application/json, as a form or as text/plain.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail)
    }

    pub(crate) fn not_acceptable() -> Self {
        let detail = "Accept both application/json and text/event-stream.";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", detail)
    }

    /// Says that a body is in another character set.
    pub(crate) fn not_utf8() -> Self {
        let detail = "Send the body as UTF-8, without a byte order mark.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail)
    }

    pub(crate) fn not_json() -> Self {
        let detail = "Send the body as application/json.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail)
    }

    pub(crate) fn unsupported_encoding() -> Self {
        let detail =
            "Send the body as it is, or with one Content-Encoding: gzip, deflate, br or zstd.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, UNSUPPORTED_ENCODING, detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail =
            "This path does not allow this method. The Allow header lists those that it allows.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail)
    }

    pub(crate) fn origin_not_allowed() -> Self {
        let detail = "This link may not be used from this site.";
        Self::new(StatusCode::FORBIDDEN, "ORIGIN_NOT_ALLOWED", detail)
    }

    pub(crate) fn too_many_streams() -> Self {
        let detail = "Too many streams and waiting requests are open from your address. Close one, then try again.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_STREAMS", detail)
    }

    /// Says that the address has made too many requests. One more is allowed after this wait.
    pub(crate) fn too_many_requests(wait: Duration) -> Self {
        let detail = "Too many requests from your address. Wait a little, then try again.";
        let word = ErrorReason::RateLimited.word();
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, word, detail);
        Self { retry_after: Some(wait), ..problem }
    }

    pub(crate) fn too_many_bodies() -> Self {
        let detail = "Too much is on its way from or to your address. Try again in a moment.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_BYTES", detail)
    }

    /// Says that all addresses together send more than the gateway can hold or decode.
    pub(crate) fn busy() -> Self {
        let detail = "Too much is being sent right now, and nothing was done. Try again soon.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorReason::Unavailable.word(), detail)
    }

    /// Returns the problems from which the contract takes its statuses, reasons and sentences.
    pub(crate) fn all() -> Vec<Self> {
        let of_control = (1..).map_while(|number| ErrorReason::try_from(number).ok());
        let of_control =
            of_control.map(|reason| Self::of_reason(reason, "The `detail` says what is wrong."));
        let ended = [TurnStatus::Failed, TurnStatus::Cancelled, TurnStatus::Expired];
        let of_turns = ended.into_iter().filter_map(|status| Self::of_turn(status, ""));
        let own = [
            Self::taken_back(),
            Self::too_many_messages(),
            Self::not_acceptable(),
            Self::body_too_slow(),
            Self::unsupported_media_type(),
            Self::unsupported_encoding(),
            Self::origin_not_allowed(),
            Self::too_many_streams(),
            Self::too_many_bodies(),
            Self::of_delivery(Refusal::new(ErrorReason::LinkPaused, "")),
        ];
        of_control.chain(of_turns).chain(own).collect()
    }

    /// Whether a retry may succeed, because the service was out of reach, too busy or too slow to
    /// answer.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn challenge(&self) -> Option<&RawValue> {
        self.challenge.as_deref()
    }

    pub(crate) fn reason(&self) -> &'static str {
        self.reason
    }

    /// Returns how long to wait before a retry, where one may help.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns what to tell a visitor; `None` if only the detail says what is wrong.
    pub(crate) fn sentence(&self, language: &'static Language) -> Option<&'static str> {
        language.sentence(self.status.as_str()).or_else(|| language.sentence(self.reason))
    }

    /// Returns a heading for visitors.
    pub(crate) fn heading(&self, language: &'static Language) -> &'static str {
        let names = [self.reason, self.heading_status(), "other"];
        names.into_iter().find_map(|name| language.problem(name)).unwrap_or_default()
    }

    /// Returns the status whose heading the problem has.
    fn heading_status(&self) -> &str {
        match self.status {
            StatusCode::GATEWAY_TIMEOUT => "503",
            ref status => status.as_str(),
        }
    }
}

impl IntoResponse for Problem {
    /// Makes the response. The problem is also in the response's extensions, for the middleware
    /// that counts problems and shows them as pages.
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            // Rounded up to whole seconds, so that the retry isn't too early.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            if let Ok(seconds) = HeaderValue::try_from(seconds.to_string()) {
                headers.insert(RETRY_AFTER, seconds);
            }
        }
        if self.reason == UNSUPPORTED_ENCODING {
            let encodings = HeaderValue::from_static("gzip, deflate, br, zstd");
            headers.insert(ACCEPT_ENCODING, encodings);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response.extensions_mut().insert(self);
        response
    }
}
