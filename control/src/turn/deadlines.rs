//! A turn's timers: when it must have been accepted, when it is queued again, when the next step of
//! its escalation is taken, and when it ends. Each turn has one due item, at the soonest timer.

use super::Turn;
use crate::{
    limits::Limits,
    names::Due,
    route::{Route, Step},
    time::Time,
    transaction::Tx,
};
use std::time::Duration;

/// A timer that has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The turn must end.
    Deadline,
    /// The next step of the escalation is due.
    Escalation,
    /// The agent that got the turn had to accept it by now.
    Acceptance,
    /// The turn enters its folder's queue again.
    Return,
}

impl Turn {
    /// Makes the turn due at the soonest of its timers.
    pub(super) fn schedule(&self, tx: &mut Tx<'_>) {
        let escalation = [self.silent_until(), self.escalation.unfinished_until];
        let soonest = [self.accept_by(), self.back_at].into_iter().chain(escalation);
        let at = soonest.flatten().fold(self.deadline, Time::min);
        tx.schedule(&Due::Turn(self.id.clone()), at);
    }

    /// Returns a timer that has run out, if one has. If several have, it is the first of the
    /// deadline, the escalation, the acceptance and the return.
    pub(super) fn overdue(&self, now: Time) -> Option<Timer> {
        let is_past = |at: Option<Time>| at.is_some_and(|at| now >= at);
        if now >= self.deadline {
            Some(Timer::Deadline)
        } else if is_past(self.escalation.unfinished_until) || is_past(self.silent_until()) {
            Some(Timer::Escalation)
        } else if is_past(self.accept_by()) {
            Some(Timer::Acceptance)
        } else if is_past(self.back_at) {
            Some(Timer::Return)
        } else {
            None
        }
    }

    fn accept_by(&self) -> Option<Time> {
        self.hold().and_then(|hold| hold.accept_by)
    }

    fn silent_until(&self) -> Option<Time> {
        self.escalation.silent_until.filter(|_| !self.place.spoke)
    }

    /// Sets the timers of the escalation's next step.
    pub(super) fn await_step(&mut self, step: Option<&Step>) {
        let at = |after: Option<Duration>| after.map(|after| self.origin.created_at + after);
        let silence = step.and_then(|step| step.after);
        let silent_until = at(silence);
        let unfinished_until = at(step.and_then(|step| step.unfinished_after));
        self.escalation.silence = silence;
        self.escalation.silent_until = silent_until;
        self.escalation.unfinished_until = unfinished_until;
    }

    /// Restarts the folder's time for a first frame, if an agent of the folder had added one.
    pub(super) fn await_first_frame_again(&mut self, now: Time) {
        if std::mem::take(&mut self.place.spoke) {
            self.escalation.silent_until = self.escalation.silence.map(|silence| now + silence);
        }
    }
}

/// Returns how long a turn of this route may be open: until the route gives up or, if it never
/// does, for [`Limits::turn_deadline`] after the last step of its escalation.
pub(crate) fn patience(limits: &Limits, route: &Route) -> Duration {
    if let Some(give_up) = &route.give_up {
        return give_up.after;
    }
    let steps = route.escalation.iter().flatten();
    let waits = steps.flat_map(|step| [step.after, step.unfinished_after]).flatten();
    waits.max().unwrap_or_default() + limits.turn_deadline
}
