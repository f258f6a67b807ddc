//! Ends a stream when its key is revoked or expires, or when the secret that it was opened with
//! ends.

use crate::{
    control::Control,
    key::{Caller, Key},
    ledger::Error,
    names,
    refusal::Refusal,
    store::{Partition, Subscription},
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long to wait before reading again from a store that was out of reach.
const RETRY: Duration = Duration::from_secs(1);

/// A watch on one key, which ends when this is dropped.
pub(super) struct KeyWatch {
    revoked: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl KeyWatch {
    /// Starts to watch the caller's key.
    ///
    /// # Errors
    /// [`Refusal::KeyInvalid`] if the caller's secret has stopped opening the key since the call
    /// began.
    pub(super) async fn start(control: &Arc<Control>, caller: &Caller) -> Result<Self, Error> {
        let revoked = CancellationToken::new();
        let partition = caller.key_id.partition(control.partitions).ok_or(Refusal::KeyInvalid)?;
        // Subscribe first, then read: one of the two sees a revocation.
        let wakes = control.ledger.watch(partition, &names::key_topic(&caller.key_id)).await?;
        let key = control.ledger.record::<Key>(partition, &caller.key_id).await?;
        let key = key.filter(|key| key.opens_with(&caller.hash, control.ledger.now()));
        let wait = next_look(control, &key.ok_or(Refusal::KeyInvalid)?, &caller.hash);
        let until_revoked = until_revoked(control.clone(), partition, caller.clone(), wakes, wait);
        let cancel = revoked.clone();
        let task = tokio::spawn(async move {
            until_revoked.await;
            cancel.cancel();
        });
        Ok(Self { revoked, _task: AbortOnDropHandle::new(task) })
    }

    /// Returns once the caller's secret no longer opens the key: the key was revoked or has
    /// expired, or the secret has ended.
    pub(super) async fn revoked(&self) {
        self.revoked.cancelled().await;
    }
}

/// Returns once the caller's secret no longer opens the key.
async fn until_revoked(
    control: Arc<Control>,
    partition: Partition,
    caller: Caller,
    mut wakes: Subscription,
    mut wait: Duration,
) {
    loop {
        // A wake-up and the end of the wait are both a reason to read the key.
        let _ = timeout(wait, wakes.next()).await;
        let now = control.ledger.now();
        wait = match control.ledger.record::<Key>(partition, &caller.key_id).await {
            Ok(Some(key)) if key.opens_with(&caller.hash, now) => {
                control.key_uses.note(&key, now);
                next_look(&control, &key, &caller.hash)
            }
            Ok(_) => return,
            Err(_) => RETRY,
        };
    }
}

/// Returns how long to wait before the key is read again.
fn next_look(control: &Control, key: &Key, hash: &str) -> Duration {
    let recheck = control.limits.recheck;
    key.end_of(hash).map_or(recheck, |end| recheck.min(end - control.ledger.now()))
}
