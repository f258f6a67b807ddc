//! Due items: leases, deadlines, expiry and clean-up.
//!
//! Every deadline is a member of its partition's due set, changed in the same commit as what it
//! is about. Any control may take a due item; the versions of the records that it changes keep two
//! controls from taking it twice.

use crate::{
    control::Control,
    events, folder_settings,
    ids::{TokenId, TurnId},
    key,
    ledger::Error,
    names::{self, Due, Set},
    store::Partition,
    token::revocation,
    transaction::{Decision, Stop, Tx},
    turn::{self, Turn, end},
};
use arizuko_proto::public_id;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, try_join_all},
    stream::{self, StreamExt as _, TryStreamExt as _},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(crate) mod queues;

/// How long to wait before the next sweep, unless more items are due at once.
const PAUSE: Duration = Duration::from_millis(500);
/// How many due items one sweep takes from each end of a partition's due set: this many that have
/// been due for longest and, if there are more, up to this many that became due last. So one
/// tenant's backlog holds up nobody else, in another partition or in this one.
const ITEMS_PER_SWEEP: u32 = 128;
/// How many due items one sweep takes from all partitions together, at most. An item that becomes
/// due meanwhile waits for the next sweep, so a sweep must be short.
const MOST_PER_SWEEP: usize = 1_024;
/// Once in this many sweeps, control measures the queues, trims the audit log, and stores the uses
/// of keys and the numbers of refusals.
const SWEEPS_PER_MEASUREMENT: u32 = 10;
/// How many entries of the audit log each partition drops with each measurement, at most.
const TRIMMED_ENTRIES: u32 = 500;
/// How many ended tokens to work on at a time, and how many conversations of each, when cancelling
/// their turns.
const AT_ONCE: usize = 16;
/// How many due items of a partition are taken in one commit, at most: more would hold up other
/// commits for longer.
const ITEMS_PER_COMMIT: usize = 16;
/// How many commits of due items are made at a time.
const COMMITS_AT_ONCE: usize = 16;
/// How long to wait before an item that could not be taken is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Takes due items until `shutdown`, and now and then measures the queues and tidies.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) {
    let mut reachable = true;
    for round in 0_u32.. {
        if shutdown.is_cancelled() {
            return;
        }
        let swept = match sweep(&control).await {
            Ok(more) if round % SWEEPS_PER_MEASUREMENT == 0 => {
                measure_and_tidy(&control).await.map(|()| more)
            }
            swept => swept,
        };
        match swept {
            Ok(more) => {
                reachable = true;
                if more == More::Due {
                    continue;
                }
            }
            // This is logged once, not by each sweep while the store is out of reach.
            Err(error) if reachable => {
                tracing::warn!(%error, "cannot sweep due items, retrying");
                reachable = false;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn measure_and_tidy(control: &Control) -> Result<(), Error> {
    queues::waiting(control).await?;
    trim_audit(control).await?;
    control.key_uses.store(&control.ledger, control.partitions).await?;
    control.refused.store(&control.ledger, control.partitions).await
}

/// Drops entries of the audit log that are past retention, at most [`TRIMMED_ENTRIES`] in each
/// partition.
async fn trim_audit(control: &Control) -> Result<(), Error> {
    let (ledger, set) = (&control.ledger, names::audit());
    let until =
        ledger.now().as_millis().saturating_sub(control.limits.keep_audit.as_millis() as u64);
    let all = control.all_partitions();
    let old = ledger.gather(&set, &all, 0..=until, TRIMMED_ENTRIES).await?;
    let mut by_partition = HashMap::<_, Vec<String>>::new();
    for (partition, (entry, _)) in old {
        by_partition.entry(partition).or_default().push(entry);
    }
    for (partition, entries) in by_partition {
        let trimming = |tx: &mut Tx<'_>| {
            entries.iter().for_each(|entry| tx.remove(&set, entry));
            Ok(())
        };
        ledger.transact(partition, &[], trimming).await?;
    }
    Ok(())
}

/// Whether the next sweep has something to do at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Due,
    Later,
}

async fn sweep(control: &Control) -> Result<More, Error> {
    let (ledger, set, now) = (&control.ledger, names::due(), control.ledger.now());
    let mut due = BTreeMap::<_, Vec<Due>>::new();
    for (partition, (item, _)) in ledger.due(&set, control.partitions, ITEMS_PER_SWEEP).await? {
        due.entry(partition).or_default().push(item);
    }
    let full = due.iter_mut().filter(|(_, items)| items.len() == ITEMS_PER_SWEEP as usize);
    let adding = full.map(|(partition, items)| async {
        let last = ledger.last_members(*partition, &set, now.as_millis(), ITEMS_PER_SWEEP);
        let last = last.await?.into_iter().map(|(item, _)| item);
        let last: Vec<Due> = last.filter(|item| !items.contains(item)).collect();
        items.extend(last);
        Ok::<_, Error>(())
    });
    let is_full = !try_join_all(adding).await?.is_empty();
    // Take the first items of each partition, then the second ones of each, and so on.
    let mut commits: Vec<_> = due
        .into_iter()
        .flat_map(|(partition, items)| {
            let commits = by_commit(items).into_iter().enumerate();
            commits.map(move |(place, items)| (place, partition, items))
        })
        .collect();
    commits.sort_by_key(|(place, partition, _)| (*place, *partition));
    let mut items = 0;
    let fits = commits.iter().take_while(|(_, _, next)| {
        items += next.len();
        items <= MOST_PER_SWEEP
    });
    let fits = fits.count();
    let is_full = is_full || fits < commits.len();
    commits.truncate(fits);
    let taking = commits.into_iter().map(|(_, partition, items)| settle(control, partition, items));
    let taken: Vec<bool> = stream::iter(taking.collect::<Vec<_>>())
        .buffer_unordered(COMMITS_AT_ONCE)
        .try_collect()
        .await?;
    // If other controls took every one of these items, a pause lets them go on.
    Ok(if is_full && taken.contains(&true) { More::Due } else { More::Later })
}

/// Groups the items of a partition by commit, in the order in which they are taken: those that
/// became due last alternate with those that have been due for longest. Tokens have groups of their
/// own: to end one takes more than one commit.
fn by_commit(items: Vec<Due>) -> Vec<Vec<Due>> {
    let mut items: Vec<_> =
        items.into_iter().enumerate().map(|(index, item)| (place(index), item)).collect();
    items.sort_by_key(|(place, _)| *place);
    let items: Vec<Due> = items.into_iter().map(|(_, item)| item).collect();
    let is_token = |item: &Due| matches!(item, Due::Token(_));
    let together = items.chunk_by(|one, next| is_token(one) == is_token(next));
    together.flat_map(|items| items.chunks(ITEMS_PER_COMMIT)).map(<[Due]>::to_vec).collect()
}

/// Returns the position at which a sweep takes the item with this index among those of its
/// partition.
fn place(index: usize) -> usize {
    match index.checked_sub(ITEMS_PER_SWEEP as usize) {
        Some(of_the_last) => 2 * of_the_last + 1,
        None => 2 * index,
    }
}

/// Takes items together, or one by one if something is wrong with one of them. Puts off an item
/// that cannot be taken, so that it doesn't block those that come after it. Returns false if other
/// commits kept changing the same records: the items stay due.
fn settle(
    control: &Control,
    partition: Partition,
    items: Vec<Due>,
) -> BoxFuture<'_, Result<bool, Error>> {
    let settling = async move {
        match take(control, partition, &items).await {
            Ok(()) => Ok(true),
            Err(Error::Busy) => Ok(false),
            Err(Error::Internal(_) | Error::Refused(_)) if items.len() > 1 => {
                let mut is_taken = false;
                for item in items {
                    is_taken |= settle(control, partition, vec![item]).await?;
                }
                Ok(is_taken)
            }
            Err(Error::Internal(error)) => {
                put_off(control, partition, &items, &error).await?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    };
    settling.boxed()
}

async fn put_off(
    control: &Control,
    partition: Partition,
    items: &[Due],
    error: &str,
) -> Result<(), Error> {
    for item in items {
        let (id, error) = (public_id::redact(&item.to_string()), public_id::redact(error));
        tracing::error!(item = id, error, "cannot take a due item, trying again in a minute");
    }
    let later = |tx: &mut Tx<'_>| {
        items.iter().for_each(|item| tx.schedule(item, tx.now + RETRY_AFTER));
        Ok(())
    };
    control.ledger.transact(partition, &[], later).await
}

/// Takes items, which are all tokens or all something else. If they aren't tokens, takes them in
/// one commit.
async fn take(control: &Control, partition: Partition, items: &[Due]) -> Result<(), Error> {
    let token = |item: &Due| match item {
        Due::Token(id) => Some(id.clone()),
        _ => None,
    };
    let tokens: Vec<TokenId> = items.iter().filter_map(token).collect();
    if !tokens.is_empty() {
        return end_tokens(control, partition, &tokens).await;
    }
    let taking = |tx: &mut Tx<'_>| for_each(items, |item| decide(tx, item));
    control.ledger.transact(partition, &[], taking).await
}

/// Decides about each item. If records are missing, asks for those of all items, so that they are
/// loaded together.
fn for_each<T>(items: &[T], mut decide: impl FnMut(&T) -> Decision<()>) -> Decision<()> {
    let mut missing = Vec::new();
    for item in items {
        match decide(item) {
            Err(Stop::Missing(reads)) => {
                for read in reads {
                    if !missing.contains(&read) {
                        missing.push(read);
                    }
                }
            }
            decided => decided?,
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(Stop::Missing(missing)) }
}

fn decide(tx: &mut Tx<'_>, item: &Due) -> Decision<()> {
    match item {
        Due::Session(id) => turn::lease::expire(tx, id),
        Due::Turn(id) => turn::overdue::check(tx, id),
        Due::Conversation(id) => turn::retention::clean_up(tx, id),
        Due::Token(id) => revocation::expire(tx, id).map(drop),
        Due::Day(id, day) => turn::daily::forget(tx, id, *day),
        Due::Key(id) => key::expire(tx, id),
        Due::Event(id) => events::expire(tx, id),
        Due::Subscription(id) => events::clean_up(tx, id),
        Due::Folder(root) => folder_settings::apply(tx, root),
        Due::Unknown(_) => Err(Stop::Corrupt("no such kind of item".to_owned())),
    }
}

/// Ends tokens that have expired, and cancels the turns of tokens that have ended.
async fn end_tokens(
    control: &Control,
    partition: Partition,
    tokens: &[TokenId],
) -> Result<(), Error> {
    let ending = |tx: &mut Tx<'_>| {
        let mut ended = Vec::new();
        for_each(tokens, |id| {
            if revocation::expire(tx, id)? {
                ended.push(id.clone());
            }
            Ok(())
        })?;
        Ok(ended)
    };
    let ended = control.ledger.transact(partition, &[], ending).await?;
    end_turns(control, partition, &ended).await
}

/// Cancels the turns of tokens that have ended.
pub(crate) async fn end_turns(
    control: &Control,
    partition: Partition,
    tokens: &[TokenId],
) -> Result<(), Error> {
    for tokens in tokens.chunks(revocation::BATCH) {
        let ending = tokens.iter().map(|id| end_turns_of(control, partition, id).boxed());
        stream::iter(ending.collect::<Vec<_>>())
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        let done = |tx: &mut Tx<'_>| {
            tokens.iter().for_each(|id| tx.unschedule(&Due::Token(id.clone())));
            Ok(())
        };
        control.ledger.transact(partition, &[], done).await?;
    }
    Ok(())
}

