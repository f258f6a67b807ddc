//! A link's hours: the times in a week in which visitors can expect an answer.

use crate::{refusal::Refusal, time::Time};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

const MAX_CHARS: usize = 200;
const DAYS: [&str; 7] = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"];
/// How many minutes a day has.
const DAY: i64 = 24 * 60;

/// Hours such as `Mo-Fr 9-12, 13-17, Sa 10:00-12:30 Europe/Berlin`.
#[derive(Debug, PartialEq)]
pub(crate) struct Hours {
    zone: TimeZone,
    spans: Vec<Span>,
}

#[derive(Debug, PartialEq)]
struct Span {
    /// The days on which the span begins, from Monday on.
    days: [bool; 7],
    /// Minutes after midnight. `to` is on the next day if it is more than [`DAY`].
    from: i64,
    to: i64,
}

impl Hours {
    /// Reads hours: spans of days and times with commas between them, then a time zone. A span
    /// without days has the days of the span before it; the first span, all days.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for text of another form, or an unknown zone.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let wrong = || {
            Refusal::invalid(format!("hours look like \"Mo-Fr 9-17 Europe/Berlin\", not {text:?}"))
        };
        if text.chars().count() > MAX_CHARS {
            return Err(Refusal::invalid(format!("hours have at most {MAX_CHARS} characters")));
        }
        let (spans, zone) = text.trim().rsplit_once(char::is_whitespace).ok_or_else(wrong)?;
        let zone = TimeZone::get(zone).map_err(|_| {
            Refusal::invalid(format!(
                "hours end with a time zone, such as Europe/Berlin, and {zone:?} is none"
            ))
        })?;
        let spans = spans_of(spans).ok_or_else(wrong)?;
        Ok(Self { zone, spans })
    }

    /// Returns when the hours begin next; `None` if they are now.
    pub(crate) fn begin_after(&self, now: Time) -> Option<Time> {
        let now = i64::try_from(now.as_millis())
            .ok()
            .and_then(|at| Timestamp::from_millisecond(at).ok())?;
        let today = now.to_zoned_datetime(self.zone.clone()).date();
        let mut next: Option<Timestamp> = None;
        // Yesterday's span may run past midnight, and the next span may be a week from today.
        for offset in -1..=7 {
            let Ok(date) = today.checked_add(offset.days()) else { continue };
            let weekday = date.weekday().to_monday_zero_offset() as usize;
            for span in self.spans.iter().filter(|span| span.days[weekday]) {
                let (Some(begin), Some(end)) = (self.at(date, span.from), self.at(date, span.to))
                else {
                    continue;
                };
                if begin <= now && now < end {
                    return None;
                }
                if begin > now && next.is_none_or(|next| begin < next) {
                    next = Some(begin);
                }
            }
        }
        let millis = next?.as_millisecond();
        Some(Time::from_millis(u64::try_from(millis).unwrap_or_default()))
    }

    /// Returns the instant at which the zone's clocks are `minutes` past the midnight that begins
    /// `date`.
    fn at(&self, date: Date, minutes: i64) -> Option<Timestamp> {
        let date = date.checked_add((minutes / DAY).days()).ok()?;
        let (hour, minute) = ((minutes % DAY) / 60, minutes % 60);
        let at = date.at(hour as i8, minute as i8, 0, 0);
        Some(at.to_zoned_datetime(self.zone.clone()).ok()?.timestamp())
    }
}

fn spans_of(text: &str) -> Option<Vec<Span>> {
    let (mut spans, mut days) = (Vec::new(), [true; 7]);
    // Whether days were named that have no times yet.
    let mut is_open = false;
    for part in text.split(',') {
        let mut words = part.split_whitespace().peekable();
        let is_day = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic());
        if let Some(word) = words.next_if(is_day) {
            let named = days_of(word)?;
            days = std::array::from_fn(|day| named[day] || (is_open && days[day]));
            is_open = true;
        }
        if let Some(word) = words.next() {
            let (from, to) = word.split_once('-')?;
            let (from, to) = (minutes_of(from)?, minutes_of(to)?);
            let to = if to > from { to } else { to + DAY };
            spans.push(Span { days, from, to });
            is_open = false;
        } else if !is_open {
            return None;
        }
        if words.next().is_some() {
            return None;
        }
    }
    (!is_open).then_some(spans)
}

