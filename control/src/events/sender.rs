//! Sends the events that wait in the outbox. Any control may; a lane's record keeps two controls
//! from sending the same event at the same time.

use super::{
    event::Event,
    outbox::{self, Job, Receipt, Step},
    subscription::{Subscription, set_full},
    target::Targets,
    wire,
};
use crate::{
    control::Control,
    ids::SubscriptionId,
    ledger::Error,
    names::{
        InFolder,
        events::{self as names, LaneId},
    },
    refusal::Refusal,
    store::{Order, Partition},
    time::Time,
    transaction::Tx,
};
use anyhow::Context as _;
use reqwest::{Client, Response, StatusCode, header::RETRY_AFTER, redirect::Policy};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

/// How long to wait before the next sweep, unless a lane has made room.
const PAUSE: Duration = Duration::from_millis(500);
/// How long after a sweep the next one begins, at least.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// How often control measures how long events have waited.
const MEASURED_EVERY: Duration = Duration::from_secs(5);
/// How many lanes one sweep reads from each end of a partition's outbox.
const LANES_PER_SWEEP: u32 = 128;
/// How many events this control sends at a time.
const AT_ONCE: usize = 256;
/// How many events of one subscription this control sends at a time. If the last attempt failed, it
/// sends only one, so that a receiver that hangs holds up nobody else.
const OF_ONE: usize = 4;
/// How long to put off a lane that holds up others of its partition: because its receiver is busy,
/// or because its receiver fails.
const PUT_OFF: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// How long attempts that are under way at shutdown may take.
const DRAIN: Duration = Duration::from_secs(3);
/// How much of a receiver's answer is read, in bytes, so that the connection can be used again.
const ANSWER_BYTES: usize = 16 << 10;

/// Sends events until `shutdown`.
pub(crate) async fn run(control: Arc<Control>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let sender = Arc::new(Sender::new(control, shutdown.clone())?);
    let (mut is_reachable, mut measured) = (true, None::<tokio::time::Instant>);
    while !shutdown.is_cancelled() {
        let mut swept = sender.sweep().await;
        if swept.is_ok() && measured.is_none_or(|at| at.elapsed() >= MEASURED_EVERY) {
            measured = Some(tokio::time::Instant::now());
            swept = sender.measure().await;
        }
        // This is logged once, not by each sweep while the store is out of reach.
        if let Err(error) = &swept
            && is_reachable
        {
            tracing::warn!(%error, "cannot sweep the outbox, retrying");
        }
        is_reachable = swept.is_ok();
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = sender.room.notified() => sleep(SHORTEST_PAUSE).await,
            () = shutdown.cancelled() => {}
        }
    }
    sender.tasks.close();
    // An attempt that is cut off here is made again.
    let _ = timeout(DRAIN, sender.tasks.wait()).await;
    Ok(())
}

struct Sender {
    control: Arc<Control>,
    client: Client,
    targets: Targets,
    shutdown: CancellationToken,
    traffic: Mutex<Traffic>,
    /// Notified when a lane is done.
    room: Notify,
    tasks: TaskTracker,
}

/// The lanes that this control is sending.
#[derive(Default)]
struct Traffic {
    lanes: HashSet<LaneId>,
    by_subscription: HashMap<SubscriptionId, Receiver>,
}

#[derive(Clone, Copy, Default)]
struct Receiver {
    open: usize,
    /// Whether the last attempt failed.
    is_failing: bool,
}

impl Sender {
    fn new(control: Arc<Control>, shutdown: CancellationToken) -> anyhow::Result<Self> {
        // An error says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let limits = &control.limits.events;
        let targets = Targets { private: limits.private_event_targets };
        let builder = || {
            let builder =
                Client::builder().user_agent(concat!("arizuko/", env!("CARGO_PKG_VERSION")));
            // A proxy would connect to addresses that nobody has checked, and so would a redirect.
            let builder = builder.no_proxy().redirect(Policy::none());
            builder.dns_resolver(targets).timeout(limits.event_timeout)
        };
        let client = builder().build().or_else(|error| {
            tracing::info!(%error, "events can't be sent over https: is ca-certificates installed?");
            builder().tls_certs_only([]).build()
        });
        let client = client.context("cannot prepare the client that sends events")?;
        let (traffic, room, tasks) = (Mutex::default(), Notify::new(), TaskTracker::new());
        Ok(Self { control, client, targets, shutdown, traffic, room, tasks })
    }

