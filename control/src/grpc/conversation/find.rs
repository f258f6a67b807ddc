//! Finds conversations and turns by their public ids.

use super::seen::{self, Seen};
use crate::{
    control::Control,
    key::{Caller, Role},
    ledger::Error,
    names::{self, Named},
    refusal::Refusal,
    store::Partition,
    turn::Turn,
};
use arizuko_proto::public_id;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::future::ready;

/// How many partitions are asked at a time.
const AT_ONCE: usize = 32;
/// How many ids of one place are read. There will never be as many.
const SAME_PLACE: u32 = 8;

/// Returns a conversation that the caller may read, and its partition.
///
/// # Errors
/// [`Refusal::NotFound`], also for one that the caller may not read.
pub(super) async fn conversation(
    control: &Control,
    caller: &Caller,
    public: &str,
) -> Result<(Partition, Seen), Error> {
    let unknown = Refusal::NotFound("conversation");
    let Some((partition, Named::Conversation(id))) = named(control, caller, public).await? else {
        return Err(unknown.into());
    };
    let seen = seen::read(control, partition, &[id]).await?.pop().flatten();
    let seen = seen.filter(|seen| seen.is_reached_by(caller)).ok_or(unknown)?;
    Ok((partition, seen))
}

/// Returns a turn that the caller may read, its partition and its conversation.
///
/// # Errors
/// [`Refusal::NotFound`], also for one that the caller may not read.
pub(super) async fn turn(
    control: &Control,
    caller: &Caller,
    public: &str,
) -> Result<(Partition, Turn, Seen), Error> {
    let unknown = Refusal::NotFound("turn");
    let Some((partition, Named::Turn(id))) = named(control, caller, public).await? else {
        return Err(unknown.into());
    };
    let turn = control.ledger.record::<Turn>(partition, &id).await?;
    let turn = turn.ok_or(unknown.clone())?;
    let seen = seen::read(control, partition, std::slice::from_ref(&turn.conversation)).await?;
    let seen = seen.into_iter().flatten().find(|seen| seen.is_reached_by(caller));
    Ok((partition, turn, seen.ok_or(unknown)?))
}

/// Finds what a public id names. The id does not tell its tenant, so an operator's search asks
/// every partition.
async fn named(
    control: &Control,
    caller: &Caller,
    public: &str,
) -> Result<Option<(Partition, Named)>, Error> {
    let place = public_id::place_behind(public).ok_or_else(|| {
        Refusal::invalid("a public id looks like cnv_… for a conversation, and trn_… for a turn")
    })?;
    let partitions = match &caller.role {
        Role::Agent { folder, .. } => {
            let own = control.partition(folder);
            own..own + 1
        }
        _ => 0..control.partitions,
    };
    let ask = |partition| async move {
        let set = names::public_ids();
        let found = control.ledger.members(partition, &set, place..=place, SAME_PLACE).await?;
        let mut found = found.into_iter().map(|(named, _)| (partition, named));
        Ok(found.find(|(_, named)| named.public_id() == public))
    };
    let asking = stream::iter(partitions).map(ask).buffer_unordered(AT_ONCE);
    let found = asking.try_filter_map(|found| ready(Ok(found)));
    let mut found = std::pin::pin!(found);
    found.try_next().await
}
