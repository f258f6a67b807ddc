//! The names of subscriptions to events, and of the events that wait to be sent. All are written by
//! `events/`.

use super::{InFolder, Set};
use crate::ids::{EventId, SubscriptionId};
use std::fmt;

/// The events of one conversation for one subscription, which are sent in order. The conversation
/// has its public id, since a lane's id may be logged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LaneId {
    pub(crate) subscription: SubscriptionId,
    pub(crate) conversation: String,
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.subscription, self.conversation)
    }
}

impl From<String> for LaneId {
    fn from(text: String) -> Self {
        let (subscription, conversation) = text.split_once(' ').unwrap_or_default();
        let (subscription, conversation) =
            (subscription.to_owned().into(), conversation.to_owned());
        Self { subscription, conversation }
    }
}

/// Names a [`Subscription`](crate::events::Subscription), which lives until it is deleted.
pub(crate) fn subscription(id: &SubscriptionId) -> String {
    format!("subscription:{id}")
}

/// Names the index of a tenant's subscriptions, which lives while the tenant has some. Every commit
/// that may add an event reads it.
pub(crate) fn subscription_index(root: &str) -> String {
    format!("subscriptions:{root}")
}

/// Names an [`Event`](crate::events::Event), which lives until it is delivered, or for
/// `keep_parked_events` after it was parked.
pub(crate) fn event(id: &EventId) -> String {
    format!("event:{id}")
}

/// Names a [`Lane`](crate::events::Lane), which lives while it has events that wait.
pub(crate) fn lane(id: &LaneId) -> String {
    format!("lane:{}:{}", id.subscription, id.conversation)
}

/// Names the partition's subscriptions, scored by the time when they were created.
pub(crate) fn subscriptions() -> Set<InFolder> {
    Set::new("subscriptions")
}

/// Names the partition's lanes, scored by the time at which each is due. This is not the set of due
/// items: a receiver that hangs must not hold up what else is due.
pub(crate) fn outbox() -> Set<LaneId> {
    Set::new("outbox")
}

/// Names a subscription's events that wait, scored by the time when they happened.
pub(crate) fn waiting_events(id: &SubscriptionId) -> Set<EventId> {
    Set::new(format!("events:{id}:waiting"))
}

/// Names a subscription's events that are parked, scored by the time when they happened.
pub(crate) fn parked_events(id: &SubscriptionId) -> Set<EventId> {
    Set::new(format!("events:{id}:parked"))
}

/// Names the count of a subscription's events that wait or are parked.
pub(crate) fn kept_events(id: &SubscriptionId) -> String {
    format!("events:{id}:kept")
}
