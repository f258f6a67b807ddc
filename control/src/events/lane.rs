//! Lanes: the events of one conversation for one subscription, in the order in which they happened.

use crate::{
    ids::EventId,
    names::events::{self as names, LaneId},
    time::Time,
    transaction::{Decision, Record, Tx},
};
use serde::{Deserialize, Serialize};

/// How many events wait in a lane, at most: each change writes all their ids.
const MOST: usize = 1_000;

/// The events that wait in a lane, and when the first of them is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lane {
    pub(super) events: Vec<EventId>,
    /// When the first event is sent; while it is being sent, when the attempt counts as lost. The
    /// score in the outbox may differ from this.
    pub(crate) at: Time,
    /// Names the attempt that is under way; 0 if none is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) attempt: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Record for Lane {
    type Id = LaneId;

    fn name(id: &LaneId) -> String {
        names::lane(id)
    }
}

impl Lane {
    /// Adds an event at the end of a lane. Returns false, and adds nothing, if the lane is full.
    /// Most lanes are empty, so they have no record.
    pub(super) fn append(tx: &mut Tx<'_>, id: &LaneId, event: EventId) -> Decision<bool> {
        let lane = tx.get_unlikely::<Self>(id)?;
        let mut lane = lane.unwrap_or(Self { events: Vec::new(), at: tx.now, attempt: 0 });
        if lane.events.len() >= MOST {
            return Ok(false);
        }
        lane.events.push(event);
        lane.store(tx, id)?;
        Ok(true)
    }

    /// Stores the lane, or deletes it if no event is left.
    pub(super) fn store(&self, tx: &mut Tx<'_>, id: &LaneId) -> Decision<()> {
        if self.events.is_empty() {
            tx.delete::<Self>(id);
            tx.remove(&names::outbox(), id);
            return Ok(());
        }
        tx.add(&names::outbox(), id, self.at);
        tx.put(id, self)
    }
}
