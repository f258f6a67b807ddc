//! Instants of the store's clock.

use serde::{Deserialize, Serialize};
use std::{
    ops::{Add, Sub},
    time::Duration,
};

/// Every lifetime of a token or key must be shorter than this: 100 years.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_secs(100 * 365 * 86_400);

/// An instant of the store's clock, which all controls use, in milliseconds since 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub(crate) struct Time(u64);

impl Time {
    /// Makes an instant from the milliseconds since 1970.
    pub(crate) const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since 1970.
    pub(crate) const fn as_millis(self) -> u64 {
        self.0
    }
}

/// A day of UTC, as the number of days since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Day(u64);

/// How many milliseconds a day has.
const DAY: u64 = 86_400_000;

impl Time {
    pub(crate) fn day(self) -> Day {
        Day(self.0 / DAY)
    }
}

impl Day {
    /// Makes a day from its number.
    pub(crate) const fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// Returns the day that is `days` days earlier.
    pub(crate) const fn before(self, days: u64) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// Returns the first instant of the day.
    pub(crate) fn begin(self) -> Time {
        Time(self.0.saturating_mul(DAY))
    }

    /// Returns the first instant of the next day.
    pub(crate) fn end(self) -> Time {
        Time((self.0 + 1).saturating_mul(DAY))
    }
}

/// Saturates at the last instant.
impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

/// Saturates at zero if `earlier` is later.
impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Returns the milliseconds since 1970: the score of a member in a set that is sorted by time.
impl From<Time> for u64 {
    fn from(time: Time) -> Self {
        time.0
    }
}

/// Returns a duration in whole milliseconds, at most `u64::MAX`.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Stores a duration as milliseconds: `#[serde(with = "crate::time::stored")]`.
pub(crate) mod stored {
    use super::millis;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        millis(*duration).serialize(to)
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }

    /// Stores a duration, or `None`, as milliseconds or null.
    pub(crate) mod option {
        use super::millis;
        use serde::{Deserialize, Deserializer, Serialize, Serializer};
        use std::time::Duration;

        pub(crate) fn serialize<S: Serializer>(
            duration: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            duration.map(millis).serialize(to)
        }

        pub(crate) fn deserialize<'a, D: Deserializer<'a>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
        }
    }
}
