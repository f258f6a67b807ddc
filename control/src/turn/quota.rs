//! How many bytes of messages are kept, by link and by tenant.
//!
//! A turn counts from its message until it is deleted: the bytes of its message and of its reply,
//! and what its records take beside. Frames, which are kept for less long, don't count again.

use super::exchange::Exchange;
use crate::{conversation::Conversation, names, refusal::Refusal, transaction::Tx};

/// What a turn's records take beside its texts, in bytes: about what SQLite needs. Redis needs
/// twice as much.
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

/// Adds a reply. It is never refused: the limit of its turn bounds it.
pub(super) fn add_reply(tx: &mut Tx<'_>, exchange: &mut Exchange, reply: usize) {
    if reply > 0 {
        add(tx, exchange, reply as u64);
    }
}

fn add(tx: &mut Tx<'_>, exchange: &mut Exchange, bytes: u64) {
    let Exchange { turn, conversation, .. } = exchange;
    turn.kept += bytes;
    conversation.kept += bytes;
    count(tx, conversation, bytes as i64);
}

/// Gives back what turns of a conversation took, once they are deleted.
pub(super) fn give_back(tx: &mut Tx<'_>, conversation: &Conversation, bytes: u64) {
    // Conversations of an older control took nothing.
    if bytes > 0 {
        count(tx, conversation, -(bytes as i64));
    }
}

fn count(tx: &mut Tx<'_>, conversation: &Conversation, by: i64) {
    tx.count(names::kept_of_link(&conversation.token), by);
    tx.count(names::kept_of_tenant(conversation.with.root()), by);
}
