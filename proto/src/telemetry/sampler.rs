//! Limits how much an attacker can make a program log: enough lines to notice the attack, never a
//! flood.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many events of one kind are logged a minute, at most.
const LINES: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// Chooses the events of one kind that are logged: the first few of each minute.
#[derive(Debug, Default)]
pub struct Sampler(Mutex<Option<Counted>>);

#[derive(Debug)]
struct Counted {
    since: Instant,
    logged: u32,
    left_out: u64,
}

impl Sampler {
    /// Returns how many events were left out since the last logged one. `None`: leave this one out,
    /// too.
    pub fn sample(&self) -> Option<u64> {
        self.sample_at(Instant::now())
    }

    fn sample_at(&self, now: Instant) -> Option<u64> {
        // Nothing that can panic runs under this lock.
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = counted.get_or_insert(Counted { since: now, logged: 0, left_out: 0 });
        if now.saturating_duration_since(counted.since) >= MINUTE {
            (counted.since, counted.logged) = (now, 0);
        }
        if counted.logged == LINES {
            counted.left_out += 1;
            return None;
        }
        counted.logged += 1;
        Some(std::mem::take(&mut counted.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_logged() {
        let (sampler, begun) = (Sampler::default(), Instant::now());
        let logged = (0..1000).filter_map(|_| sampler.sample_at(begun)).count();
        assert_eq!(logged, LINES as usize);
        assert_eq!(sampler.sample_at(begun + MINUTE), Some(990));
        assert_eq!(sampler.sample_at(begun + MINUTE), Some(0));
    }
}
