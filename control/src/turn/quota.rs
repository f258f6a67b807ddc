//! Counts the bytes of the messages that are kept of each link and each tenant, and limits them.
//!
//! A turn counts from its message until it is deleted: the bytes of its message, of its reply and
//! of the visitor's comment on it, and a fixed number for its records. Frames hold the same text
//! for a shorter time and don't count.

use super::{Turn, exchange::Exchange};
use crate::{
    conversation::Conversation,
    names,
    refusal::Refusal,
    transaction::{Decision, Tx},
};

/// How many bytes a turn's records count as, besides its texts: about what SQLite needs for them.
/// Redis needs twice as much.
const RECORDS: u64 = 4 << 10;

/// Charges a new turn's message to its link and its tenant. The commit is refused if one of them
/// has no room for it.
pub(super) fn charge(tx: &mut Tx<'_>, exchange: &mut Exchange, message: usize) {
    let bytes = RECORDS + message as u64;
    let Exchange { turn, conversation, .. } = exchange;
    let root = conversation.with.root();
    let limits = [
        (names::kept_of_link(&conversation.token), tx.limits.link_bytes, turn.origin.jid.as_str()),
        (names::kept_of_tenant(root), tx.limits.tenant_bytes, root),
    ];
    for (counter, most, owner) in limits {
        let refusal = Refusal::LimitReached(format!("{owner} keeps {most} bytes of messages"));
        tx.limit_count(counter, bytes, most, refusal);
    }
    add(tx, exchange, bytes);
}

/// Counts a turn's reply. It is never refused: the limit on the turn's frames bounds it.
pub(super) fn add_reply(tx: &mut Tx<'_>, exchange: &mut Exchange, reply: usize) {
    if reply > 0 {
        add(tx, exchange, reply as u64);
    }
}

/// Counts by how much a turn has grown or shrunk since its end. It is never refused: whatever grows
/// has a limit of its own.
pub(super) fn change(tx: &mut Tx<'_>, turn: &mut Turn, by: i64) -> Decision<()> {
    let id = turn.conversation.clone();
    let conversation = tx.get_tracked::<Conversation>(&id)?;
    // The conversation may be gone a moment before its turns.
    let mut conversation = conversation.ok_or(Refusal::NotFound("conversation"))?;
    if by != 0 {
        turn.kept = turn.kept.saturating_add_signed(by);
        conversation.kept = conversation.kept.saturating_add_signed(by);
        count(tx, &conversation, by);
        conversation.store(tx, &id)?;
    }
    Ok(())
}

fn add(tx: &mut Tx<'_>, exchange: &mut Exchange, bytes: u64) {
    let Exchange { turn, conversation, .. } = exchange;
    turn.kept += bytes;
    conversation.kept += bytes;
    count(tx, conversation, bytes as i64);
}

/// Subtracts the bytes of a conversation's deleted turns.
pub(super) fn give_back(tx: &mut Tx<'_>, conversation: &Conversation, bytes: u64) {
    // Turns of an older control were not counted.
    if bytes > 0 {
        count(tx, conversation, -(bytes as i64));
    }
}

fn count(tx: &mut Tx<'_>, conversation: &Conversation, by: i64) {
    tx.count(names::kept_of_link(&conversation.token), by);
    tx.count(names::kept_of_tenant(conversation.with.root()), by);
}
