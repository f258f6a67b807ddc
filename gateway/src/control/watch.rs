//! One Watch stream to one control, shared by all subscriptions to that control.
//!
//! The stream is always read at once, however slow the readers are: unread frames of one reader
//! would make HTTP/2 close the connection of all readers. A reader's queue is bounded by its
//! credit, to which the reader adds only as it takes frames.

use super::client::Client;
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

/// The credit of a new subscription: how many frames of up to 1 KiB control may send before the
/// reader takes one.
const CREDIT: u32 = 128;
/// The shortest time between two attempts to open a stream.
const REOPEN_INTERVAL: Duration = Duration::from_millis(500);
/// The length of a feed's queue: the credit, and room for Subscribed, Reset, Refused and Ended.
const QUEUE: usize = CREDIT as usize + 4;

/// The Watch stream of one control. The first subscription opens it. After it broke, the next
/// subscription opens another.
pub(super) struct Watch {
    address: Arc<str>,
    client: Client,
    current: Mutex<Option<Current>>,
}

struct Current {
    stream: Arc<Stream>,
    opened: Instant,
    _run: AbortOnDropHandle<()>,
}

/// One stream, from its opening to its end.
struct Stream {
    // Unbounded, but short: a subscription has at most a few unsent requests.
    requests: mpsc::UnboundedSender<WatchRequest>,
    feeds: Mutex<Feeds>,
}

#[derive(Default)]
struct Feeds {
    /// Whether the stream has ended. New feeds then end at once.
    closed: bool,
    last_subscription: u64,
    // Boxed, because an idle channel still allocates space for 32 events.
    open: HashMap<u64, mpsc::Sender<Box<Event>>>,
}

/// The events of one subscription on one stream. Dropping it ends the subscription.
pub(super) struct Feed {
    stream: Arc<Stream>,
    subscription: u64,
    events: mpsc::Receiver<Box<Event>>,
    /// The credit of the frames taken since the last Grant.
    taken: u32,
}

impl Watch {
    pub(super) fn new(address: &str, client: Client) -> Self {
        Self { address: address.into(), client, current: Mutex::new(None) }
    }

    /// Starts a subscription without waiting. If the stream can't be opened, or breaks, the feed
    /// ends.
    pub(super) fn subscribe(&self, subscribe: Subscribe) -> Feed {
        let mut current = lock(&self.current);
        let stream = match &*current {
            Some(Current { stream, .. }) if !lock(&stream.feeds).closed => stream.clone(),
            last => {
                // All feeds of a broken stream end at once, and their subscriptions share one
                // attempt to open the next.
                let next = last.as_ref().map(|last| last.opened + REOPEN_INTERVAL);
                let opened = next.map_or_else(Instant::now, |next| next.max(Instant::now()));
                let (stream, requests) = Stream::new();
                let (client, address) = (self.client.clone(), self.address.clone());
                let run = stream.clone().run(client, requests, address, opened);
                *current = Some(Current {
                    stream: stream.clone(),
                    opened,
                    _run: AbortOnDropHandle::new(tokio::spawn(run)),
                });
                stream
            }
        };
        drop(current);
        stream.subscribe(subscribe)
    }
}

impl Stream {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<WatchRequest>) {
        let (sender, requests) = mpsc::unbounded_channel();
        (Arc::new(Self { requests: sender, feeds: Mutex::default() }), requests)
    }

    fn subscribe(self: Arc<Self>, mut subscribe: Subscribe) -> Feed {
        let (sender, events) = mpsc::channel(QUEUE);
        let mut feeds = lock(&self.feeds);
        feeds.last_subscription += 1;
        let subscription = feeds.last_subscription;
        if !feeds.closed {
            feeds.open.insert(subscription, sender);
        }
        drop(feeds);
        subscribe.subscription = subscription;
        subscribe.credit = CREDIT;
        self.send(Message::Subscribe(subscribe));
        Feed { stream: self, subscription, events, taken: 0 }
    }

    async fn run(
        self: Arc<Self>,
        client: Client,
        requests: mpsc::UnboundedReceiver<WatchRequest>,
        address: Arc<str>,
        open_at: Instant,
    ) {
        sleep_until(open_at).await;
        let end = self.read(client, requests).await;
        let subscriptions = {
            let mut feeds = lock(&self.feeds);
            feeds.closed = true;
            // This ends every feed, and its reader subscribes again.
            mem::take(&mut feeds.open).len()
        };
        match end {
            Ok(()) => {
                tracing::info!(control = %address, subscriptions, "control closed the Watch stream");
            }
            Err(status) => tracing::warn!(
                control = %address,
                subscriptions,
                code = ?status.code(),
                "the Watch stream broke: {}",
                status.message()
            ),
        }
    }

    async fn read(
        &self,
        mut client: Client,
        requests: mpsc::UnboundedReceiver<WatchRequest>,
    ) -> Result<(), Status> {
        let requests = UnboundedReceiverStream::new(requests);
        let mut responses = client.watch(requests).await?.into_inner();
        while let Some(response) = responses.message().await? {
            for event in response.events {
                self.deliver(event);
            }
        }
        Ok(())
    }

    fn deliver(&self, WatchEvent { subscription, event }: WatchEvent) {
        let mut feeds = lock(&self.feeds);
        // The feed may have been dropped after control sent the event.
        let (Some(event), Some(feed)) = (event, feeds.open.get(&subscription)) else {
            return;
        };
        let last = matches!(event, Event::Refused(_) | Event::Ended(_));
        let overflows = feed.try_send(Box::new(event)).is_err();
        if overflows {
            // Control has sent more than the credit. The feed ends, and the reader resumes from its
            // cursor.
            self.send(Message::Unsubscribe(Unsubscribe { subscription }));
        }
        if overflows || last {
            feeds.open.remove(&subscription);
        }
    }

    fn send(&self, message: Message) {
        // This fails only when the stream has ended, and then the feeds end as well.
        let _ = self.requests.send(WatchRequest { message: Some(message) });
    }
}

impl Feed {
    /// Returns the next event, or `None` if the stream broke. If the wait is dropped, no event is
    /// lost.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let event = *self.events.recv().await?;
        if let Event::Frame(frame) = &event {
            self.taken += frame.credit().min(CREDIT);
            if self.taken >= CREDIT / 2 {
                self.stream.send(Message::Grant(Grant {
                    subscription: self.subscription,
                    frames: self.taken,
                }));
                self.taken = 0;
            }
        }
        Some(event)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let subscription = self.subscription;
        let open = lock(&self.stream.feeds).open.remove(&subscription);
        if open.is_some() {
            self.stream.send(Message::Unsubscribe(Unsubscribe { subscription }));
        }
    }
}

// The code under these locks never awaits, and leaves the value consistent if it panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
