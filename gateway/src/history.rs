//! `/chat/{token}/c/{conversation}`: a conversation's history, and its deletion.

use crate::{
    address::Visitor,
    document::TurnDocument,
    gateway::Gateway,
    last_event_id,
    link::{ConversationId, Link, Parameters, WantsHtml},
    problem::Problem,
};
use arizuko_proto::v1 as pb;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
pub(crate) struct HistoryQuery {
    after: Option<u64>,
    /// `end`, or `previous` of another page: the page has the newest turns before that point.
    before: Option<String>,
    limit: Option<u32>,
    bytes: Option<u32>,
}

#[derive(Serialize)]
struct History<'a> {
    conversation: &'a str,
    turns: Vec<TurnDocument<'a>>,
    next: Option<u64>,
    previous: Option<u64>,
    cursor: String,
    agent_attached: bool,
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
    };
    room.hold(Json(history).into_response()).await
}

/// Parses `before`. Returns 0 if it is not given: the page then has the turns after `after`.
fn before(text: Option<&str>) -> Result<u64, Problem> {
    match text {
        None => Ok(0),
        Some("end") => Ok(u64::MAX),
        Some(number) => {
            number.parse().ok().filter(|before| *before > 0).ok_or_else(|| {
                Problem::invalid("`before` is `end`, or `previous` of another page.")
            })
        }
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