async fn end_turns_of(
    control: &Control,
    partition: Partition,
    token: &TokenId,
) -> Result<(), Error> {
    let (ledger, set) = (&control.ledger, &names::open_turns(token));
    let open = ledger.all_members(partition, set).await?;
    let turns = ledger.records::<Turn>(partition, &open).await?;
    let mut conversations = HashMap::<_, Vec<_>>::new();
    // The newest first: if a running turn ended first, the next one of its conversation would be
    // queued.
    for (id, turn) in open.into_iter().zip(turns).rev() {
        conversations.entry(turn.map(|turn| turn.conversation)).or_default().push(id);
    }
    let ending =
        conversations.into_values().map(|turns| cancel(control, partition, set, turns).boxed());
    stream::iter(ending.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
}

/// Cancels turns of an ended token, one after the other.
async fn cancel(
    control: &Control,
    partition: Partition,
    open: &Set<TurnId>,
    turns: Vec<TurnId>,
) -> Result<(), Error> {
    for turn in turns {
        let cancelling = |tx: &mut Tx<'_>| {
            if end::cancel(tx, &turn, end::LINK_ENDED)?.is_none() {
                tx.remove(open, &turn);
            }
            Ok(())
        };
        control.ledger.transact(partition, &[], cancelling).await?;
    }
    Ok(())
}
