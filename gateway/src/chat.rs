//! POST `/chat/{token}/`: accepts a visitor's message, and answers as JSON, HTML or an event
//! stream.

use crate::{
    accept::Accept,
    address::Visitor,
    control::Target,
    document::{self, MessageDocument, Status, TurnDocument},
    events,
    gateway::Gateway,
    language::Wanted,
    last_event_id::LastEventId,
    link::{Link, Parameters, WantsHtml},
    message::NewMessage,
    problem::Problem,
    schema::Id,
    streams::OpenStream,
    turn::{self, WaitQuery},
    unread::Unread,
};
use arizuko_proto::v1 as pb;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderName, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// The answer to a message.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Posted<'a> {
    #[schemars(with = "Id")]
    turn_id: &'a str,
    #[schemars(with = "Id")]
    conversation: &'a str,
    status: Status,
    /// Absent for webhooks.
    #[schemars(with = "MessageDocument<'_>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<MessageDocument<'a>>,
    agent_attached: bool,
    /// The reply. Present if the request has `wait` and the turn has ended.
    #[schemars(with = "Vec<MessageDocument<'_>>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    assistant: Option<Vec<MessageDocument<'a>>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

impl<'a> Posted<'a> {
    pub(crate) fn new(posted: &'a pb::PostMessageResponse) -> Self {
        Self {
            turn_id: &posted.turn_id,
            conversation: &posted.conversation,
            status: document::status(posted.status()),
            user: posted.user.as_ref().map(MessageDocument::new),
            agent_attached: posted.agent_attached,
            assistant: None,
            error: "",
        }
    }

    /// Adds the reply if the turn has ended.
    pub(crate) fn with_reply(mut self, turn: &'a pb::ConversationTurn) -> Self {
        self.status = document::status(turn.status());
        if !document::is_open(turn.status()) {
            self.assistant = Some(TurnDocument::new(turn, None).assistant);
            self.error = &turn.error;
        }
        self
    }
}

/// POST `/chat/{token}/`
pub(crate) async fn post(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    Parameters(wait): Parameters<WaitQuery>,
    wanted: Wanted,
    headers: HeaderMap,
    body: Unread<NewMessage>,
) -> Result<Response, Problem> {
    let accept = Accept::of(&headers);
    // Counts the stream or the wait before the message is posted, so that their limit refuses the
    // message and not only its answer.
    let wait = wait.duration();
    let permit = match accept {
        Accept::EventStream => Some(gateway.streams.open(visitor.0)?),
        Accept::Json if !wait.is_zero() => Some(gateway.streams.open(visitor.0)?),
        Accept::Json | Accept::Html => None,
    };
    let (body, share) = body.read(&gateway, &link, visitor, &headers).await?;
    let message = NewMessage::parse(&headers, &body)?;
    let posted = message.post(&gateway, &link, visitor, &headers).await?;
    drop((body, share));
    if accept == Accept::Html {
        let language = wanted.query("&");
        let path = format!("{}?conversation={}{language}", link.path(), posted.conversation);
        return Ok(Redirect::to(&path).into_response());
    }
    if accept == Accept::EventStream
        && let Some(permit) = permit
    {
        return stream(gateway, link, posted, permit).await;
    }
    if wait.is_zero() {
        return Ok(reply(&posted, None));
    }
    Ok(reply_within(&gateway, &link, visitor, &posted, wait).await)
}

/// Answers with the reply if the turn ends within the wait, and otherwise with 202. The message is
/// accepted, so a turn that can't be read is not an error.
pub(crate) async fn reply_within(
    gateway: &Gateway,
    link: &Link,
    visitor: Visitor,
    posted: &pb::PostMessageResponse,
    wait: Duration,
) -> Response {
    let id = posted.turn_id.clone();
    if let Ok((turn, room)) = turn::with_reply(gateway, link, visitor, id, wait).await {
        let response = reply(posted, Some(&turn));
        let Some(room) = room else { return response };
        if let Ok(response) = room.hold(response).await {
            return response;
        }
    }
    reply(posted, None)
}

/// Answers with the turn's frames as they come.
async fn stream(
    gateway: Arc<Gateway>,
    link: Link,
    posted: pb::PostMessageResponse,
    permit: OpenStream,
) -> Result<Response, Problem> {
    let target = Target::TurnId(posted.turn_id.clone());
    let stream =
        events::open(gateway, link, target, LastEventId(None), WantsHtml(false), permit).await?;
    let replayed = replayed(&posted);
    // The reader needs these ids to resume, even if the stream breaks before its first frame.
    let ids = [
        (HeaderName::from_static("arizuko-turn"), posted.turn_id),
        (HeaderName::from_static("arizuko-conversation"), posted.conversation),
    ];
    Ok((ids, replayed, stream).into_response())
}

/// Answers with the reply if the turn has ended, and otherwise with 202.
pub(crate) fn reply(
    posted: &pb::PostMessageResponse,
    turn: Option<&pb::ConversationTurn>,
) -> Response {
    let answer = Posted::new(posted);
    let Some(turn) = turn else {
        return (StatusCode::ACCEPTED, replayed(posted), Json(answer)).into_response();
    };
    let is_open = document::is_open(turn.status());
    let status = if is_open { StatusCode::ACCEPTED } else { StatusCode::OK };
    (status, replayed(posted), Json(answer.with_reply(turn))).into_response()
}

/// Returns the header that says that an earlier request took the message, if one did.
fn replayed(posted: &pb::PostMessageResponse) -> Option<[(HeaderName, &'static str); 1]> {
    posted.repeated.then_some([(HeaderName::from_static("idempotency-replayed"), "true")])
}
