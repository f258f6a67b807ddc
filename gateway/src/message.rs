//! The visitor's message in a request's body.

use crate::{link::ConversationId, problem::Problem};
use http::{HeaderMap, header::CONTENT_TYPE};
use serde::Deserialize;

/// A visitor's message.
#[derive(Deserialize)]
pub(crate) struct NewMessage {
    pub(crate) content: String,
    /// Empty for a new conversation.
    #[serde(default, deserialize_with = "absent_is_empty")]
    pub(crate) conversation: String,
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
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
        let message = match kind.trim().to_ascii_lowercase().as_str() {
            "application/json" => Self::from_json(body)?,
            "application/x-www-form-urlencoded" => Self::from_form(body)?,
            "text/plain" => Self::from_text(body)?,
            _ => return Err(Problem::unsupported_media_type()),
        };
        if message.content.trim().is_empty() {
            return Err(Problem::invalid("The message is empty."));
        }
        if !message.conversation.is_empty() {
            ConversationId::parse(message.conversation.clone())?;
        }
        Ok(message)
    }

    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body)
            .map_err(|error| Problem::invalid(format!("The body is not a message: {error}.")))
    }

    fn from_form(body: &[u8]) -> Result<Self, Problem> {
        let mut message = Self::from_text(b"")?;
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "content" => message.content = value.into_owned(),
                "conversation" => message.conversation = value.into_owned(),
                "altcha" => message.altcha = value.into_owned(),
                _ => {}
            }
        }
        Ok(message)
    }

    fn from_text(body: &[u8]) -> Result<Self, Problem> {
        let content =
            str::from_utf8(body).map_err(|_| Problem::invalid("The text is not UTF-8."))?;
        Ok(Self { content: content.to_owned(), conversation: String::new(), altcha: String::new() })
    }
}
