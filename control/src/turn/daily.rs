//! The counts of each link and each day of UTC: for the link's budgets, and for its owner to read.

use super::Turn;
use crate::{
    frame::Outcome,
    ids::TokenId,
    names::{self, Due},
    time::{Day, millis},
    transaction::{Decision, Tx},
};
use std::time::Duration;

/// How many days the counts of a day are kept.
pub(crate) const KEPT_DAYS: u32 = 35;

/// A number that is counted. A turn counts for the day in which it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Turns that were begun for an agent.
    Turns,
    /// Addresses that have begun turns.
    Visitors,
    /// Turns that have ended and to which an agent had added a frame.
    Answered,
    /// The times from the messages of answered turns to the first frames, added up, in
    /// milliseconds.
    FirstFrame,
    /// Turns that have failed or expired.
    Failed,
    /// Messages that were refused.
    Refused,
    /// Model tokens that the turns used, or that are reserved for them.
    Tokens,
    /// Turns whose reply the visitor has rated as good.
    ThumbsUp,
    /// Turns whose reply the visitor has rated as bad.
    ThumbsDown,
}

impl Counted {
    pub(crate) const ALL: [Self; 9] = [
        Self::Turns,
        Self::Visitors,
        Self::Answered,
        Self::FirstFrame,
        Self::Failed,
        Self::Refused,
        Self::Tokens,
        Self::ThumbsUp,
        Self::ThumbsDown,
    ];

    /// Returns the name of a link's counter for a day.
    pub(crate) fn of(self, token: &TokenId, day: Day) -> String {
        let what = match self {
            Self::Turns => "turns",
            Self::Visitors => "visitors",
            Self::Answered => "answered",
            Self::FirstFrame => "first_frame",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Tokens => "tokens",
            Self::ThumbsUp => "thumbs_up",
            Self::ThumbsDown => "thumbs_down",
        };
        names::of_day(token, day, what)
    }
}

/// Schedules the deletion of a link's counts of a day: [`KEPT_DAYS`] after the day.
pub(crate) fn begin(tx: &mut Tx<'_>, token: &TokenId, day: Day) {
    let kept = Duration::from_secs(u64::from(KEPT_DAYS) * 86_400);
    tx.schedule(&Due::Day(token.clone(), day), day.end() + kept);
}

/// Counts the end of a turn that an agent was to answer.
pub(super) fn count_end(tx: &mut Tx<'_>, turn: &Turn, outcome: Outcome) {
    let (token, begun) = (&turn.origin.token, turn.origin.created_at);
    if let Some(first) = turn.first_frame_at.filter(|_| !turn.origin.unasked) {
        tx.count(Counted::Answered.of(token, begun.day()), 1);
        let wait = millis(first - begun) as i64;
        tx.count(Counted::FirstFrame.of(token, begun.day()), wait);
    }
    if matches!(outcome, Outcome::Failed | Outcome::Expired) {
        tx.count(Counted::Failed.of(token, begun.day()), 1);
    }
}

/// Deletes a link's counts of a day.
pub(crate) fn forget(tx: &mut Tx<'_>, token: &TokenId, day: Day) -> Decision<()> {
    for what in Counted::ALL {
        tx.delete_count(what.of(token, day));
    }
    tx.unschedule(&Due::Day(token.clone(), day));
    Ok(())
}
