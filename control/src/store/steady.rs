//! A clock that follows another one and never jumps.
//!
//! Between two readings of the other clock, time passes as the system's uptime does, which nobody
//! sets. A difference is corrected little by little. So a clock that is set, or a failover to a
//! server with another clock, ends nothing early and holds nothing up.

use super::Millis;
use nix::time::{ClockId, clock_gettime};
use std::sync::{Mutex, PoisonError};

/// A difference is corrected in this many times its own length: an hour in ten hours.
const SLEW: i64 = 10;
/// If the difference changes by more than this, in microseconds, that is logged. If it is larger
/// than this, [`SteadyClock::hear`] returns it. Networks and drift cause less.
const JUMP: i64 = 1_000_000;
/// The shortest time between two corrections, in microseconds. A correction is at most a tenth of
/// the time since the one before, and that must not round to 0.
const TICK: i64 = 1_000;

/// The clock of the system's uptime, which nobody sets. On Linux it also counts while the system
/// sleeps.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UPTIME: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const UPTIME: ClockId = ClockId::CLOCK_MONOTONIC;

/// When the simulated time began, in the simulation.
#[cfg(test)]
pub(crate) static BEGUN: std::sync::OnceLock<tokio::time::Instant> = std::sync::OnceLock::new();

/// Returns the system's uptime in microseconds.
pub(super) fn uptime() -> i64 {
    #[cfg(test)]
    if let Some(begun) = BEGUN.get() {
        return i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
    }
    clock_gettime(UPTIME).map_or(0, |time| time.tv_sec() * 1_000_000 + time.tv_nsec() / 1_000)
}

/// A reading of the other clock. All figures are in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// The time that it said, since 1970.
    pub(crate) said: i64,
    /// The uptime at which it said so.
    pub(crate) at: i64,
    /// How far `at` may be wrong, either way.
    pub(crate) slack: i64,
}

/// A clock that follows another one.
pub(super) struct SteadyClock(Mutex<Steady>);

/// The state of a [`SteadyClock`]. Its callers pass the uptime.
pub(crate) struct Steady {
    /// This clock minus the uptime.
    ours: i64,
    /// The other clock minus the uptime, as far as its readings tell.
    theirs: i64,
    /// The uptime up to which `ours` has approached `theirs`.
    approached: i64,
}

impl SteadyClock {
    /// Begins a clock that is `ahead` microseconds ahead of the other one.
    pub(super) fn begin(reading: Reading, ahead: i64) -> Self {
        Self(Mutex::new(Steady::begin(reading, ahead)))
    }

    /// Returns the time, in milliseconds since 1970. It never goes back.
    pub(super) fn now(&self) -> Millis {
        self.with(|state| state.now(uptime()))
    }

    /// Notes a reading. Returns how many microseconds this clock is ahead of the other one
    /// (negative if it is behind), if the difference is larger than [`JUMP`].
    pub(super) fn hear(&self, reading: Reading) -> Option<i64> {
        self.with(|state| state.hear(reading))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Steady) -> T) -> T {
        // Nothing that can panic runs under this lock.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Steady {
    pub(crate) fn begin(reading: Reading, ahead: i64) -> Self {
        let theirs = reading.said - reading.at;
        Self { ours: theirs + ahead, theirs, approached: reading.at }
    }

    pub(crate) fn now(&mut self, uptime: i64) -> Millis {
        self.approach(uptime);
        u64::try_from((self.ours + uptime) / 1_000).unwrap_or(0)
    }

    pub(crate) fn hear(&mut self, Reading { said, at, slack }: Reading) -> Option<i64> {
        self.approach(at);
        // If this clock is within the reading's slack, there is no difference to correct.
        let theirs = self.ours.clamp(said - at - slack, said - at + slack);
        if (theirs - self.theirs).abs() > JUMP {
            let seconds = (theirs - self.theirs) / 1_000_000;
            tracing::warn!(seconds, "the store's clock has jumped, following it slowly");
        }
        self.theirs = theirs;
        let ahead = self.ours - theirs;
        (ahead.abs() > JUMP).then_some(ahead)
    }

    fn approach(&mut self, uptime: i64) {
        let passed = uptime - self.approached;
        if passed >= TICK {
            let most = passed / SLEW;
            self.ours += (self.theirs - self.ours).clamp(-most, most);
            self.approached = uptime;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3_600 * SECOND;

    /// Returns a clock that began at an uptime of 1,000 s, when the other clock read 5,000 s.
    fn clock() -> Steady {
        Steady::begin(Reading { said: 5_000 * SECOND, at: 1_000 * SECOND, slack: 0 }, 0)
    }

    fn reading(said: i64, at: i64) -> Reading {
        Reading { said: said * SECOND, at: at * SECOND, slack: 0 }
    }

    #[test]
    fn time_passes_without_readings() {
        let mut clock = clock();
        assert_eq!(clock.now(1_000 * SECOND), 5_000_000);
        assert_eq!(clock.now(1_060 * SECOND), 5_060_000);
    }

    #[test]
    fn a_jump_is_made_good_slowly_and_time_never_goes_back() {
        for jump in [3_600, -3_600] {
            let mut clock = clock();
            let ahead = clock.hear(reading(5_000 + jump, 1_000));
            assert_eq!(ahead, Some(-jump * SECOND));
            let mut last = clock.now(1_000 * SECOND);
            assert_eq!(last, 5_000_000);
            for second in 1..=10 * 3_600 {
                let now = clock.now((1_000 + second) * SECOND);
                assert!((900..=1_100).contains(&(now - last)), "{now} after {last}");
                last = now;
            }
            assert_eq!(clock.hear(reading(41_000 + jump, 37_000)), None);
            assert_eq!(i64::try_from(last), Ok((41_000 + jump) * 1_000));
        }
    }

    #[test]
    fn many_looks_correct_a_difference_as_fast_as_few() {
        let mut clock = clock();
        clock.hear(reading(6_000, 1_000));
        for micros in 0..10 * SECOND / 10 {
            clock.now(1_000 * SECOND + micros * 10);
        }
        assert!((5_010_900..=5_011_000).contains(&clock.now(1_010 * SECOND)));
    }

    #[test]
    fn a_difference_is_corrected_only_beyond_the_slack() {
        let mut clock = clock();
        let late = Reading { said: 5_000 * SECOND, at: 1_001 * SECOND, slack: 2 * SECOND };
        assert_eq!(clock.hear(late), None);
        assert_eq!(clock.now(1_100 * SECOND), 5_100_000);
        let hour = Reading { said: 5_101 * SECOND + HOUR, at: 1_101 * SECOND, slack: SECOND };
        assert_eq!(clock.hear(hour), Some(SECOND - HOUR));
    }

    #[test]
    fn a_new_clock_begins_as_far_ahead_as_it_is_told() {
        let mut clock = Steady::begin(reading(8_600, 1_000), -HOUR);
        assert_eq!(clock.now(1_000 * SECOND), 5_000_000);
    }
}