    /// Begins to send the lanes that are due, as far as there is room.
    async fn sweep(self: &Arc<Self>) -> Result<(), Error> {
        let (ledger, outbox) = (&self.control.ledger, names::outbox());
        let now = ledger.now().as_millis();
        let due = ledger.due(&outbox, self.control.partitions, LANES_PER_SWEEP).await?;
        let mut by_partition = HashMap::<Partition, Vec<LaneId>>::new();
        for (partition, (lane, _)) in due {
            by_partition.entry(partition).or_default().push(lane);
        }
        for (partition, mut lanes) in by_partition {
            let is_full = lanes.len() == LANES_PER_SWEEP as usize;
            if is_full {
                // The lanes that became due last come first, so that a backlog holds up nobody
                // else.
                let last = ledger.last_members(partition, &outbox, now, LANES_PER_SWEEP).await?;
                let last = last.into_iter().map(|(lane, _)| lane);
                let last: Vec<_> = last.filter(|lane| !lanes.contains(lane)).collect();
                lanes.splice(0..0, last);
            }
            let mut put_off = Vec::new();
            for lane in lanes {
                if let Err(busy) = self.begin(partition, &lane) {
                    put_off.extend(busy.map(|wait| (lane, wait)));
                }
            }
            if is_full && !put_off.is_empty() {
                self.put_off(partition, &put_off).await?;
            }
        }
        Ok(())
    }

    /// Begins to send a lane's events. If there is no room, returns how long the lane may be put
    /// off; `None` if it is being sent, or if this control is busy.
    fn begin(
        self: &Arc<Self>,
        partition: Partition,
        lane: &LaneId,
    ) -> Result<(), Option<Duration>> {
        let mut traffic = self.traffic();
        if traffic.lanes.contains(lane) || traffic.lanes.len() >= AT_ONCE {
            return Err(None);
        }
        let receiver = traffic.by_subscription.entry(lane.subscription.clone()).or_default();
        let most = if receiver.is_failing { 1 } else { OF_ONE };
        if receiver.open >= most {
            return Err(Some(PUT_OFF[usize::from(receiver.is_failing)]));
        }
        receiver.open += 1;
        traffic.lanes.insert(lane.clone());
        drop(traffic);
        let (sender, lane) = (self.clone(), lane.clone());
        let sending = async move {
            if let Err(error) = sender.send(partition, &lane).await {
                let subscription = lane.subscription.as_str();
                tracing::warn!(subscription, %error, "cannot settle an event, trying again in a minute");
                // This keeps a broken record from being tried without a pause. If it fails, too,
                // the store is out of reach, and no sweep finds the lane.
                let _ = sender.put_off(partition, &[(lane.clone(), PUT_OFF[1])]).await;
            }
            let mut traffic = sender.traffic();
            traffic.lanes.remove(&lane);
            if let Some(receiver) = traffic.by_subscription.get_mut(&lane.subscription) {
                receiver.open -= 1;
            }
            drop(traffic);
            sender.room.notify_one();
        };
        self.tasks.spawn(sending.in_current_span());
        Ok(())
    }

