//! Conversations: one visitor's thread under one token, and the log of its frames.

use crate::{
    frame::{Body, Frame},
    identity::Identity,
    ids::{ConversationId, TokenId, TurnId},
    jid::FolderName,
    limits::Limits,
    names,
    refusal::Refusal,
    time::Time,
    token::Token,
    transaction::{Decision, Record, Tx},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The largest frame that a wake-up carries, in bytes. Readers find a larger one in the log.
const CARRIED_BYTES: usize = 16 << 10;

/// A conversation, without the end of its log, which changes with each frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conversation {
    pub(crate) id: ConversationId,
    pub(crate) token: TokenId,
    pub(crate) created_at: Time,
    /// When the last message came or the last turn ended.
    pub(crate) active_at: Time,
    /// Frames up to this seq are no longer kept.
    #[serde(default)]
    pub(crate) trimmed: u64,
    /// How many bytes its turns take of the limits of the link and the tenant.
    #[serde(default)]
    pub(crate) kept: u64,
    /// When the next clean-up is due.
    pub(crate) clean_up_at: Option<Time>,
    /// The open turns, oldest first. Only the first may wait in a queue, or run.
    #[serde(default)]
    pub(crate) open: Vec<TurnId>,
    /// The turn that began last; `None` if an older control began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<TurnId>,
    /// The folder whose agent last began a reply to a turn, or ended a turn; at first the token's
    /// folder. An unprompted message doesn't change it.
    pub(crate) with: FolderName,
    /// The title that the agent has given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    /// The visitor, as the site last described them. All but the id may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<Identity>,
    /// The folder that answers, whatever the route says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) assigned: Option<FolderName>,
    /// The person, in the folder `assigned`, who has the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) holder: Option<String>,
    /// Who had the conversation before, for the agent of the next turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) handoff: Option<Handoff>,
    /// People's notes for those who answer later, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<Note>,
    /// Messages to deliver as context with the next turn.
    #[serde(default, skip_serializing_if = "Observed::is_empty")]
    pub(crate) observed: Observed,
}

impl Record for Conversation {
    type Id = ConversationId;

    fn name(id: &ConversationId) -> String {
        names::conversation(id)
    }

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        Some(limits.conversation_lifetime())
    }
}

impl Conversation {
    pub(crate) fn new(id: ConversationId, token: &Token, now: Time) -> Self {
        Self {
            id,
            token: token.id.clone(),
            created_at: now,
            active_at: now,
            trimmed: 0,
            kept: 0,
            clean_up_at: None,
            open: Vec::new(),
            last: None,
            with: token.folder.clone(),
            title: None,
            identity: None,
            assigned: None,
            holder: None,
            handoff: None,
            notes: Vec::new(),
            observed: Observed::default(),
        }
    }

    /// Whether the folder's agent may speak in the conversation, and reassign it.
    pub(crate) fn is_with(&self, folder: &FolderName, token: &Token) -> bool {
        *folder == token.folder || *folder == self.with || self.assigned.as_ref() == Some(folder)
    }

    /// Notes that the conversation is active now.
    pub(crate) fn touch(&mut self, tx: &mut Tx<'_>) {
        self.active_at = tx.now;
        tx.add(&names::conversations(self.with.root()), &self.id, tx.now);
    }

    /// Notes who the visitor is. From then on the conversation is this visitor's.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if it is another visitor's.
    pub(crate) fn identify(&mut self, tx: &mut Tx<'_>, identity: &Identity) -> Result<(), Refusal> {
        if self.identity.as_ref().is_some_and(|known| known.id != identity.id) {
            return Err(Refusal::NotFound("conversation"));
        }
        self.identity = Some(identity.clone());
        let set = names::conversations_of(&self.token, &Identity::hash(&identity.id));
        tx.add(&set, &self.id, tx.now);
        Ok(())
    }

    pub(crate) fn is_first(&self, turn: &TurnId) -> bool {
        self.open.first() == Some(turn)
    }
}

/// Returns the conversation, if it is the token's.
///
/// # Errors
/// [`Refusal::NotFound`], also for a conversation of another token.
pub(crate) fn of_token(
    found: Option<Conversation>,
    token: &Token,
) -> Result<Conversation, Refusal> {
    let mine = found.filter(|conversation| conversation.token == token.id);
    mine.ok_or(Refusal::NotFound("conversation"))
}

