//! Deletes conversations for operators, however many turns they have: some turns in each commit.

use super::{
    Turn,
    exchange::delete_records,
    quota,
    retention::{By, purge},
};
use crate::{
    audit::{self, Event},
    conversation::Conversation,
    ids::ConversationId,
    names,
    time::Time,
    transaction::{Decision, Record as _, Tx},
};
use arizuko_proto::public_id;

/// How many turns one commit deletes, at most. The last commit may delete more, if many are open.
const BATCH: u32 = 200;

/// What one commit has deleted of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Erased {
    pub(crate) turns: u32,
    /// Whether the conversation is gone.
    pub(crate) is_done: bool,
}

/// Deletes a conversation, or only the oldest of its ended turns if it has many turns. Returns
/// `None` if there is no such conversation, or if it was active at `inactive_since` or later.
pub(crate) fn erase(
    tx: &mut Tx<'_>,
    id: &ConversationId,
    inactive_since: Option<Time>,
) -> Decision<Option<Erased>> {
    let conversation = tx.get_tracked::<Conversation>(id)?;
    let is_wanted = |c: &Conversation| inactive_since.is_none_or(|since| c.active_at < since);
    let Some(mut conversation) = conversation.filter(|conversation| is_wanted(conversation)) else {
        return Ok(None);
    };
    let set = names::turns(id);
    let members = tx.members(&set, 0..=u64::MAX, BATCH + 1)?;
    let ended = members.iter().map(|(id, _)| id).filter(|id| !conversation.open.contains(id));
    let ended: Vec<_> = ended.take(BATCH as usize).collect();
    // The last commit deletes the rest and cancels the open turns.
    if members.len() <= BATCH as usize || ended.is_empty() {
        purge(tx, &conversation, By::Operator)?;
        tell(tx, &conversation)?;
        let turns = tx.all_members(&set)?.len() as u32;
        return Ok(Some(Erased { turns, is_done: true }));
    }
    tx.expect(ended.iter().map(|id| Turn::name(id)))?;
    let mut freed = 0;
    for id in &ended {
        freed += tx.get::<Turn>(id)?.map_or(0, |turn| turn.kept);
        delete_records(tx, id, false);
        tx.remove(&set, *id);
    }
    conversation.kept = conversation.kept.saturating_sub(freed);
    quota::give_back(tx, &conversation, freed);
    conversation.store(tx, id)?;
    Ok(Some(Erased { turns: ended.len() as u32, is_done: false }))
}

/// Publishes the deletion to `tail` subscribers.
fn tell(tx: &mut Tx<'_>, conversation: &Conversation) -> Decision<()> {
    audit::tell(
        tx,
        Event {
            event: "deleted".to_owned(),
            folder: conversation.with.to_string(),
            conversation: public_id::conversation(conversation.id.as_str()),
            ..Event::default()
        },
    )
}
