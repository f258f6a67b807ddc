//! The visitor's message: how it is read from a request's body, and posted.

use crate::{
    address::Visitor,
    bodies::Share,
    encoding::Encoding,
    gateway::Gateway,
    link::{ConversationId, Link},
    problem::Problem,
};
use arizuko_proto::v1 as pb;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use serde::{Deserialize, de::DeserializeOwned};

/// A visitor's message.
#[derive(Default, Deserialize)]
pub(crate) struct NewMessage {
    pub(crate) content: String,
    /// Empty for a new conversation.
    #[serde(default, deserialize_with = "absent_is_empty")]
    pub(crate) conversation: String,
    /// The turn whose message this one replaces; empty for none.
    #[serde(default, deserialize_with = "absent_is_empty")]
    pub(crate) supersedes: String,
    /// The solution of a challenge, in ALTCHA's form; empty if there is none.
    #[serde(default, deserialize_with = "absent_is_empty")]
    pub(crate) altcha: String,
}

fn absent_is_empty<'de, D: serde::Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

impl NewMessage {
    /// Parses a body by its Content-Type.
    pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        match content_type(headers).as_str() {
            "application/json" => Self::from_json(body),
            "application/x-www-form-urlencoded" => Self::from_form(body),
            "text/plain" => Self::from_text(body),
            _ => Err(Problem::unsupported_media_type()),
        }
    }

    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body)
            .map_err(|error| Problem::invalid(format!("The body is not a message: {error}.")))
    }

    fn from_form(body: &[u8]) -> Result<Self, Problem> {
        let mut message = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "content" => message.content = value.into_owned(),
                "conversation" => message.conversation = value.into_owned(),
                "supersedes" => message.supersedes = value.into_owned(),
                "altcha" => message.altcha = value.into_owned(),
                _ => {}
            }
        }
        Ok(message)
    }

    fn from_text(body: &[u8]) -> Result<Self, Problem> {
        let content =
            str::from_utf8(body).map_err(|_| Problem::invalid("The text is not UTF-8."))?;
        Ok(Self { content: content.to_owned(), ..Self::default() })
    }

    /// Posts the message, with the request's Idempotency-Key.
    pub(crate) async fn post(
        self,
        gateway: &Gateway,
        link: &Link,
        visitor: Visitor,
        headers: &HeaderMap,
    ) -> Result<pb::PostMessageResponse, Problem> {
        if self.content.trim().is_empty() {
            return Err(Problem::invalid("The message is empty."));
        }
        if !self.conversation.is_empty() {
            ConversationId::parse(self.conversation.clone())?;
        }
        let request = pb::PostMessageRequest {
            access: Some(link.access()),
            conversation: self.conversation,
            content: self.content.into(),
            headers: Vec::new(),
            idempotency_key: header(headers, "idempotency-key")?,
            client_address: visitor.0.to_string(),
            traceparent: header(headers, "traceparent").unwrap_or_default(),
            request: None,
            credentials: Vec::new(),
            proof: self.altcha,
            supersedes: self.supersedes,
        };
        let posted = gateway.control.post(request).await?;
        gateway.rates.charge_repeat(&posted, visitor.0);
        Ok(posted)
    }
}

/// Reads the body of a request with a message, within the limits of its link and its address.
pub(crate) async fn read_body(
    gateway: &Gateway,
    link: &Link,
    visitor: Visitor,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Share), Problem> {
    let encoding = Encoding::of(headers)?;
    link.check_before_body(gateway, headers).await?;
    let limit = gateway.options.limits.chat_body_bytes;
    let (body, mut share) = gateway.bodies.read(visitor.0, body, limit).await?;
    let body = gateway.decoders.decode(encoding, &body, limit, &mut share).await?;
    Ok((body, share))
}

/// Parses a body that must be JSON.
pub(crate) fn from_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, Problem> {
    if content_type(headers) != "application/json" {
        return Err(Problem::not_json());
    }
    serde_json::from_slice(body)
        .map_err(|error| Problem::invalid(format!("The body can't be read: {error}.")))
}

/// Returns the media type of a body, in lower case and without parameters.
fn content_type(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// Returns a header of at most 255 visible characters, or an empty string if it is missing.
pub(crate) fn header(headers: &HeaderMap, name: &'static str) -> Result<String, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(String::new());
    };
    match value.to_str() {
        Ok(value) if value.len() <= 255 => Ok(value.to_owned()),
        _ => Err(Problem::invalid(format!(
            "The header {name} must have at most 255 visible ASCII characters."
        ))),
    }
}
