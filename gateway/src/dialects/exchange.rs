//! A message and its turn, as all protocols post and read them.

use super::{
    asked::Caller,
    growth::Growth,
    reply::{Dialect, Reply},
};
use crate::{
    answers::Room,
    control::{Refusal, Target},
    document,
    header::IDEMPOTENCY_KEY,
    message::NewMessage,
    problem::Problem,
    schema::Id,
    stream,
    streams::OpenStream,
    turn,
};
use arizuko_proto::v1::{self as pb, TurnStatus};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// How long one read of the turn waits: as long as control allows.
const LOOK: Duration = Duration::from_secs(50);
/// How many of a conversation's newest turns to read, to find one turn among them.
const NEWEST_TURNS: u32 = 20;

/// A turn, and the request that reads it. The request counts as a stream of its address.
pub(super) struct Exchange {
    caller: Caller,
    permit: OpenStream,
    pub(super) conversation: String,
    pub(super) turn_id: String,
    /// Whether the turn may have frames already.
    is_old: bool,
}

/// The ids of a conversation and a turn.
#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
pub(crate) struct Ids {
    #[schemars(with = "Id")]
    pub(super) conversation: String,
    #[schemars(with = "Id")]
    pub(super) turn_id: String,
}

impl Exchange {
    /// Posts a message.
    pub(super) async fn begin(
        caller: Caller,
        headers: &HeaderMap,
        message: NewMessage,
    ) -> Result<Self, Problem> {
        // Counts the stream before the message is posted, so that its limit refuses the message and
        // not only its answer.
        let Caller { gateway, link, visitor } = &caller;
        let permit = gateway.streams.open(visitor.0)?;
        let posted = message.post(gateway, link, *visitor, headers).await?;
        let pb::PostMessageResponse { conversation, turn_id, repeated, .. } = posted;
        Ok(Self { caller, permit, conversation, turn_id, is_old: repeated })
    }

    /// Finds the newest turn of a conversation, if there is one; returns its status, too.
    pub(super) async fn newest(
        caller: Caller,
        conversation: String,
    ) -> Result<Option<(Self, TurnStatus)>, Problem> {
        let permit = caller.gateway.streams.open(caller.visitor.0)?;
        let _room = caller.gateway.room_for(caller.visitor).await?;
        let turn_id = String::new();
        let mut exchange = Self { caller, permit, conversation, turn_id, is_old: true };
        let (mut newest, _) = exchange.newest_turns().await?;
        let Some(turn) = newest.pop() else {
            return Ok(None);
        };
        let status = turn.status();
        exchange.turn_id = turn.turn_id;
        Ok(Some((exchange, status)))
    }

    /// Finds a turn; returns its status, too.
    pub(super) async fn of_turn(
        caller: Caller,
        turn_id: String,
    ) -> Result<(Self, TurnStatus), Problem> {
        let Caller { gateway, link, visitor } = &caller;
        let permit = gateway.streams.open(visitor.0)?;
        let read = turn::within(gateway, link, turn_id.clone(), Duration::ZERO).await?;
        let (conversation, turn) = (read.conversation, read.turn.unwrap_or_default());
        let exchange = Self { caller, permit, conversation, turn_id, is_old: true };
        Ok((exchange, turn.status()))
    }

    /// Reads the newest turns of the conversation, oldest first, and the cursor of the last frame
    /// that they include.
    async fn newest_turns(
        &self,
    ) -> Result<(Vec<pb::ConversationTurn>, Option<pb::Cursor>), Refusal> {
        let request = pb::GetConversationRequest {
            access: Some(self.caller.link.access()),
            conversation: self.conversation.clone(),
            before: u64::MAX,
            page_size: NEWEST_TURNS,
            ..pb::GetConversationRequest::default()
        };
        let page = self.caller.gateway.control.conversation(request).await?;
        Ok((page.turns, page.cursor))
    }

