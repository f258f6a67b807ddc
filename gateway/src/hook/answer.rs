//! The answer to a delivery: at once, or the agent's response.

use super::handshake::parameter;
use crate::{address::Visitor, chat, gateway::Gateway, link::Link, streams::OpenStream, turn};
use arizuko_proto::v1 as pb;
use axum::response::{IntoResponse as _, Response};
use http::{
    HeaderName, HeaderValue, StatusCode, Uri,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};
use std::time::Duration;

/// Keeps a browser from running anything in a response, whatever its type, in our origin.
const POLICY: HeaderValue =
    HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'");

/// Returns the `?wait=` of a delivery, in whole seconds. Anything else is a parameter of the
/// sender's own.
pub(super) fn asked_wait(uri: &Uri) -> Option<Duration> {
    let seconds = parameter(uri, "wait")?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(turn::MAX_WAIT))
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

/// Control has checked the response.
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
