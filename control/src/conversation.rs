//! Conversations: one visitor's thread under one token, and the log that holds its frames.

use crate::{
    frame::{Body, Frame},
    limits::Limits,
    store::Millis,
    token::Token,
    transaction::{Decision, Refusal, Stop, Tx},
    turn::{self, Turn},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A larger frame is read from the log by those whom its wake-up wakes.
const CARRIED: usize = 16 << 10;

/// How many turns one clean-up looks at.
const SWEEP: usize = 100;

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
    /// The open turns, oldest first. Only the first is ready or running.
    pub(crate) open: Vec<String>,
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
            open: Vec::new(),
        }
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
        let frame = Frame {
            tag,
            turn,
            n,
            at,
            body,
        };
        let entry = serde_json::to_vec(&frame).map_err(|error| Stop::Corrupt(error.to_string()))?;
        let entry = Bytes::from(entry);
        tx.append(log(&self.id), self.head, entry.clone());
        tx.publish(topic(&self.id), wake(self.head, &entry));
        Ok(())
    }

    pub(crate) fn put(&self, tx: &mut Tx<'_>, limits: &Limits) -> Decision<()> {
        tx.put(&record(&self.id), self, Some(lifetime(limits)))
    }

    /// When the next clean-up is due, at the latest.
    fn purge_at(&self, limits: &Limits) -> Millis {
        self.active_at + limits.keep_messages.as_millis() as Millis
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

/// The topic of its frames.
pub(crate) fn topic(id: &str) -> String {
    format!("conversation:{id}")
}

/// The due item that cleans it up.
pub(crate) fn due(id: &str) -> String {
    format!("conversation:{id}")
}

/// How long records of a conversation outlive their last change: a day more than they are kept,
/// since deleting is the clean-up's work and this only catches what it missed.
pub(crate) fn lifetime(limits: &Limits) -> Duration {
    limits.keep_messages + limits.turn_deadline + Duration::from_secs(86_400)
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

/// Deletes a conversation with all its turns; those under way are cancelled.
pub(crate) fn delete(tx: &mut Tx<'_>, token: &Token, id: &str) -> Decision<()> {
    let conversation = of_token(tx.get(&record(id))?, token)?;
    purge(tx, &conversation)
}

fn purge(tx: &mut Tx<'_>, conversation: &Conversation) -> Decision<()> {
    for member in tx.members(&turns(&conversation.id), u64::MAX, u32::MAX)? {
        if conversation.open.contains(&member.name)
            && let Some(turn) = tx.get::<Turn>(&turn::record(&member.name))?
        {
            turn::release(tx, &turn, true);
        }
        for name in [turn::record, turn::input, turn::reply] {
            tx.delete(&name(&member.name));
        }
    }
    tx.delete(&turns(&conversation.id));
    tx.delete(&log(&conversation.id));
    tx.delete(&record(&conversation.id));
    tx.settle(due(&conversation.id));
    tx.publish(topic(&conversation.id), "deleted");
    Ok(())
}

/// Drops what is past retention, and says when to look again.
pub(crate) fn clean_up(tx: &mut Tx<'_>, limits: &Limits, id: &str) -> Decision<()> {
    let Some(mut conversation) = tx.get::<Conversation>(&record(id))? else {
        tx.settle(due(id));
        return Ok(());
    };
    if conversation.open.is_empty() && tx.now >= conversation.purge_at(limits) {
        return purge(tx, &conversation);
    }
    let keep = limits.keep_frames.as_millis() as Millis;
    let mut again = conversation.purge_at(limits);
    let mut through = conversation.trimmed;
    let trimmed = conversation.trimmed;
    let kept = tx
        .members(&turns(id), u64::MAX, u32::MAX)?
        .iter()
        .filter(|turn| turn.score > trimmed);
    for member in kept.take(SWEEP) {
        let Some(turn) = tx.get::<Turn>(&turn::record(&member.name))? else {
            continue;
        };
        match turn.ended_at {
            Some(at) if at + keep <= tx.now => through = through.max(turn.last_seq),
            Some(at) => {
                again = again.min(at + keep);
                break;
            }
            // An open turn is never trimmed. Its end makes the clean-up due again.
            None => break,
        }
    }
    if through > conversation.trimmed {
        conversation.trimmed = through;
        tx.trim(log(id), through);
        conversation.put(tx, limits)?;
    }
    // Never at once again: a full sweep leaves the rest to the next second.
    tx.schedule(due(id), again.max(tx.now + 1_000));
    Ok(())
}

/// Makes sure that a clean-up comes.
pub(crate) fn schedule_clean_up(tx: &mut Tx<'_>, limits: &Limits, id: &str) {
    let at = tx.now + limits.keep_frames.as_millis() as Millis;
    tx.schedule(due(id), at);
}
