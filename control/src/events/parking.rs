//! Parked events: those that control has given up delivering. They are kept for a while, and are
//! sent again if somebody replays them.

use super::{event::Event, lane::Lane, subscription::Subscription};
use crate::{
    ids::{EventId, SubscriptionId},
    key::Caller,
    names::{
        Due,
        events::{self as names, LaneId},
    },
    refusal::Refusal,
    transaction::{Decision, Record as _, Tx},
};

/// Parks an event. The caller takes it out of its lane.
pub(super) fn park(tx: &mut Tx<'_>, mut event: Event) -> Decision<()> {
    event.parked_at = Some(tx.now);
    tx.remove(&names::waiting_events(&event.subscription), &event.id);
    tx.add(&names::parked_events(&event.subscription), &event.id, event.at);
    tx.schedule(&Due::Event(event.id.clone()), tx.now + tx.limits.keep_parked_events);
    tx.put(&event.id.clone(), &event)
}

/// Deletes an event that has been parked for long enough.
pub(crate) fn expire(tx: &mut Tx<'_>, id: &EventId) -> Decision<()> {
    tx.unschedule(&Due::Event(id.clone()));
    if let Some(event) = tx.get::<Event>(id)?.filter(|event| event.parked_at.is_some()) {
        tx.delete::<Event>(id);
        tx.remove(&names::parked_events(&event.subscription), id);
        tx.count(names::kept_events(&event.subscription), -1);
    }
    Ok(())
}

/// Puts parked events of a subscription back into their lanes, behind the events that wait there.
/// Returns how many had room.
///
/// # Errors
/// [`Refusal::NotFound`] if there is no such subscription; [`Refusal::Invalid`] if it is paused.
pub(crate) fn replay(
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: &SubscriptionId,
    events: &[EventId],
) -> Decision<u32> {
    tx.expect(events.iter().map(Event::name))?;
    let subscription = tx.get::<Subscription>(id)?.ok_or(Refusal::NotFound("subscription"))?;
    if subscription.paused_at.is_some() {
        return Err(Refusal::invalid("the subscription is paused: resume it first").into());
    }
    let mut parked = Vec::new();
    for event in events {
        let event = tx.get::<Event>(event)?;
        parked.extend(event.filter(|event| event.subscription == *id && event.parked_at.is_some()));
    }
    parked.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    let mut count = 0;
    for mut event in parked {
        let lane = LaneId { subscription: id.clone(), conversation: event.conversation.clone() };
        if !Lane::append(tx, &lane, event.id.clone())? {
            continue;
        }
        count += 1;
        event.parked_at = None;
        event.attempts = 0;
        event.give_up_at = tx.now + tx.limits.events.event_retry_for;
        tx.unschedule(&Due::Event(event.id.clone()));
        tx.remove(&names::parked_events(id), &event.id);
        tx.add(&names::waiting_events(id), &event.id, event.at);
        tx.put(&event.id, &event)?;
    }
    if count > 0 {
        subscription.note(
            tx,
            caller.key_id.as_str(),
            "event.replay",
            &format!("{count} events"),
        )?;
    }
    Ok(count)
}
