//! Budgets: how many turns a link takes in a day, and how many model tokens they use.
//!
//! Each link has counters for each day of UTC. A new turn is counted in the commit that takes its
//! message, which is refused if a counter would pass its budget: so no number of controls
//! overshoots it. What the turn's agent reports in the end counts for the day on which the turn
//! began.

use super::{
    Turn,
    daily::{self, Counted},
};
use crate::{
    ids::TokenId,
    limits::Limits,
    names,
    refusal::Refusal,
    time::{Day, Time},
    token::Token,
    transaction::{Decision, Record, Tx},
    visitor::Visitor,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many tokens a turn counts as, at most, whatever its agent reports.
const MOST_TOKENS: u64 = 1 << 40;

const LINK_SPENT: &str =
    "This link has taken as much as it may in a day. It goes on at midnight UTC.";
const VISITOR_SPENT: &str = "You have sent as many messages as this link takes from one visitor in \
     a day. It takes more at midnight UTC.";

/// How many turns an address or a network has begun on a link in a day.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Visit {
    turns: u32,
}

impl Record for Visit {
    type Id = (TokenId, Day, String);

    fn name((token, day, hash): &Self::Id) -> String {
        names::visit(token, *day, hash)
    }

    fn lifetime(&self, _: &Limits) -> Option<Duration> {
        Some(Duration::from_secs(86_400))
    }
}

/// Counts a new turn for its link and its visitor. The commit is refused if a budget is spent.
/// `was_active` is when its conversation was last active; the beginning of 1970 if it is new.
pub(super) fn charge(
    tx: &mut Tx<'_>,
    token: &Token,
    turn: &mut Turn,
    was_active: Time,
) -> Decision<()> {
    let (limits, day) = (&token.options.limits, tx.now.day());
    let refusal = Refusal::BudgetSpent { why: LINK_SPENT, new_in: day.end() - tx.now };
    let turns = Counted::Turns.of(&token.id, day);
    if let Some(most) = limits.turns_per_day {
        tx.limit_count(turns.clone(), 1, most.into(), refusal.clone());
    }
    tx.count(turns, 1);
    if let Some(most) = limits.tokens_per_day {
        turn.reserved_tokens = tx.limits.reserve_tokens.min(most);
        let tokens = Counted::Tokens.of(&token.id, day);
        tx.limit_count(tokens.clone(), turn.reserved_tokens, most, refusal);
        tx.count(tokens, turn.reserved_tokens as i64);
    }
    match &turn.origin.visitor {
        Some(visitor) if limits.visitor_turns_per_day.is_some() || was_active.day() != day => {
            charge_visitor(tx, token, day, visitor)
        }
        // A visitor who continues a conversation of today has been counted already.
        _ => {
            daily::begin(tx, &token.id, day);
            Ok(())
        }
    }
}

fn charge_visitor(tx: &mut Tx<'_>, token: &Token, day: Day, visitor: &Visitor) -> Decision<()> {
    let most = token.options.limits.visitor_turns_per_day;
    for (hash, addresses) in visitor.counted().zip([1, tx.limits.network_addresses]) {
        let id = (token.id.clone(), day, hash.to_owned());
        let mut visit = tx.get::<Visit>(&id)?.unwrap_or_default();
        if most.is_some_and(|most| visit.turns >= most.saturating_mul(addresses)) {
            let new_in = day.end() - tx.now;
            return Err(Refusal::BudgetSpent { why: VISITOR_SPENT, new_in }.into());
        }
        let is_address = hash == visitor.address;
        if visit.turns == 0 && is_address {
            daily::begin(tx, &token.id, day);
            tx.count(Counted::Visitors.of(&token.id, day), 1);
        }
        // Without a budget, only the first turn matters.
        if most.is_some() || (visit.turns == 0 && is_address) {
            visit.turns += 1;
            tx.put(&id, &visit)?;
        }
    }
    Ok(())
}

/// Counts the tokens that a turn took, in place of those that are reserved for it. `None`: nobody
/// knows how many.
pub(super) fn settle(tx: &mut Tx<'_>, turn: &mut Turn, tokens: Option<u64>) {
    let taken = match tokens {
        Some(tokens) => tokens.min(MOST_TOKENS),
        // No agent had the turn.
        None if turn.attempt == 0 => 0,
        None => turn.reserved_tokens,
    };
    let more = taken as i64 - turn.reserved_tokens as i64;
    if more != 0 {
        let day = turn.origin.created_at.day();
        tx.count(Counted::Tokens.of(&turn.origin.token, day), more);
    }
    turn.reserved_tokens = 0;
}