/// Reads a day, or a range of days: `Mo`, `Mon`, `Mo-Fr`, `Sa-Mo`.
fn days_of(word: &str) -> Option<[bool; 7]> {
    let day = |name: &str| {
        let begins = |day: &&str| name.get(..2).is_some_and(|two| two.eq_ignore_ascii_case(day));
        (name.len() <= 3).then(|| DAYS.iter().position(begins))?
    };
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (day(first)?, day(last)?);
    let length = (last + 7 - first) % 7;
    Some(std::array::from_fn(|day| (day + 7 - first) % 7 <= length))
}

/// Reads a time of the day, from `0` to `24:00`, in minutes.
fn minutes_of(time: &str) -> Option<i64> {
    let (hour, minute) = time.split_once(':').unwrap_or((time, "0"));
    let number = |digits: &str| {
        let are_digits = digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|_| are_digits)
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY).then_some(minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        let at: Timestamp = text.parse().expect("an instant");
        Time::from_millis(at.as_millisecond() as u64)
    }

    fn begins(hours: &str, now: &str) -> String {
        let hours = Hours::parse(hours).expect("hours");
        hours.begin_after(at(now)).map_or_else(
            || "now".to_owned(),
            |time| Timestamp::from_millisecond(time.as_millis() as i64).unwrap().to_string(),
        )
    }

    #[test]
    fn hours_are_those_of_the_zone_in_summer_and_winter() {
        let week = "Mo-Fr 9-17 Europe/Berlin";
        // 2026-06-01 is a Monday.
        for (now, begin) in [
            ("2026-06-01T06:59:00Z", "2026-06-01T07:00:00Z"),
            ("2026-06-01T07:00:00Z", "now"),
            ("2026-06-01T14:59:59Z", "now"),
            ("2026-06-01T15:00:00Z", "2026-06-02T07:00:00Z"),
            ("2026-06-05T15:00:00Z", "2026-06-08T07:00:00Z"),
            ("2026-12-01T07:30:00Z", "2026-12-01T08:00:00Z"),
        ] {
            assert_eq!(begins(week, now), begin, "{now}");
        }
    }

    #[test]
    fn spans_may_be_many_end_after_midnight_and_share_days() {
        let hours = "Mo-We,Fr 9-12, 13:30-17, Sa 22-2 UTC";
        for (now, begin) in [
            ("2026-06-01T12:00:00Z", "2026-06-01T13:30:00Z"),
            ("2026-06-05T16:00:00Z", "now"),
            ("2026-06-04T10:00:00Z", "2026-06-05T09:00:00Z"),
            ("2026-06-07T01:59:00Z", "now"),
            ("2026-06-07T02:00:00Z", "2026-06-08T09:00:00Z"),
        ] {
            assert_eq!(begins(hours, now), begin, "{now}");
        }
        assert_eq!(begins("0-24 UTC", "2026-06-07T23:59:59Z"), "now");
        assert_eq!(begins("Sa-Mo 9-17 UTC", "2026-06-02T00:00:00Z"), "2026-06-06T09:00:00Z");
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in [
            "",
            "9-17",
            "Mo-Fr 9-17",
            "Mo-Fr Europe/Berlin",
            "Mo-Fr 9-17 Mars/Base",
            "Mo-Fr 9-25 UTC",
            "Mo-Fr 9:60-17 UTC",
            "Mo-Fr 9 UTC",
            "Mo-Xy 9-17 UTC",
            "Mö 9-17 UTC",
            "Mo 9-17 x UTC",
            "Mo 9-17, UTC",
        ] {
            assert!(Hours::parse(wrong).is_err(), "{wrong}");
        }
    }
}
