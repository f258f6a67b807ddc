//! The answer to a delivery: at once, or the agent's response.

use super::handshake::parameter;
use crate::{
    address::Visitor,
    chat,
    gateway::Gateway,
    link::Link,
    operation::{Argument, Description},
    streams::OpenStream,
    turn,
};
use arizuko_proto::v1 as pb;
use axum::{
    extract::FromRequestParts,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    request::Parts,
};
use serde_json::json;
use std::{convert::Infallible, time::Duration};

/// Keeps a browser from running any part of a response in our origin, whatever the response's type.
const POLICY: HeaderValue =
    HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'");

/// The query parameter that asks for a wait.
const WAIT: &str = "wait";

/// The `?wait=` of a delivery, in whole seconds. Any other value of `wait` is the sender's own and
/// is ignored.
pub(crate) struct AskedWait(pub(super) Option<Duration>);

impl Argument for AskedWait {
    fn describe(operation: &mut Description<'_>) {
        let description = format!(
            "A number: waits up to this many seconds for the agent's response or the turn's end, \
             {} at most, whatever the link says.",
            turn::MAX_WAIT.as_secs()
        );
        let schema = json!({ "type": "string", "examples": ["20"], "description": description });
        operation.parameter("query", WAIT, false, schema);
    }
}

impl<S: Sync> FromRequestParts<S> for AskedWait {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let seconds = parameter(&parts.uri, WAIT).and_then(|seconds| seconds.parse().ok());
        Ok(Self(seconds.map(|seconds| Duration::from_secs(seconds).min(turn::MAX_WAIT))))
    }
}

/// Returns how long deliveries to this link wait.
pub(super) fn links_wait(posted: &pb::PostMessageResponse) -> Duration {
    let wait = posted.wait.and_then(|wait| Duration::try_from(wait).ok());
    wait.unwrap_or_default().min(turn::MAX_WAIT)
}

/// Answers with the agent's response if it comes within the wait, with the reply if the turn ends
/// without one, and otherwise with 202. If there is no `permit` yet, takes one for the wait; if the
/// address has too many, doesn't wait.
pub(super) async fn within(
    gateway: &Gateway,
    link: &Link,
    visitor: Visitor,
    posted: &pb::PostMessageResponse,
    wait: Duration,
    permit: Option<OpenStream>,
) -> Response {
    if wait.is_zero() {
        return chat::reply(posted, None);
    }
    let Ok(_permit) = permit.map_or_else(|| gateway.streams.open(visitor.0), Ok) else {
        return chat::reply(posted, None);
    };
    let request = pb::GetTurnRequest {
        access: Some(link.access()),
        turn_id: posted.turn_id.clone(),
        without_messages: true,
        response: true,
        ..pb::GetTurnRequest::default()
    };
    match turn::read_within(gateway, request, wait).await {
        Ok(pb::GetTurnResponse { response: Some(response), .. }) => into_http(response),
        _ => chat::reply_within(gateway, link, visitor, posted, Duration::ZERO).await,
    }
}

/// Converts the agent's response, which control has checked.
fn into_http(response: pb::HttpResponse) -> Response {
    let pb::HttpResponse { status, content_type, headers, body } = response;
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let is_empty = body.is_empty();
    let mut answer = (status.unwrap_or(StatusCode::OK), body).into_response();
    let own = answer.headers_mut();
    own.remove(CONTENT_TYPE);
    if let Some(value) = HeaderValue::from_str(&content_type).ok().filter(|_| !is_empty) {
        own.insert(CONTENT_TYPE, value);
    }
    for pb::Header { name, value } in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(&value))
        {
            own.insert(name, value);
        }
    }
    own.insert(CONTENT_SECURITY_POLICY, POLICY);
    answer
}
