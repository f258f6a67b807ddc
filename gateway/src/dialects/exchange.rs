//! A message and its turn, as all protocols post and read them.

use super::{
    growth::Growth,
    reply::{Dialect, Reply},
};
use crate::{
    address::Visitor,
    answers::Room,
    control::{Refusal, Target},
    document,
    gateway::Gateway,
    link::Link,
    message::NewMessage,
    problem::Problem,
    stream,
    streams::OpenStream,
    turn,
};
use arizuko_proto::v1 as pb;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long one read of the turn waits: as long as control allows.
const LOOK: Duration = Duration::from_secs(50);
/// How many of a conversation's newest turns to search for an open one.
const NEWEST_TURNS: u32 = 20;

/// A turn, and the request that reads it. The request counts as a stream of its address.
pub(super) struct Exchange {
    gateway: Arc<Gateway>,
    link: Link,
    visitor: Visitor,
    permit: OpenStream,
    pub(super) conversation: String,
    pub(super) turn_id: String,
    /// Whether the turn may have frames already.
    is_old: bool,
}

impl Exchange {
    /// Posts a message.
    pub(super) async fn begin(
        gateway: Arc<Gateway>,
        link: Link,
        visitor: Visitor,
        headers: &HeaderMap,
        message: NewMessage,
    ) -> Result<Self, Problem> {
        // Counts the stream first, so that no message is refused once it is taken.
        let permit = gateway.streams.open(visitor.0)?;
        let posted = message.post(&gateway, &link, visitor, headers).await?;
        let pb::PostMessageResponse { conversation, turn_id, repeated, .. } = posted;
        Ok(Self { gateway, link, visitor, permit, conversation, turn_id, is_old: repeated })
    }

    /// Finds the newest turn of a conversation; `None` if it has ended.
    pub(super) async fn running(
        gateway: Arc<Gateway>,
        link: Link,
        visitor: Visitor,
        conversation: String,
    ) -> Result<Option<Self>, Problem> {
        let permit = gateway.streams.open(visitor.0)?;
        let _room = gateway.room_for(visitor).await?;
        let turn_id = String::new();
        let mut exchange =
            Self { gateway, link, visitor, permit, conversation, turn_id, is_old: true };
        let (newest, _) = exchange.newest_turns().await?;
        let newest = newest.last().filter(|turn| document::is_open(turn.status()));
        let Some(turn) = newest else {
            return Ok(None);
        };
        exchange.turn_id.clone_from(&turn.turn_id);
        Ok(Some(exchange))
    }

    /// Reads the newest turns of the conversation, oldest first, and the last frame that they
    /// include.
    async fn newest_turns(
        &self,
    ) -> Result<(Vec<pb::ConversationTurn>, Option<pb::Cursor>), Refusal> {
        let request = pb::GetConversationRequest {
            access: Some(self.link.access()),
            conversation: self.conversation.clone(),
            before: u64::MAX,
            page_size: NEWEST_TURNS,
            ..pb::GetConversationRequest::default()
        };
        let page = self.gateway.control.conversation(request).await?;
        Ok((page.turns, page.cursor))
    }

    /// Returns the turn so far, and the cursor to go on from. `None` for a turn that this request
    /// has begun, whose log can be read from the start, and for one that is not among the newest of
    /// its conversation.
    async fn so_far(&self) -> Result<Option<(pb::ConversationTurn, Option<pb::Cursor>)>, Refusal> {
        if !self.is_old {
            return Ok(None);
        }
        let (newest, cursor) = self.newest_turns().await?;
        let turn = newest.into_iter().find(|turn| turn.turn_id == self.turn_id);
        Ok(turn.map(|turn| (turn, cursor)))
    }

    /// Waits for the end of the turn, and returns its reply with room for it.
    ///
    /// # Errors
    /// The turn did not end well, or not in time.
    pub(super) async fn reply(&self) -> Result<(String, Option<Room>), Problem> {
        let until = Instant::now() + self.gateway.options.limits.reply_timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let wait = LOOK.min(left);
            let Self { gateway, link, visitor, turn_id, .. } = self;
            let read = turn::with_reply(gateway, link, *visitor, turn_id.clone(), wait).await;
            let (turn, room) = read.map_err(taken)?;
            if !document::is_open(turn.status()) {
                let ended_badly = Problem::of_turn(turn.status(), &turn.error);
                return ended_badly.map_or_else(|| Ok((text(&turn), room)), Err);
            }
            if left.is_zero() || self.gateway.stopping.is_cancelled() {
                return Err(Problem::no_reply_yet());
            }
        }
    }

    /// Answers with the reply as it is made.
    pub(super) async fn stream(self, mut dialect: impl Dialect) -> Result<Response, Problem> {
        let ids = self.headers();
        let mut growth = Growth::default();
        let room = match self.is_old {
            true => Some(self.gateway.room_for(self.visitor).await?),
            false => None,
        };
        // Read the turn, not the log: the log still has text that a restart has dropped.
        let (so_far, cursor) = self.so_far().await.map_err(taken)?.unzip();
        let mut start = String::new();
        dialect.begin(&mut start);
        for message in so_far.iter().flat_map(|turn| growth.resume(turn)) {
            dialect.text(&message.id, &message.content, &mut start);
        }
        let Self { gateway, link, turn_id, permit, .. } = self;
        let target = Target::TurnId(turn_id);
        let cursor = cursor.flatten();
        let subscribed = gateway.control.subscribe(link.access(), target, cursor).await;
        match subscribed.map_err(taken)? {
            Some(subscription) => {
                let view = Reply::new(dialect, growth, start, room);
                Ok((ids, stream::respond(gateway, subscription, view, permit)).into_response())
            }
            // The turn had ended when it was read.
            None => {
                let turn = so_far.unwrap_or_default();
                match Problem::of_turn(turn.status(), &turn.error) {
                    None => dialect.done(&mut start),
                    Some(problem) => dialect.failed(&problem, &mut start),
                }
                let response = (ids, crate::sse::response(start.into())).into_response();
                match room {
                    Some(room) => room.hold(response).await,
                    None => Ok(response),
                }
            }
        }
    }

    /// Returns the ids as headers, named as in a response with an event stream.
    pub(super) fn headers(&self) -> [(HeaderName, String); 2] {
        [
            (HeaderName::from_static("arizuko-turn"), self.turn_id.clone()),
            (HeaderName::from_static("arizuko-conversation"), self.conversation.clone()),
        ]
    }

    /// Returns the ids as a document.
    pub(super) fn metadata(&self) -> Value {
        json!({ "conversation": self.conversation, "turn_id": self.turn_id })
    }
}

/// Turns a refusal to read a turn into the problem of the request that posted the turn's message.
/// The message was taken, so the problem must not say that nothing was done.
fn taken(refusal: impl Into<Problem>) -> Problem {
    let problem = refusal.into();
    if problem.is_outage() { Problem::no_reply_yet() } else { problem }
}

/// Returns the text of a turn's reply.
fn text(turn: &pb::ConversationTurn) -> String {
    let messages: Vec<_> = turn.assistant.iter().map(|message| &*message.content).collect();
    messages.join(super::reply::BETWEEN)
}
