//! The limits that a batch must keep.

use super::Tx;
use crate::{limits::Rate, names::Set, refusal::Refusal, store::Guard};

impl Tx<'_> {
    /// Refuses the batch if the set already has `most` members with a score of `min` or more.
    pub(crate) fn limit_members<M>(
        &mut self,
        set: &Set<M>,
        min: impl Into<u64>,
        most: u32,
        refusal: Refusal,
    ) {
        self.bounds.push(Guard::Fewer { set: set.name.clone(), min: min.into(), than: most });
        self.full.entry(set.name.clone()).or_insert(refusal);
    }

    /// Refuses the batch if `by` more would take the counter above `most`.
    pub(crate) fn limit_count(&mut self, counter: String, by: u64, most: u64, refusal: Refusal) {
        self.full.entry(counter.clone()).or_insert(refusal);
        self.bounds.push(Guard::Room { counter, by, most });
    }

    /// Takes one from the bucket; refuses the batch if the bucket has no room.
    pub(crate) fn limit_rate(&mut self, bucket: String, rate: Rate) {
        if let Some(interval) = rate.interval() {
            self.bounds.push(Guard::Rate { bucket, interval, burst: rate.burst });
        }
    }

    /// If the bucket has no room, refuses the batch with `refusal` in place of
    /// [`Refusal::RateLimited`].
    pub(crate) fn refuse_at(&mut self, bucket: String, refusal: Refusal) {
        self.full.entry(bucket).or_insert(refusal);
    }

    /// Limits one sender's share of a bucket; see [`Guard::Share`].
    pub(crate) fn limit_share(&mut self, taken: String, memory: Rate, bucket: String, rate: Rate) {
        if let (Some(forget), Some(interval)) = (memory.interval(), rate.interval()) {
            let (most, burst) = (memory.burst, rate.burst);
            self.bounds.push(Guard::Share { taken, forget, most, bucket, interval, burst });
        }
    }
}
