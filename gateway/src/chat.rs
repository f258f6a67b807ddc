//! POST `/chat/{token}/`: a visitor's message, and the answer to it in three forms.

use crate::{
    Gateway,
    accept::Accept,
    address::{OpenStream, Visitor},
    control::Target,
    document::{self, Message, Turn},
    events::{self, Asked},
    link::{Link, Parameters},
    message,
    problem::Problem,
    turn::{self, Wait},
};
use arizuko_proto::v1 as pb;
use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use std::sync::Arc;

/// The answer to a message.
#[derive(Serialize)]
pub(crate) struct Posted<'a> {
    turn_id: &'a str,
    conversation: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Message<'a>>,
    agent_attached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    assistant: Option<Vec<Message<'a>>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

impl<'a> Posted<'a> {
    pub(crate) fn new(posted: &'a pb::PostMessageResponse) -> Self {
        Self {
            turn_id: &posted.turn_id,
            conversation: &posted.conversation,
            status: document::status(posted.status()),
            user: posted.user.as_ref().map(Message::new),
            agent_attached: posted.agent_attached,
            assistant: None,
            error: "",
        }
    }
}

/// POST `/chat/{token}/`
pub(crate) async fn post(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    Parameters(wait): Parameters<Wait>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let accept = Accept::of(&headers);
    // Before the message is taken, so that it isn't taken and then refused.
    let permit = match accept {
        Accept::EventStream => Some(OpenStream::new(&gateway, visitor)?),
        Accept::Json | Accept::Html => None,
    };
    let body = message::read(body, gateway.options.chat_body_bytes).await?;
    let message = message::Message::parse(&headers, &body)?;
    let request = pb::PostMessageRequest {
        access: Some(link.access()),
        conversation: message.conversation,
        content: message.content.into(),
        headers: Vec::new(),
        idempotency_key: header(&headers, "idempotency-key")?,
        client_address: visitor.0.to_string(),
        traceparent: header(&headers, "traceparent").unwrap_or_default(),
    };
    let posted = gateway.control.post(request).await?;
    if accept == Accept::Html {
        let path = format!("{}?conversation={}", link.path(), posted.conversation);
        return Ok(Redirect::to(&path).into_response());
    }
    if let Some(permit) = permit {
        // The frames don't say these, and the reader needs them to go on.
        let ids = [
            (HeaderName::from_static("arizuko-turn"), posted.turn_id.clone()),
            (HeaderName::from_static("arizuko-conversation"), posted.conversation.clone()),
        ];
        let target = Target::TurnId(posted.turn_id.clone());
        let stream = events::open(gateway, link, target, Asked::default(), permit).await?;
        return Ok((ids, stream).into_response());
    }
    let wait = wait.duration();
    if wait.is_zero() {
        return Ok((StatusCode::ACCEPTED, Json(Posted::new(&posted))).into_response());
    }
    // The message is taken, so it is no error if its reply can't be had now.
    let turn_id = posted.turn_id.clone();
    let now = turn::within(&gateway, &link, turn_id, wait).await;
    let now = now.ok().and_then(|now| now.turn);
    Ok(reply(&posted, now.as_ref()))
}

/// The answer to a message whose reply was waited for.
fn reply(posted: &pb::PostMessageResponse, turn: Option<&pb::ConversationTurn>) -> Response {
    let mut answer = Posted::new(posted);
    let Some(turn) = turn else {
        return (StatusCode::ACCEPTED, Json(answer)).into_response();
    };
    answer.status = document::status(turn.status());
    if document::is_open(turn.status()) {
        return (StatusCode::ACCEPTED, Json(answer)).into_response();
    }
    answer.assistant = Some(Turn::new(turn, false).assistant);
    answer.error = &turn.error;
    Json(answer).into_response()
}

/// A header of at most 255 visible characters; the empty string where there is none.
pub(crate) fn header(headers: &HeaderMap, name: &'static str) -> Result<String, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(String::new());
    };
    match value.to_str() {
        Ok(value) if value.len() <= 255 => Ok(value.to_owned()),
        _ => Err(Problem::invalid(format!("The header {name} is not one."))),
    }
}
