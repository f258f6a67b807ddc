//! Conversations: one visitor's thread under one token, and the log that holds its frames.

use crate::{
    frame::{Body, Frame},
    jid::Folder,
    limits::Limits,
    route,
    store::Millis,
    token::Token,
    transaction::{Decision, Refusal, Stop, Tx},
    turn,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

mod handover;
mod observed;
mod retention;

pub(crate) use handover::{Handed, check_handover, hand_over, of_folder};
pub(crate) use observed::Observed;
pub(crate) use retention::{clean_up, delete, schedule_clean_up};

/// A larger frame is read from the log by those whom its wake-up wakes.
const CARRIED: usize = 16 << 10;

/// A conversation's record. It changes with every frame, so that it always tells the log's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conversation {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) created_at: Millis,
    pub(crate) active_at: Millis,
    /// The last frame's seq and tag; 0 before the first.
    pub(crate) head: u64,
    pub(crate) tag: u32,
    /// Frames up to this seq are no longer kept.
    pub(crate) trimmed: u64,
    /// When the next clean-up is due.
    pub(crate) clean_up_at: Option<Millis>,
    /// The open turns, oldest first. Only the first is ready or running.
    pub(crate) open: Vec<String>,
    /// The folder that the last turn was of.
    pub(crate) with: Folder,
    /// The folder that answers, whatever the route says.
    pub(crate) assigned: Option<Folder>,
    /// What the next turn's agent is to know of who had the conversation before.
    pub(crate) handed: Option<Handed>,
    /// Messages that were kept as context for the next turn.
    pub(crate) observed: Observed,
}

impl Conversation {
    pub(crate) fn new(id: String, token: &Token, now: Millis) -> Self {
        Self {
            id,
            token: token.id.clone(),
            created_at: now,
            active_at: now,
            head: 0,
            tag: 0,
            trimmed: 0,
            clean_up_at: None,
            open: Vec::new(),
            with: token.folder.clone(),
            assigned: None,
            handed: None,
            observed: Observed::default(),
        }
    }

    /// Says which folder answers from the next message on; `None`: the one that the route names.
    /// The caller puts the conversation.
    pub(crate) fn assign(&mut self, tx: &mut Tx<'_>, to: Option<&Folder>) {
        if self.assigned.as_ref() == to {
            return;
        }
        if let Some(before) = &self.assigned {
            tx.remove(assigned(before), &self.id);
            tx.publish(turn::ready_topic(before), "assigned");
        }
        if let Some(to) = to {
            tx.add(assigned(to), &self.id, tx.now);
            tx.publish(turn::ready_topic(to), "assigned");
        }
        self.assigned = to.cloned();
    }

    /// Whether the folder's agent may speak in it, and say whose it is.
    pub(crate) fn is_with(&self, folder: &Folder, token: &Token) -> bool {
        *folder == token.folder || *folder == self.with || self.assigned.as_ref() == Some(folder)
    }

    /// Adds a frame to the log and wakes who reads it. The caller puts the conversation.
    pub(crate) fn append(
        &mut self,
        tx: &mut Tx<'_>,
        turn: &str,
        n: u32,
        body: Body,
    ) -> Decision<()> {
        self.head += 1;
        self.tag = u32::from_le_bytes(tx.random());
        let (tag, turn, at) = (self.tag, turn.to_owned(), tx.now);
        let frame = Frame { tag, turn, n, at, body };
        let entry = serde_json::to_vec(&frame).map_err(|error| Stop::Corrupt(error.to_string()))?;
        let entry = Bytes::from(entry);
        tx.append(log(&self.id), self.head, entry.clone());
        tx.publish(topic(&self.id), wake(self.head, &entry));
        Ok(())
    }

    pub(crate) fn put(&self, tx: &mut Tx<'_>, limits: &Limits) -> Decision<()> {
        tx.put(&record(&self.id), self, Some(lifetime(limits)))
    }
}

pub(crate) fn record(id: &str) -> String {
    format!("conversation:{id}")
}

/// The log of its frames.
pub(crate) fn log(id: &str) -> String {
    format!("log:{id}")
}

/// The set of its turns, scored by the seq of the visitor's message.
pub(crate) fn turns(id: &str) -> String {
    format!("turns:{id}")
}

/// The set of the conversations that are assigned to a folder, scored by since when.
pub(crate) fn assigned(folder: &Folder) -> String {
    format!("assigned:{folder}")
}

/// The topic of its frames.
pub(crate) fn topic(id: &str) -> String {
    format!("conversation:{id}")
}

/// The due item that cleans it up.
pub(crate) fn due(id: &str) -> String {
    format!("conversation:{id}")
}

/// How long records of a conversation outlive their last change: a day more than they are kept.
/// Deleting is the clean-up's work; this catches what a lost due item would leave.
pub(crate) fn lifetime(limits: &Limits) -> Duration {
    let open = limits.turn_deadline.max(Duration::from_millis(route::MAX_AFTER));
    let kept = limits.keep_messages.max(limits.keep_frames);
    // Each step of an escalation may add to the time that a turn is open.
    kept + 2 * open + Duration::from_secs(86_400)
}

/// A frame's wake-up: its seq, and the frame itself where it is small.
fn wake(seq: u64, entry: &Bytes) -> Bytes {
    let mut payload = format!("{seq} ").into_bytes();
    if entry.len() <= CARRIED {
        payload.extend_from_slice(entry);
    }
    payload.into()
}

/// Reads a wake-up.
pub(crate) fn woken(payload: &Bytes) -> Option<(u64, Option<Bytes>)> {
    let space = payload.iter().position(|byte| *byte == b' ')?;
    let seq = std::str::from_utf8(&payload[..space]).ok()?.parse().ok()?;
    let entry = payload.slice(space + 1..);
    Some((seq, (!entry.is_empty()).then_some(entry)))
}

/// The conversation, if it is the token's.
pub(crate) fn of_token(
    found: Option<Conversation>,
    token: &Token,
) -> Result<Conversation, Refusal> {
    let mine = found.filter(|conversation| conversation.token == token.id);
    mine.ok_or(Refusal::NotFound("conversation"))
}
