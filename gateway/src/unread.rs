//! A request's body: how it is read, and what it is parsed into.

use crate::{
    address::Visitor,
    bodies::Share,
    encoding::Encoding,
    gateway::Gateway,
    header::Header,
    link::Link,
    operation::{Argument, Description},
    problem::Problem,
};
use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::{convert::Infallible, marker::PhantomData};

pub(crate) const JSON: &str = "application/json";

/// What a body is parsed into.
pub(crate) trait Content: JsonSchema {
    /// The media types that the body may have.
    const TYPES: &'static [&'static str] = &[JSON];
    /// The headers that are read with it.
    const HEADERS: &'static [&'static Header] = &[];

    /// Returns the schema of a body of this media type.
    fn schema(schemas: &mut SchemaGenerator, _media_type: &str) -> Schema {
        schemas.subschema_for::<Self>()
    }
}

/// A body that is not read yet, to be parsed into a `T`.
pub(crate) struct Unread<T> {
    body: Body,
    becomes: PhantomData<fn() -> T>,
}

impl<T: Content> Argument for Unread<T> {
    fn describe(operation: &mut Description<'_>) {
        for header in T::HEADERS {
            header.describe(operation, false);
        }
        let mut content = Map::new();
        for media_type in T::TYPES {
            let schema = T::schema(operation.schemas, media_type);
            content.insert((*media_type).to_owned(), json!({ "schema": schema }));
        }
        operation.body(true, Value::Object(content));
    }
}

impl<T, S: Sync> FromRequest<S> for Unread<T> {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self::new(request.into_body()))
    }
}

impl<T> Unread<T> {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, becomes: PhantomData }
    }
}

impl<T: Content> Unread<T> {
    /// Reads the body within the limits of its link and its address.
    pub(crate) async fn read(
        self,
        gateway: &Gateway,
        link: &Link,
        visitor: Visitor,
        headers: &HeaderMap,
    ) -> Result<(Bytes, Share), Problem> {
        let encoding = Encoding::of(headers)?;
        link.check_before_body(gateway, headers).await?;
        let limit = gateway.options.limits.chat_body_bytes;
        let (body, mut share) = gateway.bodies.read(visitor.0, self.body, limit).await?;
        let body = gateway.decoders.decode(encoding, &body, limit, &mut share).await?;
        Ok((body, share))
    }

    /// Reads and parses a body that must be JSON.
    pub(crate) async fn read_json(
        self,
        gateway: &Gateway,
        link: &Link,
        visitor: Visitor,
        headers: &HeaderMap,
    ) -> Result<T, Problem>
    where
        T: DeserializeOwned,
    {
        let (body, _share) = self.read(gateway, link, visitor, headers).await?;
        if !T::TYPES.contains(&&*content_type(headers)) {
            return Err(Problem::not_json());
        }
        check_utf8(headers, &body)?;
        serde_json::from_slice(&body).map_err(|error| not_read("The body can't be read", &error))
    }
}

/// Returns the media type of a body, in lower case and without parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// Refuses a body whose Content-Type names a character set other than UTF-8, or that begins with a
/// byte order mark.
pub(crate) fn check_utf8(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
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

/// Returns the problem of JSON that can't be parsed. `what` begins its sentence.
pub(crate) fn not_read(what: &str, error: &serde_json::Error) -> Problem {
    let mut why = error.to_string();
    if ["surrogate", "hex escape"].iter().any(|word| why.contains(word)) {
        let (line, column) = (error.line(), error.column());
        why = format!("half a character, as a \\u escape, at line {line} column {column}");
    }
    Problem::invalid(format!("{what}: {why}."))
}
