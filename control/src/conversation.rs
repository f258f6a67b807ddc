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
const SWEEP: u32 = 100;

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

/// How long records of a conversation outlive their last change: a day more than they are kept.
/// Deleting is the clean-up's work; this catches what a lost due item would leave.
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
    let members = tx.members(&turns(&conversation.id), 0..=u64::MAX, u32::MAX)?;
    tx.expect(conversation.open.iter().map(|id| turn::record(id)))?;
    for member in members {
        if conversation.open.contains(&member.name)
            && let Some(turn) = tx.get::<Turn>(&turn::record(&member.name))?
        {
            turn::release(tx, &turn, true);
        }
        drop_turn(tx, &member.name);
    }
    tx.delete(&turns(&conversation.id));
    tx.delete(&log(&conversation.id));
    tx.delete(&record(&conversation.id));
    tx.settle(due(&conversation.id));
    tx.publish(topic(&conversation.id), "deleted");
    Ok(())
}

fn drop_turn(tx: &mut Tx<'_>, id: &str) {
    for name in [turn::record, turn::input, turn::reply] {
        tx.delete(&name(id));
    }
}

/// Drops what is past retention, and says when to look again.
pub(crate) fn clean_up(tx: &mut Tx<'_>, limits: &Limits, id: &str) -> Decision<()> {
    let Some(mut conversation) = tx.get::<Conversation>(&record(id))? else {
        tx.settle(due(id));
        return Ok(());
    };
    let (now, idle_until) = (tx.now, conversation.active_at + limits.messages_kept());
    if conversation.open.is_empty() && now >= idle_until {
        return purge(tx, &conversation);
    }
    let messages = drop_messages(tx, limits, &conversation)?;
    let frames = drop_frames(tx, limits, &mut conversation)?;
    // Never at once again: what one sweep leaves is for the next second.
    let again = idle_until.min(messages).min(frames).max(now + 1_000);
    conversation.clean_up_at = Some(again);
    conversation.put(tx, limits)?;
    tx.schedule(due(id), again);
    Ok(())
}

/// Drops turns whose messages are past retention; returns when the next one is.
fn drop_messages(
    tx: &mut Tx<'_>,
    limits: &Limits,
    conversation: &Conversation,
) -> Decision<Millis> {
    let set = turns(&conversation.id);
    let members = tx.members(&set, 0..=conversation.trimmed, SWEEP)?;
    tx.expect(members.iter().map(|member| turn::record(&member.name)))?;
    for member in members {
        let turn = tx.get::<Turn>(&turn::record(&member.name))?;
        let until = turn
            .and_then(|turn| turn.ended_at)
            .map(|at| at + limits.messages_kept());
        if let Some(until) = until.filter(|until| *until > tx.now) {
            return Ok(until);
        }
        drop_turn(tx, &member.name);
        tx.remove(&set, &member.name);
    }
    // A full sweep leaves the rest to the next one.
    let full = members.len() == SWEEP as usize;
    Ok(if full {
        tx.now
    } else {
        tx.now + limits.frames_kept()
    })
}

/// Trims the log before the first turn whose frames are still kept; returns when they are not.
fn drop_frames(
    tx: &mut Tx<'_>,
    limits: &Limits,
    conversation: &mut Conversation,
) -> Decision<Millis> {
    let from = conversation.trimmed + 1;
    let members = tx.members(&turns(&conversation.id), from..=u64::MAX, SWEEP + 1)?;
    tx.expect(members.iter().map(|member| turn::record(&member.name)))?;
    let (mut through, mut again) = (conversation.trimmed, tx.now + limits.frames_kept());
    for (index, member) in members.iter().enumerate() {
        let turn = tx.get::<Turn>(&turn::record(&member.name))?;
        let until = match &turn {
            // An open turn is never trimmed.
            Some(turn) if turn.status.is_open() => Some(again),
            turn => turn
                .as_ref()
                .and_then(|turn| turn.ended_at)
                .map(|at| at + limits.frames_kept()),
        };
        let kept = until.filter(|until| *until > tx.now);
        if kept.is_some() || index == SWEEP as usize {
            // Turns overlap in the log: a later one's message stands among this one's frames.
            through = through.min(member.score - 1);
            again = kept.unwrap_or(tx.now);
            break;
        }
        through = through.max(turn.map_or(member.score, |turn| turn.last_seq));
    }
    if through > conversation.trimmed {
        conversation.trimmed = through;
        tx.trim(log(&conversation.id), through);
    }
    Ok(again)
}

/// Makes sure that a clean-up comes. The caller puts the conversation.
pub(crate) fn schedule_clean_up(tx: &mut Tx<'_>, limits: &Limits, conversation: &mut Conversation) {
    if conversation.clean_up_at.is_none() {
        let at = tx.now + limits.frames_kept();
        conversation.clean_up_at = Some(at);
        tx.schedule(due(&conversation.id), at);
    }
}
