//! Instants and lifetimes as people and programs write them.

use jiff::{
    Span, SpanRelativeTo, SpanRound, Timestamp, Unit,
    fmt::friendly::{Spacing, SpanPrinter},
};
use std::time::Duration;

/// RFC 3339 in UTC with milliseconds, for programs; null when unset.
pub(crate) fn rfc3339(at: Option<prost_types::Timestamp>) -> Option<String> {
    instant(at).map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// The same to the second, for people; empty when unset.
pub(crate) fn brief(at: Option<prost_types::Timestamp>) -> String {
    instant(at).map_or_else(String::new, |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn instant(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
}

/// Reads a lifetime such as `30d`, `12h` or `1w 3d`; a day has 24 hours.
pub(crate) fn lifetime(text: &str) -> Result<prost_types::Duration, String> {
    let wrong = || "say how long, for example 30d, 12h or 45m".to_owned();
    let span: Span = text.parse().map_err(|_| wrong())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    if length.is_positive() {
        Ok(prost_types::Duration { seconds: length.as_secs(), nanos: length.subsec_nanos() })
    } else {
        Err(wrong())
    }
}

/// Writes a length of time as [`lifetime`] reads it, in one word, for example `1h30m`.
pub(crate) fn length(length: &prost_types::Duration) -> String {
    let days = SpanRound::new().largest(Unit::Day).days_are_24_hours();
    // Control sends none below zero, nor one of ten thousand years.
    let length = Duration::try_from(*length).unwrap_or_default();
    let length = Span::try_from(length).and_then(|length| length.round(days));
    SpanPrinter::new().spacing(Spacing::None).span_to_string(&length.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read_in_days_hours_and_minutes() {
        let seconds = |text| lifetime(text).map(|length| length.seconds);
        assert_eq!(seconds("30d"), Ok(30 * 86_400));
        assert_eq!(seconds("1w 3d"), Ok(10 * 86_400));
        assert_eq!(seconds("90m"), Ok(5_400));
        assert_eq!(lifetime("1.5s").map(|length| length.nanos), Ok(500_000_000));
        for wrong in ["", "30", "d", "0s", "-1d", "1mo", "soon"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lengths_are_written_as_they_are_read() {
        for (text, written) in [
            ("2m", "2m"),
            ("90 min", "1h30m"),
            ("1.5s", "1s500ms"),
            ("7d", "7d"),
            ("1d 90m 250ms", "1d1h30m250ms"),
        ] {
            let read = lifetime(text).unwrap();
            assert_eq!(length(&read), written);
            assert_eq!(lifetime(written), Ok(read));
        }
    }

    #[test]
    fn instants_are_written_in_utc() {
        let at = Some(prost_types::Timestamp { seconds: 0, nanos: 1_500_000 });
        assert_eq!(rfc3339(at).unwrap(), "1970-01-01T00:00:00.001Z");
        assert_eq!(brief(at), "1970-01-01T00:00:00Z");
        assert_eq!(brief(None), "");
    }
}
