//! Acts on a turn's timer that has run out.

use super::{
    Turn,
    deadlines::Timer,
    end::{Ending, end},
    exchange::Exchange,
    handoff,
    hold::{bring_back, requeue_with_strike},
    input::Input,
    reply::REDELIVERY_DELAY,
};
use crate::{
    frame::Outcome,
    ids::TurnId,
    names::Due,
    token::Token,
    transaction::{Decision, Record as _, Tracked, Tx},
};

const TOOK_TOO_LONG: &str = "The agent took too long to answer.";
const NOBODY_CAME: &str = "Nobody was there to answer in time.";

/// Handles a turn's due item.
pub(crate) fn check(tx: &mut Tx<'_>, id: &TurnId) -> Decision<()> {
    tx.expect([Turn::name(id), Input::name(id)])?;
    let turn = tx.get_tracked::<Turn>(id)?;
    let Some(turn) = turn.filter(|turn| turn.is_open()) else {
        tx.unschedule(&Due::Turn(id.clone()));
        return Ok(());
    };
    match turn.overdue(tx.now) {
        Some(Timer::Deadline) => expire(tx, turn),
        Some(Timer::Escalation) => handoff::escalate(tx, turn),
        Some(Timer::Acceptance) => {
            let at = tx.now + REDELIVERY_DELAY;
            requeue_with_strike(tx, turn, "it was not accepted in time", at)
        }
        Some(Timer::Return) => bring_back(tx, turn),
        None => {
            turn.schedule(tx);
            Ok(())
        }
    }
}

fn expire(tx: &mut Tx<'_>, turn: Tracked<Turn>) -> Decision<()> {
    let Some(exchange) = Exchange::of(tx, turn)? else {
        return Ok(());
    };
    let turn = &exchange.turn;
    let plan = tx.get::<Input>(&turn.id)?.map(|input| input.plan).unwrap_or_default();
    let token = tx.get::<Token>(&turn.origin.token)?;
    let away = token.as_ref().and_then(|token| token.options.looks.away_now(tx.now));
    let error = match (plan.give_up_say.as_str(), away, turn.attempt) {
        ("", Some(away), _) => away,
        ("", None, 0) => NOBODY_CAME,
        ("", None, _) => TOOK_TOO_LONG,
        (say, _, _) => say,
    };
    let ending = Ending { outcome: Outcome::Expired, error, detail: "past its deadline" };
    end(tx, exchange, &ending).map(drop)
}
