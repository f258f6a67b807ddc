//! Sends one subscription's events to its gateway. Frames wait for credit.

use arizuko_proto::v1::{self, WatchEvent, watch_event::Event, watch_request::Subscribe};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

pub(super) struct EventSender {
    subscription: u64,
    pub(super) credit: Arc<Semaphore>,
    /// The credit that the subscription began with: no frame costs more.
    first_credit: u32,
    events: mpsc::Sender<WatchEvent>,
}

impl EventSender {
    pub(super) fn new(subscribe: &Subscribe, events: mpsc::Sender<WatchEvent>) -> Self {
        Self {
            subscription: subscribe.subscription,
            credit: Arc::new(Semaphore::new(subscribe.credit as usize)),
            first_credit: subscribe.credit,
            events,
        }
    }

    /// Sends an event. Does nothing if the gateway is gone: the subscription is stopped then.
    pub(super) async fn send(&self, event: Event) {
        let _ = self.events.send(self.event(event)).await;
    }

    /// Sends a frame once there is credit and room for it. If the future is dropped before, it has
    /// used no credit.
    pub(super) async fn send_frame(&self, frame: v1::Frame) {
        let cost = frame.credit().min(self.first_credit.max(1));
        // The semaphore is never closed; a closed channel says that the gateway is gone.
        let (Ok(credit), Ok(room)) =
            (self.credit.acquire_many(cost).await, self.events.reserve().await)
        else {
            return;
        };
        credit.forget();
        room.send(self.event(Event::Frame(frame)));
    }

    fn event(&self, event: Event) -> WatchEvent {
        WatchEvent { subscription: self.subscription, event: Some(event) }
    }
}
