//! Serves Watch: many subscriptions over one stream, each a reader at its own cursor.

use super::key_watch::KeyWatch;
use crate::{control::Control, key::Caller, ledger::Error, refusal::Refusal};
use arizuko_proto::{
    public_id,
    telemetry::metrics::Share,
    v1::{
        self, EndReason, ErrorReason, WatchEvent,
        watch_event::{Ended, Event, Refused, Subscribed},
        watch_request::{Message, Subscribe, subscribe::Target},
    },
};
use events::EventSender;
use reader::Reader;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

mod events;
mod reader;

/// How many events may wait for one gateway.
const BACKLOG: usize = 256;
/// How many events one message has, at most.
const BATCH: usize = 128;

pub(super) type Responses = ReceiverStream<Result<v1::WatchResponse, Status>>;

/// Serves one gateway's stream until either side ends it.
pub(super) async fn serve(
    control: Arc<Control>,
    caller: &Caller,
    requests: Streaming<v1::WatchRequest>,
) -> Result<Responses, Error> {
    let key = KeyWatch::start(&control, caller).await?;
    let (events, pending) = mpsc::channel(BACKLOG);
    let (responses, stream) = mpsc::channel(1);
    tokio::spawn(send_batches(pending, responses));
    tokio::spawn(read_requests(control, key, requests, events));
    Ok(ReceiverStream::new(stream))
}

/// Gathers events into messages: one message with many small events costs far less than a message
/// for each.
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

/// The means by which the stream grants credit to a subscription, and stops it.
struct Subscription {
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
    let stop_all = CancellationToken::new();
    let _stop_all = stop_all.clone().drop_guard();
    let mut subscriptions: HashMap<u64, Subscription> = HashMap::new();
    loop {
        let request = tokio::select! {
            request = requests.message() => request,
            () = key.revoked() => return,
            () = control.draining.cancelled() => {
                // The readers send their last events; the stream ends with the last reader.
                drop(events);
                for subscription in subscriptions.values() {
                    subscription.stop.cancelled().await;
                }
                return;
            }
        };
        let Ok(Some(v1::WatchRequest { message })) = request else { return };
        // A newer gateway's message, of a kind that this control doesn't know.
        let Some(message) = message else { continue };
        match message {
            Message::Subscribe(subscribe) => {
                let number = subscribe.subscription;
                // Before the map would grow, removes the subscriptions that have ended.
                if subscriptions.len() == subscriptions.capacity() {
                    subscriptions.retain(|_, subscription| !subscription.stop.is_cancelled());
                }
                let subscription = start(&control, subscribe, &events, stop_all.child_token());
                if let Some(replaced) = subscriptions.insert(number, subscription) {
                    replaced.stop.cancel();
                }
            }
            Message::Grant(grant) => {
                if let Some(Subscription { credit, .. }) = subscriptions.get(&grant.subscription) {
                    let room = Semaphore::MAX_PERMITS - credit.available_permits();
                    credit.add_permits((grant.frames as usize).min(room));
                }
            }
            Message::Unsubscribe(unsubscribe) => {
                if let Some(subscription) = subscriptions.remove(&unsubscribe.subscription) {
                    subscription.stop.cancel();
                }
            }
        }
    }
}

/// Starts a subscription in a task of its own, which cancels `stop` when it ends.
fn start(
    control: &Arc<Control>,
    subscribe: Subscribe,
    events: &mpsc::Sender<WatchEvent>,
    stop: CancellationToken,
) -> Subscription {
    let events = EventSender::new(&subscribe, events.clone());
    let subscription = Subscription { credit: events.credit.clone(), stop: stop.clone() };
    let counted = Share::of(&control.metrics.subscriptions, 1);
    let control = control.clone();
    tokio::spawn(async move {
        let _counted = counted;
        tokio::select! {
            () = stop.cancelled() => {}
            last = follow(&control, subscribe, &events) => events.send(last).await,
        }
        stop.cancel();
    });
    subscription
}

/// Follows one subscription to its end; returns its last event.
async fn follow(control: &Control, subscribe: Subscribe, events: &EventSender) -> Event {
    let target = match &subscribe.target {
        Some(Target::TurnId(id)) => public_id::turn(id),
        Some(Target::Conversation(id)) => public_id::conversation(id),
        None => String::new(),
    };
    let mut reader = match Reader::open(control, subscribe).await {
        Ok(reader) => reader,
        Err(error) => return refused(control, &target, error),
    };
    let complete = reader.is_complete();
    events.send(Event::Subscribed(Subscribed { complete })).await;
    if complete {
        return ended(EndReason::TurnDone);
    }
    match reader.follow(events).await {
        Ok(reason) => ended(reason),
        Err(Error::Refused(Refusal::TokenInvalid)) => ended(EndReason::Revoked),
        Err(Error::Refused(Refusal::Paused)) => ended(EndReason::Paused),
        Err(Error::Refused(_)) => ended(EndReason::Deleted),
        Err(error) => {
            tracing::debug!(%error, target, "subscription failed");
            ended(EndReason::Unavailable)
        }
    }
}

fn refused(control: &Control, target: &str, error: Error) -> Event {
    let span = tracing::error_span!("subscription", target);
    let status = span.in_scope(|| Status::from(error));
    let reason = ErrorReason::of(&status).unwrap_or_default();
    control.metrics.refused(reason);
    Event::Refused(Refused { reason: reason.into(), message: status.message().to_owned() })
}

fn ended(reason: EndReason) -> Event {
    Event::Ended(Ended { reason: reason.into() })
}
