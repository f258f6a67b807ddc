//! Subscriptions: where the events of a folder go.

use super::{
    event::{Event, Kind},
    index::Index,
};
use crate::{
    audit::{self, Change},
    ids::{KeyId, SubscriptionId},
    jid::FolderName,
    key::Caller,
    names::{Due, InFolder, events as names},
    refusal::Refusal,
    time::Time,
    transaction::{Decision, Record, Tx},
};
use serde::{Deserialize, Serialize};

/// How many waiting events of a deleted subscription one commit deletes, at most, and how many
/// parked ones.
const DELETED_AT_ONCE: u32 = 100;

/// Where the events of a folder, and of the folders below it, are posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) folder: FolderName,
    pub(crate) url: String,
    pub(crate) kinds: Vec<Kind>,
    /// The secret that events are signed with, sealed for this id.
    pub(crate) sealed_secret: String,
    pub(crate) created_at: Time,
    pub(crate) created_by: KeyId,
    /// Since when nothing is sent, because the receiver said that it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) paused_at: Option<Time>,
    /// Since when no events are added, because too many are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) full_since: Option<Time>,
}

impl Record for Subscription {
    type Id = SubscriptionId;

    fn name(id: &SubscriptionId) -> String {
        names::subscription(id)
    }
}

/// A subscription that a caller wants.
pub(crate) struct NewSubscription {
    pub(crate) id: SubscriptionId,
    pub(crate) folder: FolderName,
    pub(crate) url: String,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) sealed_secret: String,
}

/// Creates a subscription.
///
/// # Errors
/// [`Refusal::LimitReached`] if the tenant has as many subscriptions as it may have.
pub(crate) fn create(
    tx: &mut Tx<'_>,
    caller: &Caller,
    new: &NewSubscription,
) -> Decision<Subscription> {
    let NewSubscription { id, folder, url, kinds, sealed_secret } = new;
    let subscription = Subscription {
        id: id.clone(),
        folder: folder.clone(),
        url: url.clone(),
        kinds: kinds.clone(),
        sealed_secret: sealed_secret.clone(),
        created_at: tx.now,
        created_by: caller.key_id.clone(),
        paused_at: None,
        full_since: None,
    };
    let mut index = tx.get::<Index>(folder.root())?.unwrap_or_default();
    let most = tx.limits.events.tenant_subscriptions;
    if index.len() >= most as usize {
        let why = format!("{} has {most} subscriptions", folder.root());
        return Err(Refusal::LimitReached(why).into());
    }
    index.insert(id.clone(), folder.clone(), kinds.clone());
    index.store(tx, folder.root())?;
    tx.put(id, &subscription)?;
    tx.add(&names::subscriptions(), &subscription.member(), tx.now);
    subscription.note(tx, caller.key_id.as_str(), "event.subscribe", &subscription.words())?;
    Ok(subscription)
}

/// Deletes a subscription, and its events soon after. Returns the subscription.
pub(crate) fn delete(
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: &SubscriptionId,
) -> Decision<Option<Subscription>> {
    let Some(subscription) = tx.get::<Subscription>(id)? else { return Ok(None) };
    let root = subscription.folder.root();
    let mut index = tx.get::<Index>(root)?.unwrap_or_default();
    index.remove(id);
    index.store(tx, root)?;
    tx.delete::<Subscription>(id);
    tx.remove(&names::subscriptions(), &subscription.member());
    tx.schedule(&Due::Subscription(id.clone()), tx.now);
    subscription.note(tx, caller.key_id.as_str(), "event.unsubscribe", &subscription.words())?;
    Ok(Some(subscription))
}

/// Deletes some events of a deleted subscription. The subscription's due item stays until no event
/// is left.
pub(crate) fn clean_up(tx: &mut Tx<'_>, id: &SubscriptionId) -> Decision<()> {
    let mut is_done = true;
    for set in [names::waiting_events(id), names::parked_events(id)] {
        let events = tx.members(&set, 0..=u64::MAX, DELETED_AT_ONCE)?;
        is_done &= events.len() < DELETED_AT_ONCE as usize;
        for (event, _) in events {
            tx.delete::<Event>(&event);
            tx.unschedule(&Due::Event(event.clone()));
            tx.remove(&set, &event);
        }
    }
    if is_done {
        tx.delete_count(names::kept_events(id));
        tx.unschedule(&Due::Subscription(id.clone()));
    }
    Ok(())
}

/// Lets a paused subscription go on. Returns the subscription.
///
/// # Errors
/// [`Refusal::NotFound`] if there is no such subscription.
pub(crate) fn resume(
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: &SubscriptionId,
) -> Decision<Subscription> {
    let found = tx.get::<Subscription>(id)?;
    let mut subscription = found.ok_or(Refusal::NotFound("subscription"))?;
    if subscription.paused_at.take().is_some() {
        subscription.store(tx)?;
        subscription.note(tx, caller.key_id.as_str(), "event.resume", "")?;
    }
    Ok(subscription)
}

/// Pauses a subscription whose receiver is gone.
pub(super) fn pause(tx: &mut Tx<'_>, mut subscription: Subscription) -> Decision<()> {
    if subscription.paused_at.is_none() {
        subscription.paused_at = Some(tx.now);
        subscription.store(tx)?;
        subscription.note(tx, "control", "event.pause", "the receiver answered 410 Gone")?;
    }
    Ok(())
}

/// Notes whether a subscription has room for events.
pub(super) fn set_full(tx: &mut Tx<'_>, id: &SubscriptionId, is_full: bool) -> Decision<()> {
    let Some(mut subscription) = tx.get::<Subscription>(id)? else { return Ok(()) };
    if subscription.full_since.is_some() != is_full {
        subscription.full_since = is_full.then_some(tx.now);
        subscription.store(tx)?;
        let (action, most) = match is_full {
            true => ("event.full", tx.limits.events.subscription_events),
            false => ("event.room", tx.limits.events.subscription_events / 2),
        };
        subscription.note(tx, "control", action, &format!("{most} events are kept"))?;
    }
    Ok(())
}

impl Subscription {
    /// Stores the subscription, and in the index whether it gets new events.
    fn store(&self, tx: &mut Tx<'_>) -> Decision<()> {
        let root = self.folder.root();
        let mut index = tx.get::<Index>(root)?.unwrap_or_default();
        index.close(&self.id, self.paused_at.is_some() || self.full_since.is_some());
        index.store(tx, root)?;
        tx.put(&self.id, self)
    }

    fn member(&self) -> InFolder {
        InFolder { folder: self.folder.to_string(), id: self.id.to_string() }
    }

    fn words(&self) -> String {
        self.kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ")
    }

    /// Notes a change in the audit log, without the URL, which may hold a secret.
    pub(super) fn note(
        &self,
        tx: &mut Tx<'_>,
        actor: &str,
        action: &str,
        detail: &str,
    ) -> Decision<()> {
        let (folder, subject) = (self.folder.as_str(), self.id.as_str());
        audit::note(tx, &Change { actor, action, folder, subject, detail })
    }
}
