//! The outbox: events come into it with the commit in which they happen, are taken to be sent, and
//! leave it when they are delivered or parked.

use super::{
    event::{Event, Happened},
    index::Index,
    lane::Lane,
    parking::park,
    subscription::{Subscription, pause},
};
use crate::{
    names::events::{self as names, LaneId},
    transaction::{Decision, Record as _, Stop, Tx},
};
use arizuko_proto::public_id;
use std::time::Duration;

/// How long the first retry waits; each later one waits twice as long as the one before.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// How long a retry waits, at most.
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);
/// How long after the receiver's timeout an attempt counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// How many events of a paused subscription's lane one commit parks, at most.
const PARKED_AT_ONCE: usize = 100;

/// Adds an event for each subscription that wants to know what has happened. Costs a tenant without
/// subscriptions one more guard of the commit.
pub(crate) fn add(tx: &mut Tx<'_>, happened: &Happened<'_>) -> Decision<()> {
    let Some(index) = tx.get_unlikely::<Index>(happened.folder.root())? else { return Ok(()) };
    for subscription in index.wanting(happened.kind, happened.folder) {
        let id = subscription.event(tx.random());
        let id = id.ok_or_else(|| Stop::Corrupt(format!("{subscription} is no id")))?;
        let conversation = public_id::conversation(happened.conversation.as_str());
        let mut event = Event {
            id: id.clone(),
            subscription: subscription.clone(),
            kind: happened.kind,
            at: tx.now,
            folder: happened.folder.clone(),
            token: happened.token.clone(),
            conversation: conversation.clone(),
            turn: happened.turn.map(|turn| public_id::turn(turn.as_str())).unwrap_or_default(),
            more: happened.more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            give_up_at: tx.now + tx.limits.events.event_retry_for,
            attempts: 0,
            last_error: String::new(),
            parked_at: None,
        };
        tx.count(names::kept_events(&subscription), 1);
        let lane = LaneId { subscription: subscription.clone(), conversation };
        if Lane::append(tx, &lane, id.clone())? {
            tx.put(&id, &event)?;
            tx.add(&names::waiting_events(&subscription), &id, tx.now);
        } else {
            event.last_error = "too many events of the conversation wait".to_owned();
            park(tx, event)?;
        }
    }
    Ok(())
}

/// An event that is to be sent now.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) event: Event,
    pub(super) url: String,
    pub(super) sealed_secret: String,
    /// Names the attempt, so that one that counts as lost settles nothing.
    attempt: u64,
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    Delivered,
    /// The receiver wants no more events.
    Gone,
    Failed {
        why: String,
        /// How long the receiver wants to be left alone.
        retry_after: Option<Duration>,
    },
}

/// What to do about a lane next.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) job: Option<Job>,
    /// How many events were parked.
    pub(super) parked: u32,
}

/// Takes the first event of a lane that is due. From then on nobody else takes the lane, until the
/// attempt is settled or counts as lost.
pub(super) fn take(tx: &mut Tx<'_>, id: &LaneId) -> Decision<Step> {
    tx.expect([Lane::name(id), Subscription::name(&id.subscription)])?;
    let Some(lane) = tx.get::<Lane>(id)? else {
        tx.remove(&names::outbox(), id);
        return Ok(Step::default());
    };
    if lane.at > tx.now {
        // The outbox has an older time.
        tx.add(&names::outbox(), id, lane.at);
        return Ok(Step::default());
    }
    next(tx, id, lane, Step::default())
}

/// Notes the outcome of an attempt, and takes the lane's next event if `go_on`.
pub(super) fn settle(
    tx: &mut Tx<'_>,
    id: &LaneId,
    job: &Job,
    receipt: &Receipt,
    go_on: bool,
) -> Decision<Step> {
    tx.expect([Lane::name(id), Subscription::name(&id.subscription), Event::name(&job.event.id)])?;
    let mut step = Step::default();
    let lane = tx.get::<Lane>(id)?.filter(|lane| lane.attempt == job.attempt);
    let Some(mut lane) = lane else { return Ok(step) };
    lane.attempt = 0;
    lane.at = tx.now;
    if let Some(mut event) = tx.get::<Event>(&job.event.id)? {
        match receipt {
            Receipt::Delivered => {
                tx.delete::<Event>(&event.id);
                tx.remove(&names::waiting_events(&id.subscription), &event.id);
                tx.count(names::kept_events(&id.subscription), -1);
            }
            Receipt::Gone => {
                if let Some(subscription) = tx.get::<Subscription>(&id.subscription)? {
                    pause(tx, subscription)?;
                }
                event.attempts += 1;
                event.last_error = "the receiver answered 410 Gone".to_owned();
                park(tx, event)?;
                step.parked += 1;
            }
            Receipt::Failed { why, retry_after } => {
                event.attempts += 1;
                event.last_error.clone_from(why);
                if tx.now < event.give_up_at {
                    let wait = backoff(tx, event.attempts).max(retry_after.unwrap_or_default());
                    lane.at = (tx.now + wait.min(LONGEST_RETRY)).min(event.give_up_at);
                    tx.put(&job.event.id, &event)?;
                    lane.store(tx, id)?;
                    return Ok(step);
                }
                park(tx, event)?;
                step.parked += 1;
            }
        }
    }
    lane.events.retain(|event| *event != job.event.id);
    if go_on {
        return next(tx, id, lane, step);
    }
    lane.store(tx, id)?;
    Ok(step)
}

/// Takes the lane's first event that still exists. Parks the events of a paused subscription, and
/// forgets those of a deleted one.
fn next(tx: &mut Tx<'_>, id: &LaneId, mut lane: Lane, mut step: Step) -> Decision<Step> {
    let subscription = tx.get::<Subscription>(&id.subscription)?;
    if subscription.is_none() {
        lane.events.clear();
    }
    let is_paused = subscription.as_ref().is_some_and(|it| it.paused_at.is_some());
    let looked_at = if is_paused { PARKED_AT_ONCE } else { 1 };
    tx.expect(lane.events.iter().take(looked_at).map(Event::name))?;
    while let Some(first) = lane.events.first()
        && step.parked < PARKED_AT_ONCE as u32
    {
        match (tx.get::<Event>(first)?, &subscription) {
            (Some(event), Some(subscription)) if !is_paused => {
                lane.attempt = u64::from_le_bytes(tx.random()).max(1);
                lane.at = tx.now + tx.limits.events.event_timeout + LOST_AFTER;
                let Subscription { url, sealed_secret, .. } = subscription.clone();
                step.job = Some(Job { event, url, sealed_secret, attempt: lane.attempt });
                break;
            }
            (Some(event), _) => {
                park(tx, event)?;
                step.parked += 1;
            }
            (None, _) => {}
        }
        lane.events.remove(0);
    }
    lane.store(tx, id)?;
    Ok(step)
}

/// Returns how long to wait before the retry after this many failures. The wait varies by up to a
/// quarter, so that lanes that failed together don't come back together.
fn backoff(tx: &mut Tx<'_>, failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let [random] = tx.random();
    FIRST_RETRY.saturating_mul(doubled).min(LONGEST_RETRY) * (192 + u32::from(random) / 2) / 256
}
