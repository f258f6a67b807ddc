//! One Watch stream to one control, shared by all subscriptions there.
//!
//! The stream is read dry always, whatever the readers do: unread frames of one reader would in the
//! end close the connection of all. What keeps a slow reader's queue short is its credit, which
//! grows only as it takes frames.

use super::node::Client;
use arizuko_proto::v1::{
    WatchEvent, WatchRequest,
    watch_event::Event,
    watch_request::{Grant, Message, Subscribe, Unsubscribe},
};
use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

/// Frames of up to 1 KiB that control may send of one subscription before its reader takes any.
const CREDIT: u32 = 128;
/// The shortest time from one attempt at opening a stream to the next.
const PACE: Duration = Duration::from_millis(500);
/// Room for what is not a frame: Subscribed, Reset, Ended.
const QUEUE: usize = CREDIT as usize + 4;

/// The Watch stream of one control, opened when first wanted and again after it broke.
pub(super) struct Watch {
    address: Arc<str>,
    client: Client,
    current: Mutex<Option<Current>>,
}

struct Current {
    link: Arc<Link>,
    opened: Instant,
    _run: AbortOnDropHandle<()>,
}

/// One stream, from its opening to its break.
struct Link {
    // Unbounded, but its length is not: a subscription has a request or two under way.
    requests: mpsc::UnboundedSender<WatchRequest>,
    inboxes: Mutex<Inboxes>,
}

#[derive(Default)]
struct Inboxes {
    /// The stream is over: what would be put in here ends at once.
    closed: bool,
    last: u64,
    // Boxed, because a channel keeps room for 32 events even when it is idle.
    open: HashMap<u64, mpsc::Sender<Box<Event>>>,
}

/// What comes for one subscription. Dropping it ends the subscription.
pub(super) struct Inbox {
    link: Arc<Link>,
    subscription: u64,
    events: mpsc::Receiver<Box<Event>>,
    taken: u32,
}

impl Watch {
    pub(super) fn new(address: &str, client: Client) -> Self {
        Self { address: address.into(), client, current: Mutex::new(None) }
    }

    /// Begins a subscription. It needs no waiting: if the stream can't be opened, or breaks, the
    /// inbox ends.
    pub(super) fn subscribe(&self, subscribe: Subscribe) -> Inbox {
        let mut current = lock(&self.current);
        let link = match &*current {
            Some(Current { link, .. }) if !lock(&link.inboxes).closed => link.clone(),
            last => {
                // All who lost the last stream come at once: they share one attempt at the next.
                let next = last.as_ref().map(|last| last.opened + PACE);
                let opened = next.map_or_else(Instant::now, |next| next.max(Instant::now()));
                let (link, outgoing) = Link::new();
                let (client, address) = (self.client.clone(), self.address.clone());
                let run = link.clone().run(client, outgoing, address, opened);
                *current = Some(Current {
                    link: link.clone(),
                    opened,
                    _run: AbortOnDropHandle::new(tokio::spawn(run)),
                });
                link
            }
        };
        drop(current);
        link.subscribe(subscribe)
    }
}

impl Link {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<WatchRequest>) {
        let (requests, outgoing) = mpsc::unbounded_channel();
        let inboxes = Mutex::default();
        (Arc::new(Self { requests, inboxes }), outgoing)
    }

    fn subscribe(self: Arc<Self>, mut subscribe: Subscribe) -> Inbox {
        let (sender, events) = mpsc::channel(QUEUE);
        let mut inboxes = lock(&self.inboxes);
        inboxes.last += 1;
        let subscription = inboxes.last;
        if !inboxes.closed {
            inboxes.open.insert(subscription, sender);
        }
        drop(inboxes);
        subscribe.subscription = subscription;
        subscribe.credit = CREDIT;
        self.send(Message::Subscribe(subscribe));
        Inbox { link: self, subscription, events, taken: 0 }
    }

    async fn run(
        self: Arc<Self>,
        client: Client,
        outgoing: mpsc::UnboundedReceiver<WatchRequest>,
        address: Arc<str>,
        open_at: Instant,
    ) {
        sleep_until(open_at).await;
        let end = self.read(client, outgoing).await;
        let left = {
            let mut inboxes = lock(&self.inboxes);
            inboxes.closed = true;
            // Every inbox ends with this, and its reader subscribes elsewhere.
            mem::take(&mut inboxes.open).len()
        };
        match end {
            Ok(()) => tracing::info!(control = %address, left, "control closed the watch stream"),
            Err(status) => {
                let code = status.code();
                tracing::warn!(control = %address, left, ?code, "the watch stream broke: {}", status.message());
            }
        }
    }

    async fn read(
        &self,
        mut client: Client,
        outgoing: mpsc::UnboundedReceiver<WatchRequest>,
    ) -> Result<(), Status> {
        let outgoing = UnboundedReceiverStream::new(outgoing);
        let mut responses = client.watch(outgoing).await?.into_inner();
        while let Some(response) = responses.message().await? {
            for event in response.events {
                self.deliver(event);
            }
        }
        Ok(())
    }

    fn deliver(&self, WatchEvent { subscription, event }: WatchEvent) {
        let mut inboxes = lock(&self.inboxes);
        // A subscription that is not there was dropped while this was under way.
        let (Some(event), Some(inbox)) = (event, inboxes.open.get(&subscription)) else {
            return;
        };
        let last = matches!(event, Event::Refused(_) | Event::Ended(_));
        let overflows = inbox.try_send(Box::new(event)).is_err();
        if overflows {
            // Control has sent more than its credit. The reader resumes by its cursor.
            self.send(Message::Unsubscribe(Unsubscribe { subscription }));
        }
        if overflows || last {
            inboxes.open.remove(&subscription);
        }
    }

    fn send(&self, message: Message) {
        let message = Some(message);
        // It fails only when the stream is over, which the inbox's end says.
        let _ = self.requests.send(WatchRequest { message });
    }
}

impl Inbox {
    /// The next event; none when the stream broke. May be dropped without losing one.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let event = *self.events.recv().await?;
        if let Event::Frame(frame) = &event {
            self.taken += frame.credit().min(CREDIT);
            if self.taken >= CREDIT / 2 {
                self.link.send(Message::Grant(Grant {
                    subscription: self.subscription,
                    frames: self.taken,
                }));
                self.taken = 0;
            }
        }
        Some(event)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let subscription = self.subscription;
        let open = lock(&self.link.inboxes).open.remove(&subscription);
        if open.is_some() {
            let unsubscribe = Message::Unsubscribe(Unsubscribe { subscription });
            self.link.send(unsubscribe);
        }
    }
}

// A plain lock, since nothing is awaited under it; nothing under it panics half way either.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
