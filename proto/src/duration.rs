//! Durations as people write them in flags, variables and files: `15s`, `1h 30m`, `1w 3d`,
//! `250ms`. A day has 24 hours and a week 7 days.

use jiff::{
    Span, SpanRelativeTo, SpanRound, Unit,
    fmt::friendly::{Spacing, SpanParser, SpanPrinter},
};
use std::time::Duration;

/// Parses a duration with units, such as `15s` or `1h 30m`.
///
/// # Errors
///
/// The text is anything else, or the duration is zero. The error says how to write one.
pub fn parse(text: &str) -> Result<Duration, String> {
    let span = SpanParser::new().parse_span(text);
    let duration = span
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .and_then(Duration::try_from);
    match duration {
        Ok(Duration::ZERO) => {
            Err("write a duration that is longer than zero, for example 1s".into())
        }
        Ok(duration) => Ok(duration),
        Err(_) if text.parse::<f64>().is_ok_and(|number| number > 0.0 && number.is_finite()) => {
            Err(format!("{text} has no unit: write {text}s for seconds, {text}m for minutes"))
        }
        Err(_) => {
            Err("write a duration with its units, for example 15s, 45m, 1h 30m or 30d".into())
        }
    }
}

/// Writes a duration as one word that [`parse`] reads, for example `1h30m`.
pub fn print(duration: Duration) -> String {
    let days = SpanRound::new().largest(Unit::Day).days_are_24_hours();
    let span = Span::try_from(duration).and_then(|span| span.round(days));
    match span {
        Ok(span) => SpanPrinter::new().spacing(Spacing::None).span_to_string(&span),
        // Too long for a `Span`.
        Err(_) => format!("{}s", duration.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, seconds) in [
            ("15s", 15.0),
            ("250ms", 0.25),
            ("1.5s", 1.5),
            ("90m", 5_400.0),
            ("1h 30m", 5_400.0),
            ("1h30m", 5_400.0),
            ("30d", 30.0 * 86_400.0),
            ("1w 3d", 10.0 * 86_400.0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
    }

    #[test]
    fn the_refusal_names_the_right_form() {
        for (wrong, right) in [
            ("30", "30s"),
            ("", "15s"),
            ("s", "15s"),
            ("soon", "15s"),
            ("1mo", "30d"),
            ("-1d", "15s"),
            ("PT1H", "15s"),
            ("0s", "1s"),
            ("0", "15s"),
            ("inf", "15s"),
        ] {
            let refusal = parse(wrong).expect_err(wrong);
            assert!(refusal.contains(right), "{wrong}: {refusal}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for (text, written) in [
            ("2m", "2m"),
            ("90 min", "1h30m"),
            ("1.5s", "1s500ms"),
            ("1w", "7d"),
            ("1d 90m 250ms", "1d1h30m250ms"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(print(duration), written);
            assert_eq!(parse(written), Ok(duration));
        }
    }
}
