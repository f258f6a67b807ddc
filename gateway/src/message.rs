//! The visitor's message: how it is read from a request's body, and posted.

use crate::{
    address::Visitor,
    bodies::Share,
    encoding::Encoding,
    gateway::Gateway,
    link::{ConversationId, Link},
    problem::Problem,
    schema::Id,
};
use arizuko_proto::v1 as pb;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::HashMap;

/// A visitor's message.
#[derive(Default, Deserialize, JsonSchema)]
pub(crate) struct NewMessage {
    #[schemars(regex(pattern = r"\S"))]
    pub(crate) content: String,
    /// A new one if omitted.
    #[schemars(with = "Id")]
    #[serde(default, deserialize_with = "absent_is_empty")]
    pub(crate) conversation: String,
    /// The turn whose message this one replaces: the last of the conversation, which has ended.
    /// Agents then get a history without it.
    #[schemars(with = "Id")]
    #[serde(default, deserialize_with = "absent_is_empty")]
    pub(crate) supersedes: String,
    /// Where the visitor writes, for the agent. Nobody checks it.
    #[serde(default)]
    pub(crate) page: Option<Page>,
    /// The solution of a 428's challenge: ALTCHA's payload, the Base64 of the JSON {challenge,
    /// solution: {counter, derivedKey}}. It is good for one message.
    #[schemars(length(max = 4096))]
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

impl NewMessage {
    /// Parses a body by its Content-Type.
    pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        check_utf8(headers, body)?;
        match content_type(headers).as_str() {
            "application/json" => Self::from_json(body),
            "application/x-www-form-urlencoded" => Self::from_form(body),
            "text/plain" => Self::from_text(body),
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
            idempotency_key: idempotency_key(headers)?,
            client_address: visitor.0.to_string(),
            traceparent: header(headers, "traceparent").unwrap_or_default(),
            request: None,
            credentials: Vec::new(),
            proof: self.altcha,
            supersedes: self.supersedes,
            visitor_jwt: visitor_jwt(headers)?,
            page: self.page.map(Into::into),
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
    check_utf8(headers, body)?;
    serde_json::from_slice(body).map_err(|error| not_read("The body can't be read", &error))
}

fn not_read(what: &str, error: &serde_json::Error) -> Problem {
    let mut why = error.to_string();
    if ["surrogate", "hex escape"].iter().any(|word| why.contains(word)) {
        let (line, column) = (error.line(), error.column());
        why = format!("half a character, as a \\u escape, at line {line} column {column}");
    }
    Problem::invalid(format!("{what}: {why}."))
}

/// Refuses a body whose Content-Type names a character set other than UTF-8, or that begins with a
/// byte order mark.
fn check_utf8(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let charset = kind.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    let is_utf8 = charset.is_none_or(|charset| {
        ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
    });
    let has_mark = [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"];
    let has_mark = has_mark.iter().any(|mark| body.starts_with(mark));
    if is_utf8 && !has_mark { Ok(()) } else { Err(Problem::not_utf8()) }
}

/// Returns the media type of a body, in lower case and without parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// Returns the Idempotency-Key, without the quotation marks that the header's draft has around it.
fn idempotency_key(headers: &HeaderMap) -> Result<String, Problem> {
    let key = header(headers, "idempotency-key")?;
    let quoted = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    Ok(quoted.map_or_else(|| key.clone(), str::to_owned))
}

/// Returns a header of at most 255 visible characters, or an empty string if it is missing.
pub(crate) fn header(headers: &HeaderMap, name: &'static str) -> Result<String, Problem> {
    header_within(headers, name, 255)
}

/// Returns the JWT that says who the visitor is, or an empty string if there is none.
pub(crate) fn visitor_jwt(headers: &HeaderMap) -> Result<String, Problem> {
    header_within(headers, "arizuko-visitor", 4_096)
}

fn header_within(headers: &HeaderMap, name: &str, most: usize) -> Result<String, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(String::new());
    };
    match value.to_str() {
        Ok(value) if value.len() <= most => Ok(value.to_owned()),
        _ => Err(Problem::invalid(format!(
            "The header {name} must have at most {most} visible ASCII characters."
        ))),
    }
}
