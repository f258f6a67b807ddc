//! Finds conversations and turns by their public ids.

use super::seen::{self, Seen};
use crate::{
    control::Control,
    conversation::Conversation,
    key::{Caller, Role},
    ledger::Error,
    names,
    refusal::Refusal,
    store::Partition,
    transaction::Record,
    turn::Turn,
};
use arizuko_proto::public_id::{self, Of};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::future::ready;

/// How many partitions are asked at a time.
const AT_ONCE: usize = 32;

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
    let found = find::<Conversation>(control, caller, public, Of::Conversation).await?;
    let (partition, conversation) = found.ok_or_else(|| unknown.clone())?;
    let seen = seen::read(control, partition, &[conversation.id]).await?.pop().flatten();
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
    let found = find::<Turn>(control, caller, public, Of::Turn).await?;
    let (partition, turn) = found.ok_or_else(|| unknown.clone())?;
    let seen = seen::read(control, partition, std::slice::from_ref(&turn.conversation)).await?;
    let seen = seen.into_iter().flatten().find(|seen| seen.is_reached_by(caller));
    Ok((partition, turn, seen.ok_or(unknown)?))
}

/// Finds the record that a public id names; `None` also for a public id of another kind. The id
/// does not say which tenant the record belongs to, so an operator's or a viewer's search asks
/// every partition.
async fn find<T: Record>(
    control: &Control,
    caller: &Caller,
    public: &str,
    kind: Of,
) -> Result<Option<(Partition, T)>, Error> {
    let (of, short) = public_id::parse(public).ok_or_else(|| {
        Refusal::invalid("a public id looks like cnv_… for a conversation, and trn_… for a turn")
    })?;
    if of != kind {
        return Ok(None);
    }
    let name = match of {
        Of::Conversation => names::conversation_with(short),
        Of::Turn => names::turn_with(short),
    };
    let partitions = match &caller.role {
        Role::Agent { folder, .. } => {
            let own = control.partition(folder);
            own..own + 1
        }
        _ => 0..control.partitions,
    };
    let ask = |partition| {
        let name = name.clone();
        async move {
            let found = control.ledger.record_named::<T>(partition, name).await?;
            Ok::<_, Error>(found.map(|found| (partition, found)))
        }
    };
    let asking = stream::iter(partitions).map(ask).buffer_unordered(AT_ONCE);
    let found = asking.try_filter_map(|found| ready(Ok(found)));
    let mut found = std::pin::pin!(found);
    found.try_next().await
}
