//! What time does: leases, deadlines, expiry and clean-up.
//!
//! Every deadline is a member of its partition's due set, changed in the same commit as what it
//! is about. Any control may take a due item: the versions of what it changes fence it.

use crate::{
    control::Control,
    conversation,
    ledger::Error,
    session,
    store::{Millis, Partition},
    token,
    transaction::{DUE, Tx},
    turn,
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const PAUSE: Duration = Duration::from_millis(500);
const AT_ONCE: u32 = 100;
/// How many rounds there are from one look at what waits to the next, and how much of it is
/// looked at, of each partition or of all.
const ROUNDS: u32 = 10;
const QUEUE: u32 = 10_000;
/// When an item that could not be taken is tried again, in milliseconds.
const LATER: Millis = 60_000;

/// Takes due items until `shutdown`.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) {
    let mut reachable = true;
    for round in 0_u32.. {
        if shutdown.is_cancelled() {
            return;
        }
        let swept = match sweep(&control).await {
            Ok(()) if round % ROUNDS == 0 => measure_queue(&control).await,
            swept => swept,
        };
        match swept {
            Ok(()) => reachable = true,
            // Said once, not each half second that the store is away.
            Err(error) if reachable => {
                tracing::warn!(%error, "due items wait");
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

/// Sees how many turns wait for an agent, and how long the oldest has.
async fn measure_queue(control: &Control) -> Result<(), Error> {
    let (ledger, metrics) = (&control.ledger, &control.metrics);
    let now = ledger.now();
    let waiting = ledger.gather(turn::WAITING, control.partitions, u64::MAX, QUEUE).await?;
    let oldest = waiting.iter().map(|(_, turn)| turn.score).min();
    let longest = oldest.map_or(0, |since| now.saturating_sub(since) / 1000);
    metrics.waiting.set(waiting.len() as i64);
    metrics.longest_wait.set(longest as i64);
    Ok(())
}

async fn sweep(control: &Control) -> Result<(), Error> {
    let now = control.ledger.now();
    let due = control.ledger.gather(DUE, control.partitions, now, AT_ONCE).await?;
    for (partition, item) in due {
        let item = item.name;
        match take(control, partition, &item).await {
            Err(Error::Internal(error)) => {
                tracing::error!(item, error, "a due item cannot be taken");
                // It must not stand in the way of all that come after it.
                let later = |tx: &mut Tx<'_>| {
                    tx.schedule(&item, tx.now + LATER);
                    Ok(())
                };
                control.ledger.transact(partition, &[], later).await?;
            }
            other => other?,
        }
    }
    Ok(())
}

async fn take(control: &Control, partition: Partition, item: &str) -> Result<(), Error> {
    let (ledger, limits) = (&control.ledger, &control.limits);
    let Some((kind, id)) = item.split_once(':') else {
        return Err(Error::Internal("no such kind of item".to_owned()));
    };
    match kind {
        "session" => ledger.transact(partition, &[], |tx| session::expire(tx, limits, id)).await,
        "turn" => ledger.transact(partition, &[], |tx| turn::check_deadlines(tx, limits, id)).await,
        "conversation" => {
            ledger.transact(partition, &[], |tx| conversation::clean_up(tx, limits, id)).await
        }
        "token" => end_token(control, partition, id).await,
        _ => Err(Error::Internal("no such kind of item".to_owned())),
    }
}

/// Ends a token whose time is over, and cancels the turns of one that has ended.
pub(crate) async fn end_token(
    control: &Control,
    partition: Partition,
    id: &str,
) -> Result<(), Error> {
    let (ledger, limits) = (&control.ledger, &control.limits);
    if !ledger.transact(partition, &[], |tx| token::expire(tx, id)).await? {
        return Ok(());
    }
    let open = (0, u64::MAX);
    let open = ledger.members(partition, token::open_turns(id), open, u32::MAX).await?;
    // The newest first: the end of a running turn would hand out the next one of its conversation.
    for open in open.into_iter().rev() {
        let turn = open.name;
        ledger
            .transact(partition, &[], |tx| {
                if turn::cancel(tx, limits, &turn, "its token has ended")?.is_none() {
                    tx.remove(token::open_turns(id), &turn);
                }
                Ok(())
            })
            .await?;
    }
    ledger
        .transact(partition, &[], |tx| {
            tx.settle(token::due(id));
            Ok(())
        })
        .await
}
