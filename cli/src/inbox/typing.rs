//! Decides when a visitor sees that somebody is typing.

use std::time::Duration;
use tokio::time::Instant;

/// How long the status stays after the last key.
const IDLE: Duration = Duration::from_secs(6);
/// How long to wait, at least, from one showing of the status to the next.
const PAUSE: Duration = Duration::from_secs(2);

/// Whether the visitor sees that somebody is typing, since when, and until when.
#[derive(Default)]
pub(super) struct Typing {
    is_shown: bool,
    last_shown: Option<Instant>,
    idle_at: Option<Instant>,
}

/// A change of the status that the visitor sees.
#[derive(Debug, PartialEq)]
pub(super) enum StatusChange {
    Typing,
    Nothing,
}

impl Typing {
    /// Notes that a key was pressed. `is_answer`: the line is going to be an answer. Returns how
    /// the status changes.
    pub(super) fn key(&mut self, is_answer: bool, now: Instant) -> Option<StatusChange> {
        if !is_answer {
            return self.stop();
        }
        self.idle_at = Some(now + IDLE);
        let too_soon = self.last_shown.is_some_and(|shown| now < shown + PAUSE);
        if self.is_shown || too_soon {
            return None;
        }
        self.is_shown = true;
        self.last_shown = Some(now);
        Some(StatusChange::Typing)
    }

    /// Returns when to clear the status, unless another key is pressed.
    pub(super) fn idle_at(&self) -> Option<Instant> {
        self.idle_at.filter(|_| self.is_shown)
    }

    /// Notes that nobody is typing any more. Returns how the status changes.
    pub(super) fn stop(&mut self) -> Option<StatusChange> {
        std::mem::take(&mut self.is_shown).then_some(StatusChange::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_shown_once_and_cleared_once() {
        let mut typing = Typing::default();
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(typing.key(false, at(0)), None);
        assert_eq!(typing.key(true, at(0)), Some(StatusChange::Typing));
        assert_eq!(typing.key(true, at(5_000)), None);
        assert_eq!(typing.idle_at(), Some(at(11_000)));
        assert_eq!(typing.stop(), Some(StatusChange::Nothing));
        assert_eq!(typing.idle_at(), None);
        assert_eq!(typing.stop(), None);
    }

    #[test]
    fn an_emptied_line_clears_the_status_and_it_does_not_flicker() {
        let mut typing = Typing::default();
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        typing.key(true, at(0));
        assert_eq!(typing.key(false, at(100)), Some(StatusChange::Nothing));
        assert_eq!(typing.key(true, at(200)), None, "too soon");
        assert_eq!(typing.key(true, at(2_000)), Some(StatusChange::Typing));
    }
}
