//! Watch: many readers over one stream, each at its own cursor.
//!
//! A reader is a place in a log. It first subscribes to wake-ups and then reads the log, so that
//! nothing falls in between. A wake-up that carries the very next frame is handed on as it is;
//! anything else, a gap or an old one or silence for a while, makes the reader read the log.

use super::status;
use crate::{
    key::Caller,
    ledger::Error,
    server::{Control, KeyWatch},
    transaction::Refusal,
};
use arizuko_proto::{
    telemetry::metrics::Share,
    v1::{
        self, EndReason, WatchEvent,
        watch_event::{Ended, Event, Refused, Subscribed},
        watch_request::{Message, Subscribe, subscribe::Target},
    },
};
use reader::Reader;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

mod reader;

/// How many events wait for one gateway, and how many go into one message.
const BACKLOG: usize = 256;
const BATCH: usize = 128;

/// The stream of events to a gateway.
pub(super) type Events = ReceiverStream<Result<v1::WatchResponse, Status>>;

/// Serves one gateway's stream until either side ends it.
pub(super) async fn serve(
    control: Arc<Control>,
    caller: &Caller,
    requests: Streaming<v1::WatchRequest>,
) -> Result<Events, Error> {
    let key = KeyWatch::start(&control, caller).await?;
    let (events, pending) = mpsc::channel(BACKLOG);
    let (responses, stream) = mpsc::channel(1);
    tokio::spawn(send_batches(pending, responses));
    tokio::spawn(read_requests(control, key, requests, events));
    Ok(ReceiverStream::new(stream))
}

/// Many small events in one message cost a fraction of one message each.
async fn send_batches(
    mut pending: mpsc::Receiver<WatchEvent>,
    responses: mpsc::Sender<Result<v1::WatchResponse, Status>>,
) {
    let mut events = Vec::with_capacity(BATCH);
    while pending.recv_many(&mut events, BATCH).await > 0 {
        let events = std::mem::take(&mut events);
        if responses.send(Ok(v1::WatchResponse { events })).await.is_err() {
            return;
        }
    }
}

/// One subscription, as its stream knows it.
struct Entry {
    credit: Arc<Semaphore>,
    stop: CancellationToken,
}

async fn read_requests(
    control: Arc<Control>,
    key: KeyWatch,
    mut requests: Streaming<v1::WatchRequest>,
    events: mpsc::Sender<WatchEvent>,
) {
    let _counted = Share::of(&control.metrics.gateways, 1);
    let all = CancellationToken::new();
    let _stop_all = all.clone().drop_guard();
    let mut entries: HashMap<u64, Entry> = HashMap::new();
    loop {
        let request = tokio::select! {
            request = requests.message() => request,
            () = key.ended() => return,
            () = control.draining.cancelled() => {
                // The readers say goodbye themselves; the stream ends with the last of them.
                drop(events);
                for entry in entries.values() {
                    entry.stop.cancelled().await;
                }
                return;
            }
        };
        let Ok(Some(v1::WatchRequest { message: Some(message) })) = request else {
            return;
        };
        match message {
            Message::Subscribe(subscribe) => {
                let number = subscribe.subscription;
                let credit = Arc::new(Semaphore::new(subscribe.credit as usize));
                let stop = all.child_token();
                // Those that ended are dropped when the map would have to grow.
                if entries.len() == entries.capacity() {
                    entries.retain(|_, entry| !entry.stop.is_cancelled());
                }
                let entry = Entry { credit: credit.clone(), stop: stop.clone() };
                if let Some(replaced) = entries.insert(number, entry) {
                    replaced.stop.cancel();
                }
                let (control, events) = (control.clone(), events.clone());
                let counted = Share::of(&control.metrics.subscriptions, 1);
                tokio::spawn(async move {
                    let _counted = counted;
                    let reading = read(&control, subscribe, &credit, &events);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        last = reading => {
                            // An error says that the gateway is gone.
                            let _ = events.send(event(number, last)).await;
                        }
                    }
                    stop.cancel();
                });
            }
            Message::Grant(grant) => {
                if let Some(entry) = entries.get(&grant.subscription) {
                    let room = Semaphore::MAX_PERMITS - entry.credit.available_permits();
                    entry.credit.add_permits((grant.frames as usize).min(room));
                }
            }
            Message::Unsubscribe(unsubscribe) => {
                if let Some(entry) = entries.remove(&unsubscribe.subscription) {
                    entry.stop.cancel();
                }
            }
        }
    }
}

fn event(subscription: u64, event: Event) -> WatchEvent {
    WatchEvent { subscription, event: Some(event) }
}

fn ended(reason: EndReason) -> Event {
    Event::Ended(Ended { reason: reason.into() })
}

/// Follows one subscription; returns its last event.
async fn read(
    control: &Control,
    subscribe: Subscribe,
    credit: &Semaphore,
    events: &mpsc::Sender<WatchEvent>,
) -> Event {
    let (number, whole_credit) = (subscribe.subscription, subscribe.credit);
    let target = match &subscribe.target {
        Some(Target::TurnId(id) | Target::Conversation(id)) => id.clone(),
        None => String::new(),
    };
    let mut reader = match Reader::open(control, subscribe).await {
        Ok(reader) => reader,
        Err(error) => {
            let (_, reason) = status::classify(&error);
            control.metrics.refused(reason);
            let span = tracing::error_span!("subscription", target);
            let message = span.in_scope(|| status::message(&error));
            let reason = status::word(reason).to_owned();
            return Event::Refused(Refused { reason, message });
        }
    };
    let outlet = Outlet { number, credit, whole_credit, events };
    let complete = reader.is_complete();
    outlet.say(Event::Subscribed(Subscribed { complete })).await;
    if complete {
        return ended(EndReason::TurnDone);
    }
    match reader.follow(control, &outlet).await {
        Ok(reason) => ended(reason),
        Err(Error::Refused(Refusal::TokenInvalid)) => ended(EndReason::Revoked),
        Err(Error::Refused(_)) => ended(EndReason::Deleted),
        Err(error) => {
            tracing::debug!(%error, "a reader is sent away, to come back by its cursor");
            ended(EndReason::Unavailable)
        }
    }
}

/// Where a reader's events go.
struct Outlet<'a> {
    number: u64,
    credit: &'a Semaphore,
    /// What it began with. No frame costs more.
    whole_credit: u32,
    events: &'a mpsc::Sender<WatchEvent>,
}

impl Outlet<'_> {
    /// Sends a frame, once there is credit and room for it. May be dropped while it waits.
    async fn hand(&self, frame: v1::Frame) {
        let cost = frame.credit().min(self.whole_credit.max(1));
        // The semaphore is never closed; a closed channel says that the gateway is gone.
        let (Ok(credit), Ok(room)) =
            (self.credit.acquire_many(cost).await, self.events.reserve().await)
        else {
            return;
        };
        credit.forget();
        room.send(event(self.number, Event::Frame(frame)));
    }

    /// An error says that the gateway is gone, and then this reader is about to be stopped.
    async fn say(&self, what: Event) {
        let _ = self.events.send(event(self.number, what)).await;
    }
}
