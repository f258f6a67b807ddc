//! Ends a stream when the key that opened it is revoked.

use crate::{
    control::Control,
    ids::KeyId,
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
        if control.ledger.record::<Key>(partition, &id).await?.is_none() {
            return Err(Refusal::KeyInvalid.into());
        }
        let until_revoked = until_revoked(control.clone(), partition, id, wakes);
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

/// Returns once the key's record is gone.
async fn until_revoked(
    control: Arc<Control>,
    partition: Partition,
    id: KeyId,
    mut wakes: Subscription,
) {
    loop {
        if let Ok(Wake::Published(_)) = timeout(control.limits.recheck, wakes.next()).await {
            return;
        }
        match control.ledger.record::<Key>(partition, &id).await {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(_) => sleep(RETRY).await,
        }
    }
}
