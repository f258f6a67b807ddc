//! What a request's URL names: the link, a turn, a conversation, parameters.

use crate::{Gateway, problem::Problem};
use arizuko_proto::v1::{Access, TokenKind};
use axum::extract::{FromRequestParts, MatchedPath, Query, RawPathParams};
use http::request::Parts;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tracing::Span;

/// No token is as long as this.
const MAX_TOKEN: usize = 256;
/// 128 bits in base64url.
const ID_LENGTH: usize = 22;

/// The credential in the URL, and the surface that it was shown at. It has no `Debug`, so that it
/// can't slip into a log.
#[derive(Clone)]
pub(crate) struct Link {
    token: String,
    kind: TokenKind,
}

impl Link {
    /// What control asks to see with every call.
    pub(crate) fn access(&self) -> Access {
        Access { token: self.token.clone(), kind: self.kind.into() }
    }

    /// The path of a chat link. A token that control knows has nothing to escape.
    pub(crate) fn path(&self) -> String {
        format!("/chat/{}/", self.token)
    }
}

impl FromRequestParts<Arc<Gateway>> for Link {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        // A token that can't be decoded is as good as an unknown one.
        let token = parameter(parts, gateway, "token")
            .await
            .filter(|token| token.len() <= MAX_TOKEN)
            .ok_or_else(Problem::token_invalid)?;
        let route = parts.extensions.get::<MatchedPath>();
        let is_hook = route.is_some_and(|route| route.as_str().starts_with("/hook/"));
        let kind = if is_hook { TokenKind::Hook } else { TokenKind::Chat };
        Ok(Self { token, kind })
    }
}

/// The turn's id in the URL.
pub(crate) struct TurnId(pub(crate) String);

impl FromRequestParts<Arc<Gateway>> for TurnId {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        let id = parameter(parts, gateway, "turn").await;
        let id = id
            .filter(|id| is_id(id))
            .ok_or_else(|| Problem::invalid("This is not the id of a turn."))?;
        Span::current().record("turn", &id);
        Ok(Self(id))
    }
}

/// The conversation's id in the URL.
pub(crate) struct ConversationId(pub(crate) String);

impl FromRequestParts<Arc<Gateway>> for ConversationId {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        let id = parameter(parts, gateway, "conversation").await;
        Self::parse(id.unwrap_or_default())
    }
}

impl ConversationId {
    pub(crate) fn parse(id: String) -> Result<Self, Problem> {
        if is_id(&id) {
            Span::current().record("conversation", &id);
            Ok(Self(id))
        } else {
            Err(Problem::invalid("This is not the id of a conversation."))
        }
    }
}

/// The parameters behind the `?`.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Gateway>> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, gateway).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::invalid(rejection.body_text())),
        }
    }
}

async fn parameter(parts: &mut Parts, gateway: &Arc<Gateway>, name: &str) -> Option<String> {
    let parameters = RawPathParams::from_request_parts(parts, gateway).await.ok()?;
    let (_, value) = parameters.iter().find(|(key, _)| *key == name)?;
    Some(value.to_owned())
}

fn is_id(id: &str) -> bool {
    id.len() == ID_LENGTH
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