    /// Returns the turn so far, and the cursor to go on from. `None` if this request began the
    /// turn, since its log can be read from the start, or if the turn isn't among the newest of its
    /// conversation.
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
        let (turn, room) = self.turn(self.caller.gateway.options.limits.reply_timeout).await?;
        if document::is_open(turn.status()) {
            return Err(Problem::no_reply_yet());
        }
        let ended_badly = Problem::of_turn(turn.status(), &turn.error);
        ended_badly.map_or_else(|| Ok((text(&turn), room)), Err)
    }

    /// Returns the turn with room for its reply, once it has ended or the wait is over.
    pub(super) async fn turn(
        &self,
        wait: Duration,
    ) -> Result<(pb::ConversationTurn, Option<Room>), Problem> {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let wait = LOOK.min(left);
            let (turn, room) = self.caller.turn(&self.turn_id, wait).await?;
            let is_over = left.is_zero() || self.caller.gateway.stopping.is_cancelled();
            if is_over || !document::is_open(turn.status()) {
                return Ok((turn, room));
            }
        }
    }

    /// Answers with the reply as it is made: from its start, or after the frame that the client
    /// has, if that frame is in the log.
    pub(super) async fn stream(
        self,
        mut dialect: impl Dialect,
        has: Option<pb::Cursor>,
    ) -> Result<Response, Problem> {
        let ids = self.headers();
        let mut growth = Growth::default();
        let room = match self.is_old {
            true => Some(self.caller.gateway.room_for(self.caller.visitor).await?),
            false => None,
        };
        // Read the turn, not the log: the log still has text that a restart has dropped.
        let (so_far, cursor) = self.so_far().await.map_err(taken)?.unzip();
        let cursor = cursor.flatten();
        let newest = cursor.unwrap_or_default().seq;
        let has = has.filter(|has| self.is_old && has.seq <= newest);
        let mut start = String::new();
        if let Some(cursor) = cursor {
            dialect.at(cursor);
        }
        dialect.begin(&mut start);
        let messages = so_far.as_ref().map_or(&[][..], |turn| growth.resume(turn));
        dialect.so_far(messages, &mut start);
        let Self { caller: Caller { gateway, link, .. }, turn_id, permit, .. } = self;
        let target = Target::TurnId(turn_id);
        let cursor = if has.is_some() { None } else { cursor };
        let subscribed = gateway.control.subscribe(link.access(), target, cursor).await;
        match subscribed.map_err(taken)? {
            Some(subscription) => {
                let view = match has {
                    Some(has) => Reply::after(dialect, has),
                    None => Reply::new(dialect, growth, start, room),
                };
                Ok((ids, stream::respond(gateway, subscription, view, permit)).into_response())
            }
            // The turn had ended when it was read.
            None => {
                let turn = so_far.unwrap_or_default();
                match Problem::of_turn(turn.status(), &turn.error) {
                    None => dialect.done(Some(&turn), &mut start).await,
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
    pub(super) fn ids(&self) -> Ids {
        Ids { conversation: self.conversation.clone(), turn_id: self.turn_id.clone() }
    }
}

impl Caller {
    /// Reads a turn with room for its reply, once it has ended or the wait is over.
    pub(super) async fn turn(
        &self,
        id: &str,
        wait: Duration,
    ) -> Result<(pb::ConversationTurn, Option<Room>), Problem> {
        let Self { gateway, link, visitor } = self;
        turn::with_reply(gateway, link, *visitor, id.to_owned(), wait).await.map_err(taken)
    }
}

/// Adds the client's own id for a request as the Idempotency-Key, unless the request has such a key
/// already or the id can't be one, for example because it is too short to be unique.
pub(super) fn with_key(mut headers: HeaderMap, id: &str) -> HeaderMap {
    if IDEMPOTENCY_KEY.lengths.contains(&id.len())
        && let Ok(key) = HeaderValue::try_from(id)
    {
        headers.entry(IDEMPOTENCY_KEY.name).or_insert(key);
    }
    headers
}

/// Turns a refusal to read a turn into the problem of the request that posted the turn's message.
/// The message was taken, so the problem must not say that nothing was done.
fn taken(refusal: impl Into<Problem>) -> Problem {
    let problem = refusal.into();
    if problem.is_outage() { Problem::no_reply_yet() } else { problem }
}

/// Returns the text of a turn's reply.
pub(super) fn text(turn: &pb::ConversationTurn) -> String {
    let messages: Vec<_> = turn.assistant.iter().map(|message| &*message.content).collect();
    messages.join(super::reply::BETWEEN)
}
