//! `/hook/{token}` and the paths below it. POST, PUT and PATCH take a delivery: any body, with its
//! method, path, query and headers. GET greets, answers a challenge or reads a turn.

mod answer;
mod handshake;
mod headers;

use crate::{
    address::Visitor,
    bodies::Share,
    encoding::Encoding,
    gateway::Gateway,
    header::{Header, traceparent},
    link::{Link, Parameters, TurnId, WantsHtml},
    operation::{Argument, Description},
    problem::Problem,
    turn::{self, SnapshotQuery},
};
use answer::AskedWait;
use arizuko_proto::v1 as pb;
use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use handshake::Visit;
use headers::Headers;
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{ALLOW, CONTENT_TYPE},
    request::Parts,
};
use serde_json::json;
use std::{convert::Infallible, sync::Arc};

/// The methods that a webhook takes, for the header `Allow`.
const METHODS: &str = "GET, HEAD, OPTIONS, PATCH, POST, PUT";
/// The answer to somebody who opens the URL, and to a sender that tries it with a GET.
const GREETING: &str = "This is a webhook. Send deliveries to this URL with POST.\n";

/// POST, PUT and PATCH: takes a delivery.
pub(crate) async fn deliver(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    AskedWait(asked): AskedWait,
    Parts { method, uri, headers, .. }: Parts,
    body: Body,
) -> Result<Response, Problem> {
    // Counts the wait before the delivery is posted, so that its limit refuses the delivery and not
    // only its answer.
    let is_long = asked.is_some_and(|wait| !wait.is_zero());
    let permit = is_long.then(|| gateway.streams.open(visitor.0)).transpose()?;
    let Content { content, encoded_content, share } =
        read(&gateway, &link, visitor, &headers, body).await?;
    if let Some(answer) = handshake::in_delivery(&uri, &headers, &content)? {
        gateway.control.resolve(link.access()).await?;
        return Ok(answer);
    }
    let Headers { forwarded, credentials } = headers::sort(&headers);
    let request = pb::PostMessageRequest {
        access: Some(link.access()),
        conversation: String::new(),
        content,
        headers: forwarded,
        credentials,
        idempotency_key: String::new(),
        client_address: visitor.0.to_string(),
        traceparent: traceparent(&headers),
        request: Some(pb::HookRequest {
            method: method.to_string(),
            path: path_after_token(&uri).to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            url: String::new(),
            encoded_content,
        }),
        proof: String::new(),
        supersedes: String::new(),
        visitor_jwt: String::new(),
        page: None,
    };
    let posted = gateway.control.post(request).await;
    let mut posted = posted.map_err(Problem::of_delivery)?;
    if posted.filtered {
        gateway.metrics.filtered.inc();
        return Ok(Json(json!({ "status": "filtered" })).into_response());
    }
    if !posted.handshake.is_empty() {
        let json = [(CONTENT_TYPE, "application/json")];
        return Ok((json, posted.handshake).into_response());
    }
    gateway.rates.charge_repeat(&posted, visitor.0);
    // The caller knows its body, which may not be text.
    posted.user = None;
    drop(share);
    let wait = asked.unwrap_or_else(|| answer::links_wait(&posted));
    let mut answer = answer::within(&gateway, &link, visitor, &posted, wait, permit).await;
    if posted.repeated {
        answer.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(answer)
}

/// A delivery's body.
struct Content {
    content: Bytes,
    /// The body as it was sent, if it had a Content-Encoding.
    encoded_content: Bytes,
    share: Share,
}

async fn read(
    gateway: &Gateway,
    link: &Link,
    visitor: Visitor,
    headers: &HeaderMap,
    body: Body,
) -> Result<Content, Problem> {
    let encoding = Encoding::of(headers)?;
    link.check_before_body(gateway, headers).await?;
    let limit = gateway.options.limits.hook_body_bytes;
    let (body, mut share) = gateway.bodies.read(visitor.0, body, limit).await?;
    if encoding == Encoding::Identity {
        return Ok(Content { content: body, encoded_content: Bytes::new(), share });
    }
    // The agent gets both bodies, so the limit is for both together.
    let room = limit - body.len();
    let content = gateway.decoders.decode(encoding, &body, room, &mut share).await?;
    Ok(Content { content, encoded_content: body, share })
}

/// GET and HEAD: answers a sender's challenge, or says that this is a webhook.
pub(crate) async fn greet(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visit: Result<Visit, Problem>,
) -> Result<Response, Problem> {
    gateway.control.resolve(link.access()).await?;
    let Visit(answer) = visit?;
    Ok(answer.unwrap_or_else(|| GREETING.into_response()))
}

/// GET `/hook/{token}/{turn}`: answers with a turn, or as [`greet`] does if the path has no turn's
/// id or the request has a challenge.
pub(crate) async fn turn_or_greeting(
    state: State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    turn: Result<TurnId, Problem>,
    query: Result<Parameters<SnapshotQuery>, Problem>,
    html: WantsHtml,
    visit: Result<Visit, Problem>,
) -> Result<Response, Problem> {
    match (turn, visit) {
        (Ok(turn), Ok(Visit(None))) => {
            turn::snapshot(state, link, visitor, turn, query?, html).await
        }
        (_, visit) => greet(state, link, visit).await,
    }
}

/// The header by which a CloudEvents sender asks whether it may send.
const REQUEST_ORIGIN: Header = Header {
    name: "WebHook-Request-Origin",
    lengths: 0..=usize::MAX,
    description: "Who asks to send. The answer allows it.",
};

/// The CloudEvents sender that asks whether it may send, if one does.
pub(crate) struct RequestOrigin(Option<HeaderValue>);

impl Argument for RequestOrigin {
    fn describe(operation: &mut Description<'_>) {
        REQUEST_ORIGIN.describe(operation, false);
    }
}

impl<S: Sync> FromRequestParts<S> for RequestOrigin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get(REQUEST_ORIGIN.name).cloned()))
    }
}

/// OPTIONS: says which methods a webhook takes. Tells a CloudEvents sender that it may send, and
/// how often.
pub(crate) async fn options(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    RequestOrigin(origin): RequestOrigin,
) -> Result<Response, Problem> {
    let resolved = gateway.control.resolve(link.access()).await?;
    let mut answer = (StatusCode::OK, [(ALLOW, METHODS)]).into_response();
    if let Some(origin) = origin {
        let rate = resolved.messages_per_minute.max(1);
        let allowed = answer.headers_mut();
        allowed.insert("webhook-allowed-origin", origin);
        allowed.insert("webhook-allowed-rate", HeaderValue::from(rate));
    }
    Ok(answer)
}

/// Returns the path after the secret, with its escapes.
fn path_after_token(uri: &Uri) -> &str {
    let below = uri.path().strip_prefix("/hook/").unwrap_or_default();
    below.find('/').map_or("", |slash| &below[slash..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_after_the_token_is_kept_as_it_is() {
        let after = |path: &'static str| path_after_token(&Uri::from_static(path)).to_owned();
        assert_eq!(after("/hook/T"), "");
        assert_eq!(after("/hook/T/"), "/");
        assert_eq!(after("/hook/T/a%2Fb/c?x=/y"), "/a%2Fb/c");
        assert_eq!(after("https://a.example/hook/T/a//b/"), "/a//b/");
    }
}
