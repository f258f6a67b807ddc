//! `/chat/{token}/{turn}` and `/hook/{token}/{turn}`: a turn's snapshot and status; under `/chat`
//! also its cancellation.

use crate::{
    address::Visitor,
    answers::Room,
    control::Refusal,
    document::{self, Status, TurnDocument, frames::FrameDocument},
    gateway::Gateway,
    link::{Link, Parameters, TurnId, WantsHtml},
    problem::Problem,
    schema::{Event, Id},
};
use arizuko_proto::v1 as pb;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{slice, sync::Arc, time::Duration};

/// A turn's messages are read without room if they have at most this many bytes: as JSON, they are
/// still shorter than an answer that is counted.
const SHORT_BYTES: u32 = 8 << 10;

/// The longest `?wait=`: less than the 60 s after which many proxies give up.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(50);

#[derive(Deserialize, JsonSchema)]
pub(crate) struct WaitQuery {
    #[schemars(description = format!(
        "Waits up to this many seconds for the turn's end, {} at most.", MAX_WAIT.as_secs()
    ))]
    pub(crate) wait: Option<u64>,
}

impl WaitQuery {
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.wait.unwrap_or(0)).min(MAX_WAIT)
    }
}

/// Reads a turn without its messages once it has ended, or once the wait is over or the gateway
/// shuts down.
pub(crate) async fn within(
    gateway: &Gateway,
    link: &Link,
    turn_id: String,
    wait: Duration,
) -> Result<pb::GetTurnResponse, Refusal> {
    read_within(gateway, without_messages(link, turn_id), wait).await
}

fn without_messages(link: &Link, turn_id: String) -> pb::GetTurnRequest {
    let access = Some(link.access());
    pb::GetTurnRequest { access, turn_id, without_messages: true, ..Default::default() }
}

/// Makes a request for a turn, and waits as [`within`] does.
pub(crate) async fn read_within(
    gateway: &Gateway,
    request: pb::GetTurnRequest,
    wait: Duration,
) -> Result<pb::GetTurnResponse, Refusal> {
    tokio::select! {
        turn = gateway.control.turn(request.clone(), wait) => turn,
        () = gateway.stopping.cancelled() => gateway.control.turn(request, Duration::ZERO).await,
    }
}

/// Waits for the end of a turn as [`within`] does, and reads it with its messages. Long messages
/// come with room; a turn that is still open, or that has short messages, needs none.
pub(crate) async fn with_reply(
    gateway: &Gateway,
    link: &Link,
    visitor: Visitor,
    turn_id: String,
    wait: Duration,
) -> Result<(pb::ConversationTurn, Option<Room>), Problem> {
    let request =
        pb::GetTurnRequest { short_bytes: SHORT_BYTES, ..without_messages(link, turn_id.clone()) };
    let turn = read_within(gateway, request, wait).await?.turn.unwrap_or_default();
    let has_messages = turn.user.is_some();
    if has_messages || document::is_open(turn.status()) {
        return Ok((turn, None));
    }
    // The message is taken, so the problem must not say that nothing was done.
    let room = gateway.room_for(visitor).await.map_err(|_| Problem::no_reply_yet())?;
    let turn = read(gateway, link, turn_id).await?.turn.unwrap_or_default();
    Ok((turn, Some(room)))
}

/// Reads a turn with its messages, without waiting.
pub(crate) async fn read(
    gateway: &Gateway,
    link: &Link,
    turn_id: String,
) -> Result<pb::GetTurnResponse, Refusal> {
    let access = Some(link.access());
    let request = pb::GetTurnRequest { access, turn_id, ..pb::GetTurnRequest::default() };
    gateway.control.turn(request, Duration::ZERO).await
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct SnapshotQuery {
    /// Adds the turn's frames after this number.
    after: Option<u32>,
}

/// The answer to a request for a turn.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Snapshot<'a> {
    #[schemars(with = "Id")]
    conversation: &'a str,
    agent_attached: bool,
    #[serde(flatten)]
    turn: TurnDocument<'a>,
    /// The frames that follow the one with the number `after`.
    #[schemars(with = "Vec<Event>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<Vec<FrameDocument<'a>>>,
}

impl<'a> Snapshot<'a> {
    /// Makes the answer, without frames.
    pub(crate) fn new(answer: &'a pb::GetTurnResponse, turn: TurnDocument<'a>) -> Self {
        let pb::GetTurnResponse { conversation, agent_attached, .. } = answer;
        Self { conversation, agent_attached: *agent_attached, turn, frames: None }
    }
}

/// GET `/chat/{token}/{turn}` and `/hook/{token}/{turn}`
pub(crate) async fn snapshot(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    TurnId(turn_id): TurnId,
    Parameters(query): Parameters<SnapshotQuery>,
    WantsHtml(html): WantsHtml,
) -> Result<Response, Problem> {
    let room = gateway.room_for(visitor).await?;
    let request = pb::GetTurnRequest {
        access: Some(link.access()),
        turn_id,
        frames: query.after.is_some(),
        after: query.after.unwrap_or_default(),
        ..pb::GetTurnRequest::default()
    };
    let mut answer = gateway.control.turn(request, Duration::ZERO).await?;
    let turn = answer.turn.take().unwrap_or_default();
    let turns = slice::from_ref(&turn);
    let rendered = if html { gateway.renderer.turns(turns).await } else { Vec::new() };
    let document = TurnDocument::new(&turn, rendered.first().map(Vec::as_slice));
    let mut snapshot = Snapshot::new(&answer, document);
    snapshot.frames =
        query.after.map(|_| answer.frames.iter().filter_map(FrameDocument::new).collect());
    room.hold(Json(snapshot).into_response()).await
}

/// The answer to a request for a turn's status.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Standing<'a> {
    #[schemars(with = "Id")]
    turn_id: &'a str,
    #[schemars(with = "Id")]
    conversation: &'a str,
    status: Status,
    n: u32,
    attempt: u32,
    agent_attached: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

impl<'a> Standing<'a> {
    pub(crate) fn new(answer: &'a pb::GetTurnResponse, turn: &'a pb::ConversationTurn) -> Self {
        Self {
            turn_id: &turn.turn_id,
            conversation: &answer.conversation,
            status: document::status(turn.status()),
            n: turn.n,
            attempt: turn.attempt,
            agent_attached: answer.agent_attached,
            error: &turn.error,
        }
    }
}

/// GET `/chat/{token}/{turn}/status` and `/hook/{token}/{turn}/status`
pub(crate) async fn status(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    TurnId(turn_id): TurnId,
    Parameters(wait): Parameters<WaitQuery>,
    Visitor(address): Visitor,
) -> Result<Response, Problem> {
    let wait = wait.duration();
    let _permit = (!wait.is_zero()).then(|| gateway.streams.open(address)).transpose()?;
    let mut answer = within(&gateway, &link, turn_id, wait).await?;
    let turn = answer.turn.take().unwrap_or_default();
    Ok(Json(Standing::new(&answer, &turn)).into_response())
}

/// The answer to a cancellation.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Cancelled<'a> {
    #[schemars(with = "Id")]
    turn_id: &'a str,
    status: Status,
}

/// POST `/chat/{token}/{turn}/cancel`
pub(crate) async fn cancel(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    TurnId(turn_id): TurnId,
) -> Result<Response, Problem> {
    let request = pb::CancelTurnRequest { access: Some(link.access()), turn_id: turn_id.clone() };
    let answer = gateway.control.cancel(request).await?;
    let status = document::status(answer.status());
    Ok(Json(Cancelled { turn_id: &turn_id, status }).into_response())
}
