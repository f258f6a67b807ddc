//! Messages that trigger no turn: kept as context for the next one, or dropped and counted.

use super::{Input, Turn};
use crate::{
    audit,
    conversation::{Conversation, Observed},
    jid::Folder,
    limits::Limits,
    store::Millis,
    token::{Kind, Token},
    transaction::{Decision, Tx},
};
use serde::{Deserialize, Serialize};

/// The record of the messages that wait to be context for a folder's next turn.
fn observed(folder: &Folder) -> String {
    format!("observed:{folder}")
}

/// Keeps a message as context: a visitor's for the next turn of the conversation, since no other
/// visitor's may show it; a webhook's for the next one of the folder.
pub(super) fn observe(
    tx: &mut Tx<'_>,
    limits: &Limits,
    turn: &Turn,
    conversation: &mut Conversation,
    bytes: usize,
) -> Decision<()> {
    if turn.kind == Kind::Chat {
        conversation.observed.push(&turn.id, bytes);
        return Ok(());
    }
    let record = observed(&turn.folder);
    let mut waiting = tx.get::<Observed>(&record)?.unwrap_or_default();
    waiting.push(&turn.id, bytes);
    tx.put(&record, &waiting, Some(limits.keep_messages))
}

/// The observed messages that go with a turn: of its conversation, and of its folder's webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Context {
    conversation: Observed,
    folder: Observed,
}

impl Context {
    /// Their turns, the oldest of each kind first.
    pub(crate) fn turns(&self) -> Vec<String> {
        let turns = self.folder.turns().chain(self.conversation.turns());
        turns.map(str::to_owned).collect()
    }
}

/// Takes what goes with the next turn, which is this.
pub(super) fn context(
    tx: &mut Tx<'_>,
    conversation: &mut Conversation,
    folder: &Folder,
) -> Decision<Context> {
    let mut context =
        Context { conversation: std::mem::take(&mut conversation.observed), ..Context::default() };
    let record = observed(folder);
    if let Some(waiting) = tx.get_unlikely::<Observed>(&record)? {
        context.folder = waiting;
        tx.delete(&record);
    }
    Ok(context)
}

/// A turn ends that no agent ever had: what went with it waits for the next one again. The caller
/// puts the conversation, if there still is one.
pub(crate) fn give_back(
    tx: &mut Tx<'_>,
    limits: &Limits,
    turn: &Turn,
    conversation: Option<&mut Conversation>,
) -> Decision<()> {
    let input = tx.get::<Input>(&super::input(&turn.id))?;
    let context = input.map(|input| input.context).unwrap_or_default();
    if let Some(conversation) = conversation {
        conversation.observed.put_before(context.conversation);
    }
    if !context.folder.is_empty() {
        let record = observed(&turn.home);
        let mut waiting = tx.get::<Observed>(&record)?.unwrap_or_default();
        waiting.put_before(context.folder);
        tx.put(&record, &waiting, Some(limits.keep_messages))?;
    }
    Ok(())
}

/// How many messages to a JID were dropped.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) messages: u64,
    /// When the audit log last told.
    audited_at: Millis,
}

/// The set of the JIDs that have such a count.
pub(crate) const DROPPED: &str = "dropped";
/// How often the audit log tells of one JID's, so that a flood doesn't fill it.
const TELL_EVERY: Millis = 3_600_000;

/// The record of a JID's count.
pub(crate) fn dropped(jid: &str) -> String {
    format!("dropped:{jid}")
}

/// Counts a dropped message, and tells the audit log, once an hour.
pub(super) fn count_dropped(tx: &mut Tx<'_>, limits: &Limits, token: &Token) -> Decision<()> {
    let record = dropped(&token.jid);
    let mut so_far: Dropped = tx.get(&record)?.unwrap_or_default();
    so_far.messages += 1;
    if tx.now >= so_far.audited_at + TELL_EVERY {
        so_far.audited_at = tx.now;
        let detail = format!("{} so far", so_far.messages);
        let subject = (token.jid.as_str(), detail.as_str());
        audit::note(tx, "control", "message.drop", token.folder.as_str(), subject)?;
    }
    tx.add(DROPPED, &token.jid, 0);
    tx.put(&record, &so_far, Some(limits.keep_messages))
}
