//! Messages that no agent is asked to answer: observed as context for the next turn, or dropped and
//! counted.

use super::{
    Turn,
    input::{Context, Input},
};
use crate::{
    audit::{self, Change},
    conversation::{Conversation, Observed},
    jid::FolderName,
    limits::Limits,
    names,
    time::Time,
    token::{Kind, Token},
    transaction::{Decision, Record, Tx},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Webhooks that wait to be context for a folder's next turn.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FolderObserved(Observed);

impl Record for FolderObserved {
    type Id = FolderName;

    fn name(folder: &FolderName) -> String {
        names::observed(folder)
    }

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        Some(limits.keep_messages)
    }
}

/// Keeps a message of `bytes` as context: a visitor's for the next turn of its conversation (other
/// visitors must not see it), a webhook's for the next turn of its folder.
pub(super) fn observe(
    tx: &mut Tx<'_>,
    turn: &Turn,
    conversation: &mut Conversation,
    bytes: usize,
) -> Decision<()> {
    if turn.origin.kind == Kind::Chat {
        conversation.observed.push(turn.id.clone(), bytes);
        return Ok(());
    }
    let folder = &turn.place.folder;
    let mut waiting = tx.get::<FolderObserved>(folder)?.unwrap_or_default();
    waiting.0.push(turn.id.clone(), bytes);
    tx.put(folder, &waiting)
}

/// Takes the observed messages to deliver with this turn.
pub(super) fn take(
    tx: &mut Tx<'_>,
    conversation: &mut Conversation,
    folder: &FolderName,
) -> Decision<Context> {
    let mut context = Context::default();
    if !conversation.observed.is_empty() {
        context.conversation = std::mem::take(&mut conversation.observed);
    }
    if let Some(waiting) = tx.get_unlikely::<FolderObserved>(folder)? {
        context.folder = waiting.0;
        tx.delete::<FolderObserved>(folder);
    }
    Ok(context)
}

/// Puts the observed messages of a turn that no agent ever had back, for the next turn.
pub(super) fn put_back(
    tx: &mut Tx<'_>,
    turn: &Turn,
    conversation: Option<&mut Conversation>,
) -> Decision<()> {
    let context = tx.get::<Input>(&turn.id)?.map(|input| input.context).unwrap_or_default();
    if let Some(conversation) = conversation
        && !context.conversation.is_empty()
    {
        conversation.observed.put_before(context.conversation);
    }
    if !context.folder.is_empty() {
        let folder = &turn.place.home;
        let mut waiting = tx.get::<FolderObserved>(folder)?.unwrap_or_default();
        waiting.0.put_before(context.folder);
        tx.put(folder, &waiting)?;
    }
    Ok(())
}

/// How many messages to a JID were dropped.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) messages: u64,
    /// When the audit log was last told.
    audited_at: Time,
}

impl Record for Dropped {
    /// A JID.
    type Id = str;

    fn name(jid: &str) -> String {
        names::dropped(jid)
    }

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        Some(limits.keep_messages)
    }
}

/// How often the audit log is told of one JID's dropped messages, so that a flood doesn't fill it.
const AUDIT_INTERVAL: Duration = Duration::from_secs(3_600);

/// Counts a dropped message.
pub(super) fn count_dropped(tx: &mut Tx<'_>, token: &Token) -> Decision<()> {
    let mut dropped = tx.get::<Dropped>(&token.jid)?.unwrap_or_default();
    dropped.messages += 1;
    if tx.now >= dropped.audited_at + AUDIT_INTERVAL {
        dropped.audited_at = tx.now;
        let change = Change {
            actor: "control",
            action: "message.drop",
            folder: token.folder.as_str(),
            subject: &token.jid,
            detail: &format!("{} so far", dropped.messages),
        };
        audit::note(tx, &change)?;
    }
    tx.add(&names::dropped_jids(), &token.jid, 0_u64);
    tx.put(token.jid.as_str(), &dropped)
}