/// The move of a turn or a conversation from another folder, as the next agent is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handoff {
    pub(crate) from: FolderName,
    /// A text for the next agent.
    pub(crate) note: String,
    /// Whether the turn moved because no answer came in time.
    pub(crate) escalated: bool,
}

/// A person's note in a conversation. Neither visitors nor agents get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) at: Time,
    /// The person's name.
    pub(crate) by: String,
    pub(crate) text: String,
}

/// The end of a conversation's log. It is apart from the [`Conversation`], because every frame
/// changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The last frame's seq; 0 before the first.
    pub(crate) seq: u64,
    /// The last frame's tag.
    pub(crate) tag: u32,
}

impl Record for Head {
    type Id = ConversationId;

    fn name(id: &ConversationId) -> String {
        names::head(id)
    }

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        Some(limits.conversation_lifetime())
    }
}

impl Head {
    /// Appends a turn's frame number `n` to the log, and wakes its readers.
    pub(crate) fn append(
        &mut self,
        tx: &mut Tx<'_>,
        conversation: &ConversationId,
        turn: &TurnId,
        n: u32,
        body: Body,
    ) -> Decision<()> {
        self.seq += 1;
        self.tag = u32::from_le_bytes(tx.random());
        let frame = Frame { tag: self.tag, turn: turn.clone(), n, at: tx.now, body };
        let entry = frame.to_entry()?;
        tx.append_entry(names::log(conversation), self.seq, entry.clone());
        // Nobody knows of a conversation before its first frame is stored.
        if self.seq > 1 {
            tx.publish(names::conversation_topic(conversation), wake(self.seq, &entry));
        }
        Ok(())
    }
}

/// Encodes a frame's wake-up: its seq, and the frame itself if it is small.
fn wake(seq: u64, entry: &Bytes) -> Bytes {
    let mut payload = format!("{seq} ").into_bytes();
    if entry.len() <= CARRIED_BYTES {
        payload.extend_from_slice(entry);
    }
    payload.into()
}

/// Parses a wake-up: the frame's seq, and the frame if it is carried. `None` for a wake-up that is
/// not about a frame.
pub(crate) fn woken(payload: &Bytes) -> Option<(u64, Option<Bytes>)> {
    let space = payload.iter().position(|byte| *byte == b' ')?;
    let seq = std::str::from_utf8(&payload[..space]).ok()?.parse().ok()?;
    let entry = payload.slice(space + 1..);
    Some((seq, (!entry.is_empty()).then_some(entry)))
}

/// Messages that no agent was asked to answer, and that are delivered with the next turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Observed(Vec<ObservedMessage>);

/// A turn whose message was observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ObservedMessage {
    turn: TurnId,
    bytes: usize,
    /// Whether a visitor's turn may get this message. True for a visitor's message; for a
    /// webhook's, its route decides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    visitors: bool,
}

impl Observed {
    /// How many messages may wait, at most. The oldest are dropped first.
    const MAX_MESSAGES: usize = 100;
    /// How many bytes of messages may wait, at most. The newest message stays even if it alone is
    /// larger.
    const MAX_BYTES: usize = 1 << 20;

    pub(crate) fn push(&mut self, turn: TurnId, bytes: usize, visitors: bool) {
        self.0.push(ObservedMessage { turn, bytes, visitors });
        self.drop_surplus();
    }

    /// Takes the messages that a visitor's turn may get.
    pub(crate) fn take_for_visitors(&mut self) -> Self {
        let (taken, kept) = self.0.drain(..).partition(|message| message.visitors);
        self.0 = kept;
        Self(taken)
    }

    /// Adds older messages.
    pub(crate) fn put_before(&mut self, older: Self) {
        let newer = std::mem::replace(self, older);
        self.0.extend(newer.0);
        self.drop_surplus();
    }

    fn drop_surplus(&mut self) {
        let (mut keep, mut bytes) = (0, 0);
        for message in self.0.iter().rev().take(Self::MAX_MESSAGES) {
            bytes += message.bytes;
            if keep > 0 && bytes > Self::MAX_BYTES {
                break;
            }
            keep += 1;
        }
        self.0.drain(..self.0.len() - keep);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the messages' turns, the oldest first.
    pub(crate) fn turns(&self) -> impl Iterator<Item = &TurnId> {
        self.0.iter().map(|message| &message.turn)
    }

    /// Returns the turns of the messages that a visitor's turn may get, the oldest first.
    pub(crate) fn turns_for_visitors(&self) -> impl Iterator<Item = &TurnId> {
        self.0.iter().filter(|message| message.visitors).map(|message| &message.turn)
    }
}
