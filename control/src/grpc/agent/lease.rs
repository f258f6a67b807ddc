//! The leases of sessions. Heartbeats renew them, those of many sessions in one commit: while
//! nothing happens, heartbeats are most of what agents cost the store.

use crate::{
    control::Control,
    ledger::Error,
    refusal::Refusal,
    session::{self, Speaker},
    store::Partition,
    transaction::Tx,
};
use futures_util::{FutureExt as _, future::BoxFuture};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::oneshot::{Receiver, Sender, channel},
    time::{Instant, sleep, sleep_until, timeout_at},
};

/// How many leases one commit renews, at most.
const AT_ONCE: usize = 64;
/// The part of a lease for which its renewal waits for others: one of this many.
const WAIT: u32 = 30;

/// The lease of the session for which a stream speaks.
pub(super) struct Lease {
    control: Arc<Control>,
    renewals: Arc<Renewals>,
    partition: Partition,
    speaker: Speaker,
    end: Instant,
    /// When the renewal under way was asked for, and its outcome.
    renewal: Option<(Instant, Receiver<Result<(), Error>>)>,
}

impl Lease {
    /// Begins with a lease that was just renewed.
    pub(super) fn new(
        control: &Arc<Control>,
        renewals: &Arc<Renewals>,
        partition: Partition,
        speaker: Speaker,
    ) -> Self {
        let (control, renewals) = (control.clone(), renewals.clone());
        let end = Instant::now() + control.limits.lease;
        Self { control, renewals, partition, speaker, end, renewal: None }
    }

    /// Renews the lease soon, if a quarter of it is over.
    pub(super) fn heartbeat(&mut self) {
        let now = Instant::now();
        let left = self.end.saturating_duration_since(now);
        if self.renewal.is_none() && left <= self.control.limits.lease * 3 / 4 {
            let asked = self.renewals.ask(&self.control, self.partition, self.speaker.clone());
            self.renewal = Some((now, asked));
        }
    }

    /// Waits for as long as the lease lasts. Returns why it could not be renewed;
    /// [`Refusal::SessionOver`] if it has ended, or if a newer stream speaks for the session.
    pub(super) async fn lost(&mut self) -> Error {
        loop {
            let Some((asked_at, renewal)) = &mut self.renewal else {
                sleep_until(self.end).await;
                return Refusal::SessionOver.into();
            };
            let asked_at = *asked_at;
            let outcome = timeout_at(self.end, renewal).await;
            self.renewal = None;
            match outcome {
                // In the store the lease ends later than this: it was renewed after it was asked for.
                Ok(Ok(Ok(()))) => self.end = asked_at + self.control.limits.lease,
                Ok(Ok(Err(error))) => return error,
                // The lease has ended, or control is stopping.
                Ok(Err(_)) | Err(_) => return Refusal::SessionOver.into(),
            }
        }
    }
}

/// A session whose lease is to be renewed, and who waits for the outcome.
type Asked = (Speaker, Sender<Result<(), Error>>);

/// The sessions whose leases are to be renewed next, by partition.
#[derive(Default)]
pub(super) struct Renewals(Mutex<HashMap<Partition, Vec<Asked>>>);

impl Renewals {
    fn ask(
        self: &Arc<Self>,
        control: &Arc<Control>,
        partition: Partition,
        speaker: Speaker,
    ) -> Receiver<Result<(), Error>> {
        let (sender, receiver) = channel();
        let mut waiting = self.lock();
        let asked = waiting.entry(partition).or_default();
        if asked.is_empty() {
            tokio::spawn(self.clone().run(control.clone(), partition));
        }
        asked.push((speaker, sender));
        receiver
    }

    /// Waits for more sessions of the partition, and renews the leases of all.
    async fn run(self: Arc<Self>, control: Arc<Control>, partition: Partition) {
        sleep(control.limits.lease / WAIT).await;
        let mut asked = self.lock().remove(&partition).unwrap_or_default();
        while !asked.is_empty() {
            let rest = asked.split_off(asked.len().min(AT_ONCE));
            renew(&control, partition, asked).await;
            asked = rest;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Partition, Vec<Asked>>> {
        // Nothing that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews leases together, or one by one if something is wrong with one of the sessions, or if
/// deliveries to them keep changing some.
fn renew(control: &Control, partition: Partition, asked: Vec<Asked>) -> BoxFuture<'_, ()> {
    let renewing = async move {
        let (speakers, senders): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let renewing = |tx: &mut Tx<'_>| session::renew(tx, &speakers);
        match control.ledger.transact(partition, &[], renewing).await {
            Err(Error::Internal(_) | Error::Busy) if speakers.len() > 1 => {
                for asked in speakers.into_iter().zip(senders) {
                    renew(control, partition, vec![asked]).await;
                }
            }
            Err(error) => senders.into_iter().for_each(|sender| tell(sender, Err(error.clone()))),
            Ok(renewed) => {
                for (sender, is_renewed) in senders.into_iter().zip(renewed) {
                    tell(
                        sender,
                        if is_renewed { Ok(()) } else { Err(Refusal::SessionOver.into()) },
                    );
                }
            }
        }
    };
    renewing.boxed()
}

fn tell(sender: Sender<Result<(), Error>>, outcome: Result<(), Error>) {
    // A stream that has ended meanwhile doesn't wait.
    let _ = sender.send(outcome);
}
