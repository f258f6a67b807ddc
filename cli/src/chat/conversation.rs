//! The visitor's conversation: posts messages, and shows each event once.

use super::{
    link::{ChatLink, Posted},
    screen::{Progress, Screen},
    stream::Stream,
};
use crate::{console::Console, sse::SseEvent};
use anyhow::bail;
use serde_json::{Value, json};
use std::{collections::HashSet, future, sync::Arc};

/// The error of a chat over a paused link.
pub(super) const PAUSED: &str =
    "this link is paused and takes no messages for now: try again later";

impl SseEvent {
    /// Returns the id of the turn that the event belongs to; empty if it belongs to none.
    pub(super) fn turn(&self) -> String {
        let data: Option<Value> = serde_json::from_str(&self.data).ok();
        let turn = data.as_ref().and_then(|data| data["turn_id"].as_str());
        turn.unwrap_or_default().to_owned()
    }
}

/// A conversation and what was shown of it.
pub(super) struct Conversation {
    link: Arc<ChatLink>,
    /// `None` until the first message has begun the conversation.
    id: Option<String>,
    stream: Option<Stream>,
    screen: Screen,
    /// The ids of the turns that have ended, in the order in which they ended.
    turns: Vec<String>,
    /// The same ids. A replay repeats the events of these turns, which are not shown again.
    ended: HashSet<String>,
}

/// A turn that has ended, and the problem if it failed.
pub(super) struct TurnEnd {
    turn_id: String,
    problem: Option<String>,
}

impl Conversation {
    /// Prepares a conversation, to be shown on `screen`.
    pub(super) fn new(link: ChatLink, screen: Screen) -> Self {
        Self {
            link: Arc::new(link),
            id: None,
            stream: None,
            screen,
            turns: Vec::new(),
            ended: HashSet::new(),
        }
    }

    /// Posts a message, and opens the conversation's stream if none is open.
    pub(super) async fn post(&mut self, message: &str) -> anyhow::Result<Posted> {
        let posted = self.link.post(message, self.id.as_deref()).await?;
        if self.stream.is_none() {
            let id = posted.conversation.clone();
            self.stream = Some(Stream::follow(self.link.clone(), id));
        }
        self.id = Some(posted.conversation.clone());
        Ok(posted)
    }

    /// Waits for the next event; for ever if no stream is open. Cancel safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<SseEvent> {
        match &mut self.stream {
            Some(stream) => stream.next().await,
            None => future::pending().await,
        }
    }

    /// Closes the conversation's stream until the next message is posted.
    pub(super) fn hang_up(&mut self) {
        self.stream = None;
    }

    /// Says whether an event that comes while no turn is open is a message that the agent sends
    /// unasked.
    pub(super) fn is_unasked(&self, event: &SseEvent) -> bool {
        event.name == "message" && !self.ended.contains(&event.turn())
    }

    /// Shows an event, unless its turn has already ended. Returns the turn if the event ends it.
    pub(super) fn show(
        &mut self,
        event: &SseEvent,
        console: &mut Console<'_>,
    ) -> anyhow::Result<Option<TurnEnd>> {
        let turn = event.turn();
        if self.ended.contains(&turn) {
            return Ok(None);
        }
        match self.screen.show(event, console)? {
            Progress::Running => Ok(None),
            Progress::Revoked => {
                bail!(
                    "this link was revoked or has expired: ask whoever gave it to you for a new one"
                )
            }
            Progress::Paused => bail!(PAUSED),
            Progress::Done(problem) => {
                self.end(&turn, console)?;
                Ok(Some(TurnEnd { turn_id: turn, problem }))
            }
        }
    }

    /// Shows events until `turn` ends. Returns the problem if the turn failed.
    pub(super) async fn follow(
        &mut self,
        turn: &str,
        console: &mut Console<'_>,
    ) -> anyhow::Result<Option<String>> {
        loop {
            let event = self.next().await?;
            match self.show(&event, console)? {
                Some(ended) if ended.turn_id == turn => return Ok(ended.problem),
                _ => {}
            }
        }
    }

    /// Cancels a turn.
    pub(super) async fn cancel(
        &mut self,
        turn: &str,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        self.end(turn, console)?;
        self.link.cancel(turn).await
    }

    fn end(&mut self, turn: &str, console: &mut Console<'_>) -> anyhow::Result<()> {
        self.turns.push(turn.to_owned());
        self.ended.insert(turn.to_owned());
        self.screen.end(turn, console)
    }

    /// Returns the whole conversation as one document.
    pub(super) async fn document(&self) -> anyhow::Result<Value> {
        let mut turns = Vec::new();
        for turn in &self.turns {
            turns.push(self.link.snapshot(turn).await?);
        }
        Ok(json!({"conversation": self.id, "turns": turns}))
    }
}
