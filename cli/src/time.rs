//! Instants and durations as the command line shows and reads them.

use arizuko_proto::duration;
use jiff::Timestamp;
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

/// Whether [`shown`] returns ages.
static AGES: AtomicBool = AtomicBool::new(false);

/// Makes [`shown`] return ages, for a terminal.
pub(crate) fn show_ages() {
    AGES.store(true, Relaxed);
}

/// Returns an instant for a table: at a terminal how long ago it was, or how far ahead it is, and
/// elsewhere as [`brief`] does.
pub(crate) fn shown(at: Option<prost_types::Timestamp>) -> String {
    if !AGES.load(Relaxed) {
        return brief(at);
    }
    let Some(at) = at.and_then(|at| SystemTime::try_from(at).ok()) else { return String::new() };
    match SystemTime::now().duration_since(at) {
        Ok(age) => format!("{} ago", in_one_unit(age)),
        Err(ahead) => format!("in {}", in_one_unit(ahead.duration())),
    }
}

/// Returns an instant in RFC 3339, to the second, in UTC; empty when it is unset.
pub(crate) fn brief(at: Option<prost_types::Timestamp>) -> String {
    let at = at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
    at.map_or_else(String::new, |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Returns how long ago something happened, in one unit; `0 s` for an instant that is unset or in
/// the future.
pub(crate) fn age(at: Option<prost_types::Timestamp>) -> String {
    let at = at.and_then(|at| SystemTime::try_from(at).ok());
    // Another machine's clock may be ahead of ours.
    let age = at.and_then(|at| SystemTime::now().duration_since(at).ok());
    in_one_unit(age.unwrap_or(Duration::ZERO))
}

/// Returns a duration of the contract in one unit.
pub(crate) fn rounded(duration: prost_types::Duration) -> String {
    // Control sends no negative durations.
    in_one_unit(duration.try_into().unwrap_or_default())
}

/// Returns a duration in one unit.
pub(crate) fn in_one_unit(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Returns the instant that was `duration` ago, or the beginning of 1970 if that is later.
pub(crate) fn before_now(duration: prost_types::Duration) -> prost_types::Timestamp {
    let at = Duration::try_from(duration).ok().and_then(|long| SystemTime::now().checked_sub(long));
    at.unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::UNIX_EPOCH).into()
}

/// Returns the instant that is `duration` from now, or the latest one that can be written.
pub(crate) fn after_now(duration: prost_types::Duration) -> prost_types::Timestamp {
    let at = Duration::try_from(duration).ok().and_then(|long| SystemTime::now().checked_add(long));
    at.map_or(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }, Into::into)
}

/// Reads a duration into the contract's type.
///
/// # Errors
///
/// The error of [`duration::parse`], or that the duration is too long.
pub(crate) fn parse(text: &str) -> Result<prost_types::Duration, String> {
    duration::parse(text)?.try_into().map_err(|_| "that is too long".into())
}

/// Writes a duration of the contract as [`parse`] reads it.
pub(crate) fn print(duration: prost_types::Duration) -> String {
    // Control refuses negative durations, so it sends none.
    duration::print(duration.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_in_utc() {
        let at = Some(prost_types::Timestamp { seconds: 0, nanos: 1_500_000 });
        assert_eq!(brief(at), "1970-01-01T00:00:00Z");
        assert_eq!(brief(None), "");
    }

    #[test]
    fn ages_are_in_one_unit() {
        let before = |seconds| Some((SystemTime::now() - Duration::from_secs(seconds)).into());
        let ages = [5, 150, 8_000, 90_000].map(|seconds| age(before(seconds)));
        assert_eq!(ages, ["5 s", "2 min", "2 h", "1 d"]);
        assert_eq!(age(None), "0 s");
        assert_eq!(age(Some(before_now(parse("26h").unwrap()))), "1 d");
        assert_eq!(before_now(parse("100000d").unwrap()).seconds, 0);
    }
}
