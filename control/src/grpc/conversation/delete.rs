//! Deletes the selected conversations, a page in each call.

use super::{
    list::{LOOKED_AT, Members, Wanted},
    place::Place,
    seen,
};
use crate::{
    control::Control,
    ids::ConversationId,
    ledger::Error,
    store::Partition,
    time::Time,
    transaction::Tx,
    turn::erasure::{self, Erased},
};
use arizuko_proto::v1;

/// A call that has deleted this many turns leaves the rest to the next call.
const TURNS: u32 = 2_000;
/// How many conversations are read at a time.
const AT_ONCE: usize = 50;

/// Deletes the wanted conversations after a place, as many as one call may.
pub(super) async fn page(
    control: &Control,
    wanted: &Wanted,
    after: Option<Place>,
) -> Result<v1::DeleteConversationsResponse, Error> {
    let Members { members, is_last } =
        Members::read(control, wanted, after.as_ref(), LOOKED_AT).await?;
    let mut deleted = v1::DeleteConversationsResponse::default();
    for members in members.chunks(AT_ONCE) {
        let ids: Vec<ConversationId> = members.iter().map(|(id, _)| id.clone()).collect();
        let seen = seen::read(control, wanted.partition, &ids).await?;
        for ((id, place), seen) in members.iter().zip(seen) {
            if seen.is_some_and(|seen| wanted.is_met_by(&seen)) {
                let one = one(control, wanted.partition, id, wanted.until).await?;
                deleted.conversations += one.conversations;
                deleted.turns += one.turns;
            }
            deleted.next_page_token = place.to_string();
            if deleted.turns >= TURNS {
                return Ok(deleted);
            }
        }
    }
    if is_last {
        deleted.next_page_token.clear();
    }
    Ok(deleted)
}

/// Deletes one conversation, unless it was active at `inactive_since` or later.
pub(super) async fn one(
    control: &Control,
    partition: Partition,
    id: &ConversationId,
    inactive_since: Option<Time>,
) -> Result<v1::DeleteConversationsResponse, Error> {
    let mut deleted = v1::DeleteConversationsResponse::default();
    loop {
        let erasing = |tx: &mut Tx<'_>| erasure::erase(tx, id, inactive_since);
        let erased = control.ledger.transact(partition, &[], erasing).await?;
        // Somebody else has deleted it, or written to it.
        let Some(Erased { turns, is_done }) = erased else { return Ok(deleted) };
        deleted.turns += turns;
        if is_done {
            deleted.conversations = 1;
            return Ok(deleted);
        }
    }
}
