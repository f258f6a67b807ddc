//! The visitor's message: how it is read from a request's body, and posted.

use crate::{
    address::Visitor,
    gateway::Gateway,
    header::{Header, IDEMPOTENCY_KEY, OF_MESSAGES, VISITOR, traceparent},
    link::{ConversationId, Link},
    operation::without_null,
    problem::Problem,
    schema::IdOrEmpty,
    unread::{Content, JSON, check_utf8, content_type, not_read},
};
use arizuko_proto::v1 as pb;
use http::HeaderMap;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value;
use std::{borrow::Cow, collections::HashMap};

const FORM: &str = "application/x-www-form-urlencoded";
const TEXT: &str = "text/plain";

/// A visitor's message.
#[derive(Default, Deserialize, JsonSchema)]
pub(crate) struct NewMessage {
    #[schemars(regex(pattern = r"\S"))]
    pub(crate) content: String,
    /// If omitted, a new conversation begins.
    #[schemars(with = "Option<IdOrEmpty>")]
    #[serde(default, deserialize_with = "absent_is_empty")]
    pub(crate) conversation: String,
    /// The turn whose message this one replaces. It must be the conversation's last turn, and must
    /// have ended. Agents then get a history without that turn.
    #[schemars(with = "Option<IdOrEmpty>")]
    #[serde(default, deserialize_with = "absent_is_empty")]
    pub(crate) supersedes: String,
    /// The page on which the visitor writes, for the agent. It is not verified.
    #[serde(default)]
    pub(crate) page: Option<Page>,
    /// The solution of the challenge that came with the status 428. It is ALTCHA's payload: the
    /// Base64 of the JSON {challenge, solution: {counter, derivedKey}}. It is good for one message.
    #[schemars(with = "Option<String>", length(max = 4096))]
    #[serde(default, deserialize_with = "absent_is_empty")]
    pub(crate) altcha: String,
}

/// The page from which a visitor writes.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Page {
    #[schemars(length(max = 2000))]
    url: String,
    #[schemars(length(max = 300))]
    title: String,
    #[schemars(length(max = 35))]
    language: String,
    #[schemars(extend("maxProperties" = 20))]
    data: HashMap<String, String>,
}

impl From<Page> for pb::VisitorPage {
    fn from(page: Page) -> Self {
        let Page { url, title, language, data } = page;
        Self { url, title, language, data }
    }
}

fn absent_is_empty<'de, D: serde::Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

impl Content for NewMessage {
    const TYPES: &'static [&'static str] = &[JSON, FORM, TEXT];
    const HEADERS: &'static [&'static Header] = OF_MESSAGES;

    fn schema(schemas: &mut SchemaGenerator, media_type: &str) -> Schema {
        match media_type {
            FORM => schemas.subschema_for::<MessageForm>(),
            TEXT => {
                let message = Self::json_schema(schemas);
                let content = message.pointer("/properties/content").cloned().unwrap_or_default();
                Schema::try_from(content).unwrap_or_default()
            }
            _ => schemas.subschema_for::<Self>(),
        }
    }
}

/// A message as a form. Its schema is that of a message, without the fields that no form has.
struct MessageForm;

impl JsonSchema for MessageForm {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("MessageForm")
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let mut schema = NewMessage::json_schema(schemas);
        let mut message = NewMessage::default();
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|name, _| message.form_field(name).is_some());
            properties.values_mut().for_each(without_null);
        }
        schema
    }
}

impl NewMessage {
    /// Parses a body by its Content-Type.
    pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        check_utf8(headers, body)?;
        match content_type(headers).as_str() {
            JSON => Self::from_json(body),
            FORM => Self::from_form(body),
            TEXT => Self::from_text(body),
            _ => Err(Problem::unsupported_media_type()),
        }
    }

    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body).map_err(|error| not_read("The body is not a message", &error))
    }

    fn from_form(body: &[u8]) -> Result<Self, Problem> {
        if body.starts_with(b"{") {
            let detail = "The body looks like JSON, but its Content-Type says that it is a form. \
                Send it as application/json, with `curl --json` for example.";
            return Err(Problem::invalid(detail));
        }
        let mut message = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            if let Some(field) = message.form_field(&name) {
                *field = value.into_owned();
            }
        }
        Ok(message)
    }

    /// Returns the field that a form's field of this name sets; `None` if there is none.
    fn form_field(&mut self, name: &str) -> Option<&mut String> {
        match name {
            "content" => Some(&mut self.content),
            "conversation" => Some(&mut self.conversation),
            "supersedes" => Some(&mut self.supersedes),
            "altcha" => Some(&mut self.altcha),
            _ => None,
        }
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
            idempotency_key: idempotency_key(headers)?,
            client_address: visitor.0.to_string(),
            traceparent: traceparent(headers),
            request: None,
            credentials: Vec::new(),
            proof: self.altcha,
            supersedes: self.supersedes,
            visitor_jwt: VISITOR.read(headers)?,
            page: self.page.map(Into::into),
        };
        let posted = gateway.control.post(request).await?;
        gateway.rates.charge_repeat(&posted, visitor.0);
        Ok(posted)
    }
}

/// Returns the Idempotency-Key, without the quotation marks that the header's specification puts
/// around it.
fn idempotency_key(headers: &HeaderMap) -> Result<String, Problem> {
    let key = IDEMPOTENCY_KEY.read(headers)?;
    let quoted = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    Ok(quoted.map_or_else(|| key.clone(), str::to_owned))
}
