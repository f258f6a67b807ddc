//! Reads what a request's URL names: the link, a turn, a conversation, and query parameters.

use crate::{
    control::Refusal,
    gateway::Gateway,
    header::IDEMPOTENCY_KEY,
    operation::{Argument, Description},
    problem::Problem,
    schema::Id,
};
use arizuko_proto::{
    public_id,
    v1::{Access, ErrorReason, TokenKind},
};
use axum::extract::{FromRequestParts, MatchedPath, Path, Query};
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
    request::Parts,
};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use std::ops::RangeInclusive;
use tracing::Span;

/// How many bytes a secret must have to be sent to control. Those that control issues have 46.
const SECRET_LENGTHS: RangeInclusive<usize> = 32..=64;
/// How many bytes a body may announce, at most, to be read before its token is checked. An
/// unfinished body of this size holds little more memory than its connection.
const SMALL_BODY_BYTES: usize = 16 << 10;

/// The secret in the URL, and the kind of link that its path is for. It has no `Debug`, so that it
/// can't get into a log.
#[derive(Clone)]
pub(crate) struct Link {
    secret: String,
    kind: TokenKind,
}

impl Link {
    /// Returns the credential that every call to control carries.
    pub(crate) fn access(&self) -> Access {
        Access { token: self.secret.clone(), kind: self.kind.into() }
    }

    /// Checks, before a body is read, that the token is valid and the link isn't paused. For a
    /// small body that needs no decoding, the call that posts it does so, which saves a call for
    /// nearly every message. A message with an `Idempotency-Key` may be the repeat of one that was
    /// taken before the pause, so only the call that posts it can tell whether to refuse it.
    pub(crate) async fn check_before_body(
        &self,
        gateway: &Gateway,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let length = length.and_then(|length| length.parse().ok());
        let is_small = length.is_some_and(|length: usize| length <= SMALL_BODY_BYTES);
        if !is_small || headers.contains_key(CONTENT_ENCODING) {
            let resolved = gateway.control.resolve(self.access()).await?;
            if resolved.paused && !headers.contains_key(IDEMPOTENCY_KEY.name) {
                let refusal = Refusal::new(ErrorReason::LinkPaused, "");
                return Err(match self.kind {
                    TokenKind::Hook => Problem::of_delivery(refusal),
                    _ => refusal.into(),
                });
            }
        }
        Ok(())
    }

    /// Returns the path of a chat link. The secret is base64url and needs no escapes.
    pub(crate) fn path(&self) -> String {
        format!("/chat/{}/", self.secret)
    }
}

#[derive(Deserialize, JsonSchema)]
struct TokenPath {
    /// The secret part of the link's URL.
    token: String,
}

impl Argument for Link {
    fn describe(operation: &mut Description<'_>) {
        operation.parameters::<TokenPath>("path");
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Link {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // A secret that can't be decoded is unknown.
        let path = Path::<TokenPath>::from_request_parts(parts, state).await.ok();
        let secret = path
            .map(|Path(TokenPath { token })| token)
            .filter(|secret| SECRET_LENGTHS.contains(&secret.len()) && is_base64url(secret))
            .ok_or_else(Problem::token_invalid)?;
        let route = parts.extensions.get::<MatchedPath>();
        let is_hook = route.is_some_and(|route| route.as_str().starts_with("/hook/"));
        let kind = if is_hook { TokenKind::Hook } else { TokenKind::Chat };
        Ok(Self { secret, kind })
    }
}

/// The turn's id in the URL.
pub(crate) struct TurnId(pub(crate) String);

#[derive(Deserialize, JsonSchema)]
struct TurnPath {
    #[schemars(with = "Id")]
    turn: String,
}

impl Argument for TurnId {
    fn describe(operation: &mut Description<'_>) {
        operation.parameters::<TurnPath>("path");
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TurnId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<TurnPath>::from_request_parts(parts, state).await;
        Self::parse(path.map(|Path(TurnPath { turn })| turn).unwrap_or_default())
    }
}

impl TurnId {
    /// Checks the form of an id, and notes it in the request's span.
    pub(crate) fn parse(id: String) -> Result<Self, Problem> {
        if public_id::is_own(&id) {
            Span::current().record("turn", public_id::turn(&id));
            Ok(Self(id))
        } else {
            Err(Problem::invalid("The id of the turn is malformed."))
        }
    }
}

/// The conversation's id in the URL.
pub(crate) struct ConversationId(pub(crate) String);

#[derive(Deserialize, JsonSchema)]
struct ConversationPath {
    #[schemars(with = "Id")]
    conversation: String,
}

impl Argument for ConversationId {
    fn describe(operation: &mut Description<'_>) {
        operation.parameters::<ConversationPath>("path");
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ConversationId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<ConversationPath>::from_request_parts(parts, state).await;
        let id = path.map(|Path(ConversationPath { conversation })| conversation);
        Self::parse(id.unwrap_or_default())
    }
}

impl ConversationId {
    /// Checks the form of an id, and notes it in the request's span.
    pub(crate) fn parse(id: String) -> Result<Self, Problem> {
        if public_id::is_own(&id) {
            Span::current().record("conversation", public_id::conversation(&id));
            Ok(Self(id))
        } else {
            Err(Problem::invalid("The id of the conversation is malformed."))
        }
    }
}

/// The query parameters.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: JsonSchema> Argument for Parameters<T> {
    fn describe(operation: &mut Description<'_>) {
        operation.parameters::<T>("query");
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => {
                // The library's sentence ends with the parameter's name and what is wrong with it.
                let text = rejection.body_text();
                let name = text.rsplit(": ").nth(1).unwrap_or_default();
                let detail = format!("The query parameter `{name}` has an invalid value.");
                Err(Problem::invalid(detail))
            }
        }
    }
}

/// Whether the query has `html=1`, with which the page asks for Markdown rendered as HTML.
pub(crate) struct WantsHtml(pub(crate) bool);

#[derive(Deserialize, JsonSchema)]
struct HtmlQuery {
    /// With `1`, agents' messages have `html`, which is their Markdown as HTML, in place of
    /// `content`. Streams have `event: html` as well.
    #[schemars(extend("examples" = ["1"]))]
    html: Option<String>,
}

impl Argument for WantsHtml {
    fn describe(operation: &mut Description<'_>) {
        operation.parameters::<HtmlQuery>("query");
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WantsHtml {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Parameters(HtmlQuery { html }) = Parameters::from_request_parts(parts, state).await?;
        Ok(Self(html.as_deref() == Some("1")))
    }
}

fn is_base64url(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
