//! `/chat/{token}/c/{conversation}`: a conversation's history, and its deletion; and
//! `/chat/{token}/c`: the conversations of a visitor for whom the site vouches.

use crate::{
    address::Visitor,
    document::{TurnDocument, time},
    gateway::Gateway,
    header::VisitorJwt,
    last_event_id,
    link::{ConversationId, Link, Parameters, WantsHtml},
    problem::Problem,
    schema::{Cursor, Id},
};
use arizuko_proto::v1 as pb;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct HistoryQuery {
    /// The `next` of the previous page. This page then has the oldest turns after that place.
    after: Option<u64>,
    /// `end`, or the `previous` of the following page. This page then has the newest turns before
    /// that place, and `after` is ignored.
    #[schemars(
        regex(pattern = "^(end|[1-9][0-9]*)$"),
        extend("type" = ["integer", "string"], "minimum" = 1)
    )]
    before: Option<String>,
    /// The most turns to return: 50 if omitted or 0, and 200 at most.
    limit: Option<u32>,
    /// About how many bytes of messages to return: 4194304 if omitted or 0, which is also the most.
    /// A page has at least one turn.
    bytes: Option<u32>,
}

/// A page of a conversation's history.
#[derive(JsonSchema, Serialize)]
pub(crate) struct History<'a> {
    #[schemars(with = "Id")]
    conversation: &'a str,
    turns: Vec<TurnDocument<'a>>,
    /// The `after` of the next page; `null` if this is the last page, or if `before` was given.
    next: Option<u64>,
    /// The `before` of the previous page; `null` if this is the first page, or if `before` was not
    /// given.
    previous: Option<u64>,
    /// A stream from this cursor misses and repeats nothing.
    #[schemars(with = "Cursor")]
    cursor: String,
    agent_attached: bool,
    /// The title that the agent gives the conversation. Omitted if there is none.
    #[serde(skip_serializing_if = "str::is_empty")]
    title: &'a str,
}

/// GET `/chat/{token}/c/{conversation}`
pub(crate) async fn page(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    ConversationId(conversation): ConversationId,
    Parameters(query): Parameters<HistoryQuery>,
    WantsHtml(html): WantsHtml,
) -> Result<Response, Problem> {
    let room = gateway.room_for(visitor).await?;
    let request = pb::GetConversationRequest {
        access: Some(link.access()),
        conversation: conversation.clone(),
        after: query.after.unwrap_or_default(),
        page_size: query.limit.unwrap_or_default(),
        before: before(query.before.as_deref())?,
        page_bytes: query.bytes.unwrap_or_default(),
    };
    let page = gateway.control.conversation(request).await?;
    let rendered = if html { gateway.renderer.turns(&page.turns).await } else { Vec::new() };
    let html = |index: usize| rendered.get(index).map(Vec::as_slice);
    let turns = page.turns.iter().enumerate();
    let history = History {
        conversation: &conversation,
        turns: turns.map(|(index, turn)| TurnDocument::new(turn, html(index))).collect(),
        next: (page.next != 0).then_some(page.next),
        previous: (page.previous != 0).then_some(page.previous),
        cursor: last_event_id::print(page.cursor),
        agent_attached: page.agent_attached,
        title: &page.title,
    };
    room.hold(Json(history).into_response()).await
}

/// The conversations of a visitor for whom the site vouches.
#[derive(JsonSchema, Serialize)]
pub(crate) struct VisitorConversations {
    /// The JWT's `sub`.
    id: String,
    conversations: Vec<Listed>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "VisitorConversation")]
struct Listed {
    #[schemars(with = "Id")]
    conversation: String,
    /// The title that the agent gives the conversation, or else the beginning of its first message.
    title: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    active_at: Option<String>,
}

/// GET `/chat/{token}/c`
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    VisitorJwt(visitor_jwt): VisitorJwt,
) -> Result<Response, Problem> {
    let request = pb::ListVisitorConversationsRequest { access: Some(link.access()), visitor_jwt };
    let answer = gateway.control.conversations(request).await?;
    let id = answer.identity.map(|identity| identity.id).unwrap_or_default();
    let conversations = answer
        .conversations
        .into_iter()
        .map(|listed| Listed {
            conversation: listed.conversation,
            title: listed.title,
            active_at: listed.active_at.as_ref().and_then(time),
        })
        .collect();
    Ok(Json(VisitorConversations { id, conversations }).into_response())
}

/// Parses `before`. Returns 0 if it is not given: the page then has the turns after `after`.
fn before(text: Option<&str>) -> Result<u64, Problem> {
    match text {
        None => Ok(0),
        Some("end") => Ok(u64::MAX),
        Some(number) => number.parse().ok().filter(|before| *before > 0).ok_or_else(|| {
            Problem::invalid("`before` must be `end`, or the `previous` of another page.")
        }),
    }
}

/// DELETE `/chat/{token}/c/{conversation}`
pub(crate) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    ConversationId(conversation): ConversationId,
) -> Result<StatusCode, Problem> {
    let request = pb::DeleteConversationRequest { access: Some(link.access()), conversation };
    gateway.control.delete(request).await?;
    Ok(StatusCode::NO_CONTENT)
}
