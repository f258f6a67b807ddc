//! Which steps of an escalation can happen.

use super::{Route, Step, beginnings};
use crate::{
    refusal::Refusal,
    transaction::{Decision, Record as _, Tx},
};
use arizuko_proto::duration::print;
use std::time::Duration;

impl Step {
    /// Returns the soonest time of the step, counted from the message.
    fn soonest(&self) -> Duration {
        let times = [self.after, self.unfinished_after].into_iter().flatten();
        times.min().unwrap_or_default()
    }
}

/// Refuses steps of the route's own escalation that can't happen: a step that is due no later than
/// the step before it, and a step that is not due before the route, or the route of a shorter
/// prefix, gives up.
pub(super) fn check(tx: &mut Tx<'_>, route: &Route) -> Decision<()> {
    let steps = route.escalation.as_deref().unwrap_or_default();
    let refuse = |number: usize, why: String| -> Decision<()> {
        let step = &steps[number];
        let (prefix, to, at) = (&route.prefix, &step.to, print(step.soonest()));
        let step = format!("step {} of its escalation, to {to} after {at}", number + 1);
        Err(Refusal::invalid(format!("{prefix}: {step}, can't happen: {why}")).into())
    };
    for (number, pair) in steps.windows(2).enumerate() {
        let before = pair[0].soonest();
        if pair[1].soonest() <= before {
            let why = format!("the step before it is taken after {}", print(before));
            return refuse(number + 1, why);
        }
    }
    let Some(last) = steps.len().checked_sub(1) else {
        return Ok(());
    };
    match end(tx, route)? {
        Some((prefix, at)) if steps[last].soonest() >= at => {
            refuse(last, format!("{prefix} gives up after {}", print(at)))
        }
        _ => Ok(()),
    }
}

/// Returns when the route gives up, and the prefix of the route that says so: its own, or a shorter
/// one.
fn end(tx: &mut Tx<'_>, route: &Route) -> Decision<Option<(String, Duration)>> {
    if let Some(give_up) = &route.give_up {
        return Ok(Some((route.prefix.clone(), give_up.after)));
    }
    let shorter: Vec<&str> = beginnings(&route.prefix).skip(1).collect();
    tx.expect(shorter.iter().map(|prefix| Route::name(prefix)))?;
    for prefix in shorter {
        // A route that is limited to some tokens might not apply to the tokens of this one.
        if let Some(Route { give_up: Some(give_up), only: None, .. }) = tx.get::<Route>(prefix)? {
            return Ok(Some((prefix.to_owned(), give_up.after)));
        }
    }
    Ok(None)
}