    async fn put_off(
        &self,
        partition: Partition,
        lanes: &[(LaneId, Duration)],
    ) -> Result<(), Error> {
        let putting_off = |tx: &mut Tx<'_>| {
            // Only the outbox changes: the lane's record knows when the lane is due, and whoever
            // takes it looks there.
            lanes.iter().for_each(|(lane, wait)| tx.add(&names::outbox(), lane, tx.now + *wait));
            Ok(())
        };
        self.control.ledger.transact(partition, &[], putting_off).await
    }

    /// Sends a lane's events, one after the other, until one fails.
    async fn send(&self, partition: Partition, lane: &LaneId) -> Result<(), Error> {
        let ledger = &self.control.ledger;
        let taking = |tx: &mut Tx<'_>| outbox::take(tx, lane);
        let mut step = ledger.transact(partition, &[], taking).await?;
        loop {
            let Step { job, parked } = step;
            let metrics = &self.control.metrics;
            metrics.events("parked").inc_by(parked.into());
            let Some(job) = job else { return Ok(()) };
            let receipt = self.post(&job).await;
            let is_delivered = receipt == Receipt::Delivered;
            metrics.events(if is_delivered { "delivered" } else { "failed" }).inc();
            if let Some(receiver) = self.traffic().by_subscription.get_mut(&lane.subscription) {
                receiver.is_failing = !is_delivered;
            }
            let go_on = !self.shutdown.is_cancelled();
            let settling = |tx: &mut Tx<'_>| outbox::settle(tx, lane, &job, &receipt, go_on);
            step = ledger.transact(partition, &[], settling).await?;
        }
    }

    async fn post(&self, job: &Job) -> Receipt {
        let failed = |why: String| Receipt::Failed { why, retry_after: None };
        let event = &job.event;
        let url = match self.targets.parse(&job.url) {
            Ok(url) => url,
            Err(refusal) => return failed(refusal.to_string()),
        };
        let sealer = self.control.sealer.as_ref();
        let secret = sealer.and_then(|it| it.open(&job.sealed_secret, event.subscription.as_str()));
        let body = wire::body(event, &self.control.url_of_tenant(event.folder.root()));
        let headers = secret
            .and_then(|secret| wire::headers(&secret, event.id.as_str(), wall_clock(), &body));
        let Some(headers) = headers else {
            return failed("the sealing key is missing or has changed".to_owned());
        };
        let mut request = self.client.post(url).header("content-type", wire::CONTENT_TYPE);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        match request.body(body).send().await {
            Ok(response) => read(response).await,
            Err(error) => failed(cause(error)),
        }
    }

    /// Measures how long the oldest event of all subscriptions has waited, and notes which
    /// subscriptions have no room.
    async fn measure(&self) -> Result<(), Error> {
        let subscriptions = self.control.gathered(&names::subscriptions()).await?;
        let (ledger, mut oldest, mut known) = (&self.control.ledger, None::<Time>, HashSet::new());
        for (partition, members) in subscriptions {
            let ids = members.into_iter().map(|InFolder { id, .. }| SubscriptionId::from(id));
            let ids: Vec<_> = ids.collect();
            let counts = ledger.counts(partition, ids.iter().map(names::kept_events)).await?;
            let found = ledger.records::<Subscription>(partition, &ids).await?;
            for ((id, count), found) in ids.iter().zip(counts).zip(found) {
                let most = self.control.limits.events.subscription_events;
                let was_full = found.is_some_and(|found| found.full_since.is_some());
                let is_full = if was_full { count > most / 2 } else { count >= most };
                if is_full != was_full {
                    let noting = |tx: &mut Tx<'_>| set_full(tx, id, is_full);
                    ledger.transact(partition, &[], noting).await?;
                }
            }
            let sets: Vec<_> = ids.iter().map(names::waiting_events).collect();
            let firsts = ledger.first_of_each(partition, &sets, Order::LowestFirst, 1).await?;
            let firsts: Vec<_> = firsts.into_iter().flatten().collect();
            let events = ledger.records::<Event>(partition, &firsts).await?.into_iter().flatten();
            oldest = oldest.into_iter().chain(events.map(|event| event.at)).min();
            known.extend(ids);
        }
        let waited = oldest.map_or(Duration::ZERO, |oldest| ledger.now() - oldest);
        self.control.metrics.oldest_event.set(waited.as_secs() as i64);
        let mut traffic = self.traffic();
        traffic.by_subscription.retain(|id, receiver| receiver.open > 0 || known.contains(id));
        Ok(())
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        // Nothing that can panic runs under this lock.
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the receiver's answer.
async fn read(mut response: Response) -> Receipt {
    let status = response.status();
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = seconds.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let mut bytes = 0;
    while bytes < ANSWER_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes += chunk.len();
    }
    match status {
        status if status.is_success() => Receipt::Delivered,
        StatusCode::GONE => Receipt::Gone,
        status => Receipt::Failed { why: format!("the receiver answered {status}"), retry_after },
    }
}

/// Returns an error's innermost cause, without the URL, which may contain a secret.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let last = anyhow::Chain::new(&error).last();
    match last {
        Some(cause) if !error.is_timeout() => format!("the connection failed: {cause}"),
        _ => "the receiver did not answer in time".to_owned(),
    }
}

/// Returns the seconds since 1970 by this machine's clock, with which the receiver compares its
/// own.
#[expect(clippy::disallowed_methods, reason = "the time is for the receiver, no decision uses it")]
fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Control {
    /// Seals the secret that a subscription's events are signed with.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if the operator has set no key that seals.
    pub(crate) fn seal_event_secret(
        &self,
        secret: &str,
        subscription: &SubscriptionId,
        once: crate::seal::Once,
    ) -> Result<String, Error> {
        let sealer = self.sealer.as_ref().ok_or_else(|| {
            Refusal::invalid(
                "to sign events, control needs a key that seals their secrets: --seal-key-file",
            )
        })?;
        let sealed = sealer.seal(secret, subscription.as_str(), once);
        sealed.ok_or_else(|| Error::Internal("cannot seal a secret".to_owned()))
    }
}
