//! When a visitor sees that somebody is writing.

use std::time::Duration;
use tokio::time::Instant;

/// How long it is shown after the last key.
const IDLE: Duration = Duration::from_secs(6);
/// It is shown anew no sooner than this after it was.
const PAUSE: Duration = Duration::from_secs(2);

/// What the visitor sees of it.
#[derive(Default)]
pub(super) struct Typing {
    /// When it was shown, if it is.
    shown: bool,
    last_shown: Option<Instant>,
    idle_at: Option<Instant>,
}

/// What the visitor should be shown.
#[derive(Debug, PartialEq)]
pub(super) enum Show {
    Writing,
    Nothing,
}

impl Typing {
    /// A key was pressed, and the line is an answer under way or not.
    pub(super) fn key(&mut self, is_answer: bool, now: Instant) -> Option<Show> {
        if !is_answer {
            return self.stop();
        }
        self.idle_at = Some(now + IDLE);
        let too_soon = self.last_shown.is_some_and(|shown| now < shown + PAUSE);
        if self.shown || too_soon {
            return None;
        }
        self.shown = true;
        self.last_shown = Some(now);
        Some(Show::Writing)
    }

    /// When it is over unless another key is pressed.
    pub(super) fn idle_at(&self) -> Option<Instant> {
        self.idle_at.filter(|_| self.shown)
    }

    /// Nobody writes any more.
    pub(super) fn stop(&mut self) -> Option<Show> {
        std::mem::take(&mut self.shown).then_some(Show::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_once_and_until_it_stops() {
        let mut typing = Typing::default();
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(typing.key(false, at(0)), None);
        assert_eq!(typing.key(true, at(0)), Some(Show::Writing));
        assert_eq!(typing.key(true, at(5_000)), None);
        assert_eq!(typing.idle_at(), Some(at(11_000)));
        assert_eq!(typing.stop(), Some(Show::Nothing));
        assert_eq!(typing.idle_at(), None);
        assert_eq!(typing.stop(), None);
    }

    #[test]
    fn an_emptied_line_ends_it_and_it_does_not_flicker() {
        let mut typing = Typing::default();
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        typing.key(true, at(0));
        assert_eq!(typing.key(false, at(100)), Some(Show::Nothing));
        assert_eq!(typing.key(true, at(200)), None, "too soon");
        assert_eq!(typing.key(true, at(2_000)), Some(Show::Writing));
    }
}
