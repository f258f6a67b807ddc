//! Instants and durations as the command line shows and reads them.

use arizuko_proto::duration;
use jiff::Timestamp;

/// Returns an instant in RFC 3339, to the second, in UTC; empty when it is unset.
pub(crate) fn brief(at: Option<prost_types::Timestamp>) -> String {
    let at = at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
    at.map_or_else(String::new, |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Reads a duration for the contract.
///
/// # Errors
///
/// The sentence of [`duration::parse`].
pub(crate) fn parse(text: &str) -> Result<prost_types::Duration, String> {
    duration::parse(text)?.try_into().map_err(|_| "that is too long".into())
}

/// Writes a duration of the contract as [`parse`] reads it.
pub(crate) fn print(duration: prost_types::Duration) -> String {
    // Control refuses negative ones.
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
}
