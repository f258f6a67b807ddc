//! The headers of requests that the API reads as text.

use crate::{
    operation::{Argument, Description},
    problem::Problem,
};
use arizuko_proto::telemetry::traces::TRACEPARENT;
use axum::extract::FromRequestParts;
use http::{HeaderMap, request::Parts};
use serde_json::json;
use std::ops::RangeInclusive;

/// A header.
pub(crate) struct Header {
    pub(crate) name: &'static str,
    /// How many characters its value may have.
    pub(crate) lengths: RangeInclusive<usize>,
    pub(crate) description: &'static str,
}

/// The key by which control recognises the repeat of a message.
pub(crate) const IDEMPOTENCY_KEY: Header = Header {
    name: "Idempotency-Key",
    lengths: 22..=255,
    description: "A repeat with the same key returns the first turn. In an existing conversation \
        the key may also be shorter.",
};

/// The JWT by which the site says who the visitor is.
pub(crate) const VISITOR: Header = Header {
    name: "Arizuko-Visitor",
    lengths: 0..=4096,
    description: "A JWT by which the site says who the visitor is, signed with a key of the link. \
        It has `sub`, `aud` (the link's id, `tok_…`) and `exp` (at most an hour away), and may have \
        `name`, `email`, `page` and others. A conversation that has had a JWT is 404 for another \
        `sub`.",
};

/// The headers that are read with a visitor's message.
pub(crate) const OF_MESSAGES: &[&Header] = &[&IDEMPOTENCY_KEY, &VISITOR];

impl Header {
    /// Returns the value, which is empty if the header is missing.
    ///
    /// # Errors
    /// The value is too long, or has other characters than visible ASCII.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Result<String, Problem> {
        text(headers, self.name, *self.lengths.end())
    }

    pub(crate) fn describe(&self, operation: &mut Description<'_>, is_required: bool) {
        let fewest = usize::from(is_required).max(*self.lengths.start());
        let mut schema = json!({ "type": "string", "description": self.description });
        if fewest > 0 {
            schema["minLength"] = fewest.into();
        }
        if *self.lengths.end() < usize::MAX {
            schema["maxLength"] = (*self.lengths.end()).into();
        }
        operation.parameter("header", self.name, is_required, schema);
    }
}

/// The JWT that says who the visitor is, where a request must have one.
pub(crate) struct VisitorJwt(pub(crate) String);

impl Argument for VisitorJwt {
    fn describe(operation: &mut Description<'_>) {
        VISITOR.describe(operation, true);
    }
}

impl<S: Sync> FromRequestParts<S> for VisitorJwt {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let jwt = VISITOR.read(&parts.headers)?;
        if jwt.is_empty() {
            let detail = format!("Say who the visitor is, in the header {}.", VISITOR.name);
            return Err(Problem::invalid(detail));
        }
        Ok(Self(jwt))
    }
}

/// Returns the trace that a request belongs to; empty if it names none.
pub(crate) fn traceparent(headers: &HeaderMap) -> String {
    text(headers, TRACEPARENT, 255).unwrap_or_default()
}

fn text(headers: &HeaderMap, name: &str, most: usize) -> Result<String, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(String::new());
    };
    match value.to_str() {
        Ok(value) if value.len() <= most => Ok(value.to_owned()),
        _ => Err(Problem::invalid(format!(
            "The header {name} must have only visible ASCII characters, at most {most}."
        ))),
    }
}
