//! Ends a stream when the key that opened it is revoked or expires.

use crate::{
    control::Control,
    key::{Caller, Key},
    ledger::Error,
    names,
    refusal::Refusal,
    store::{Partition, Subscription, Wake},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long to wait before reading again from a store that was out of reach.
const RETRY: Duration = Duration::from_secs(1);

/// Watches one key for as long as it lives.
pub(super) struct KeyWatch {
    revoked: CancellationToken,
    _task: Option<AbortOnDropHandle<()>>,
}

impl KeyWatch {
    /// Starts to watch the caller's key.
    ///
    /// # Errors
    /// [`Refusal::KeyInvalid`] for a key that has been revoked since the call began.
    pub(super) async fn start(control: &Arc<Control>, caller: &Caller) -> Result<Self, Error> {
        let revoked = CancellationToken::new();
        // A key from the settings lives as long as the process.
        let Some(partition) = caller.key_id.partition(control.partitions) else {
            return Ok(Self { revoked, _task: None });
        };
        // Subscribe first, then read: one of the two sees a revocation.
        let wakes = control.ledger.watch(partition, &names::key_topic(&caller.key_id)).await?;
        let id = caller.key_id.clone();
        let key = control.ledger.record::<Key>(partition, &id).await?;
        let key = key.ok_or(Refusal::KeyInvalid)?;
        let until_revoked = until_revoked(control.clone(), partition, key, wakes);
        let cancel = revoked.clone();
        let task = tokio::spawn(async move {
            until_revoked.await;
            cancel.cancel();
        });
        Ok(Self { revoked, _task: Some(AbortOnDropHandle::new(task)) })
    }

    /// Returns once the key is revoked.
    pub(super) async fn revoked(&self) {
        self.revoked.cancelled().await;
    }
}

/// Returns once the key's record is gone, or the key has expired.
async fn until_revoked(
    control: Arc<Control>,
    partition: Partition,
    key: Key,
    mut wakes: Subscription,
) {
    loop {
        let now = control.ledger.now();
        let left = key.expires_at.map(|at| at - now);
        let wait = left.unwrap_or(control.limits.recheck).min(control.limits.recheck);
        if let Ok(Wake::Published(_)) = timeout(wait, wakes.next()).await {
            return;
        }
        let now = control.ledger.now();
        match control.ledger.record::<Key>(partition, &key.id).await {
            Ok(Some(key)) if key.is_live(now) => control.key_uses.note(&key, now),
            Ok(_) => return,
            Err(_) => sleep(RETRY).await,
        }
    }
}
