//! The visitor's conversation: what is said in it, by whom, and what of that was shown.

use super::{
    link::{Link, Posted},
    screen::{Progress, Screen},
    stream::Stream,
};
use crate::{console::Console, sse::Event};
use anyhow::bail;
use serde_json::{Value, json};
use std::{collections::HashSet, future, sync::Arc};

impl Event {
    /// The turn that it belongs to; empty where it belongs to none.
    pub(super) fn turn(&self) -> String {
        let data: Option<Value> = serde_json::from_str(&self.data).ok();
        let turn = data.as_ref().and_then(|data| data["turn_id"].as_str());
        turn.unwrap_or_default().to_owned()
    }
}

/// See the module.
pub(super) struct Conversation {
    link: Arc<Link>,
    /// Made by the first message.
    id: Option<String>,
    stream: Option<Stream>,
    screen: Screen,
    /// The turns that are over, in that order: a replay may tell of them again.
    turns: Vec<String>,
    ended: HashSet<String>,
}

/// A turn that has ended, and a sentence if it did not end well.
pub(super) type End = (String, Option<String>);

impl Conversation {
    /// One in which nothing was said yet. `screen` shows what will be.
    pub(super) fn new(link: Link, screen: Screen) -> Self {
        Self {
            link: Arc::new(link),
            id: None,
            stream: None,
            screen,
            turns: Vec::new(),
            ended: HashSet::new(),
        }
    }

    /// Says something, and listens from then on.
    pub(super) async fn post(&mut self, message: &str) -> anyhow::Result<Posted> {
        let posted = self.link.post(message, self.id.as_deref()).await?;
        if self.stream.is_none() {
            let id = posted.conversation.clone();
            self.stream = Some(Stream::follow(self.link.clone(), id));
        }
        self.id = Some(posted.conversation.clone());
        Ok(posted)
    }

    /// Waits for what comes next. May be dropped and called again.
    pub(super) async fn next(&mut self) -> anyhow::Result<Event> {
        match &mut self.stream {
            Some(stream) => stream.next().await,
            None => future::pending().await,
        }
    }

    /// Listens no more, until something is said again.
    pub(super) fn hang_up(&mut self) {
        self.stream = None;
    }

    /// Whether an event will show something that no message of the visitor's led to.
    pub(super) fn is_unasked(&self, event: &Event) -> bool {
        event.name == "message" && !self.ended.contains(&event.turn())
    }

    /// Shows what came. `Some` if that ends a turn.
    pub(super) fn show(
        &mut self,
        event: &Event,
        console: &mut Console<'_>,
    ) -> anyhow::Result<Option<End>> {
        let turn = event.turn();
        if self.ended.contains(&turn) {
            return Ok(None);
        }
        match self.screen.show(event, console)? {
            Progress::Goes => Ok(None),
            Progress::Revoked => {
                bail!("this link was revoked: ask whoever gave it to you for a new one")
            }
            Progress::Done(problem) => {
                self.end(&turn, console)?;
                Ok(Some((turn, problem)))
            }
        }
    }

    /// Shows what comes until a turn's end. Gives a sentence if it did not end well.
    pub(super) async fn follow(
        &mut self,
        turn: &str,
        console: &mut Console<'_>,
    ) -> anyhow::Result<Option<String>> {
        loop {
            let event = self.next().await?;
            match self.show(&event, console)? {
                Some((ended, problem)) if ended == turn => return Ok(problem),
                _ => {}
            }
        }
    }

    /// Stops a turn.
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

    /// All of it as one document.
    pub(super) async fn document(&self) -> anyhow::Result<Value> {
        let mut turns = Vec::new();
        for turn in &self.turns {
            turns.push(self.link.snapshot(turn).await?);
        }
        Ok(json!({"conversation": self.id, "turns": turns}))
    }
}
