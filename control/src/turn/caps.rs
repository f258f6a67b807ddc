//! How many messages a link takes, and from whom: rates and open turns.
//!
//! A visitor of a chat link has limits of their own, by address; those of the whole link are a
//! backstop. A webhook is one sender, wherever its calls come from.

use super::{Turn, proof::Proof};
use crate::{
    conversation::Conversation,
    limits::{Limits, Rate},
    link_limits::LinkLimits,
    names,
    proof::Fault,
    refusal::Refusal,
    token::{Kind, Token},
    transaction::{Decision, Tx},
    visitor::Visitor,
};
use std::time::Duration;

/// How many of a network's past messages count against its share of a link's rate: at most 20, and
/// one is forgotten every minute. They matter only if the link's rate is nearly used up.
const MEMORY: Rate = Rate { count: 1, per: Duration::from_secs(60), burst: 20 };

/// Limits the rate of all messages of a link and, if there is a visitor, the rate of their address,
/// the rate of their IPv6 network, and their network's share of the link's rate.
pub(super) fn limit_rates(tx: &mut Tx<'_>, token: &Token, visitor: Option<&Visitor>, proof: Proof) {
    let (limits, link) = (tx.limits, names::link_rate(&token.id));
    let own = &token.options.limits;
    let all = rate_of_link(limits, token.kind, own);
    if proof == Proof::IfBusy {
        // Only messages with a proof may use the second half of the link's limits.
        let refusal = || Refusal::NotProven(Fault::Missing);
        let half = limits.link_turns.div_ceil(2);
        tx.limit_members(&names::open_turns(&token.id), 0_u64, half, refusal());
        tx.limit_rate(link.clone(), Rate { burst: all.burst.div_ceil(2), ..all });
        tx.refuse_at(link.clone(), refusal());
    } else {
        tx.limit_rate(link.clone(), all);
    }
    let Some(visitor) = visitor else {
        return;
    };
    let default = Rate::per_minute(limits.address_rate, limits.address_burst);
    let rate = own.rate_or(default);
    tx.limit_rate(names::rate_from(&token.id, &visitor.address), rate);
    if visitor.is_one_of_many() {
        let rate = rate.times(limits.network_addresses);
        tx.limit_rate(names::rate_from(&token.id, &visitor.network), rate);
    }
    tx.limit_share(names::share(&token.id, &visitor.network), MEMORY, link, all);
}

/// Returns the rate of all messages of a link together.
pub(crate) fn rate_of_link(limits: &Limits, kind: Kind, own: &LinkLimits) -> Rate {
    match kind {
        Kind::Chat => Rate::per_minute(limits.link_rate, limits.link_burst),
        Kind::Hook => own.rate_or(Rate::per_minute(limits.hook_rate, Some(limits.hook_burst))),
    }
}

/// Refuses a new turn in a conversation that has as many open turns as it may have.
pub(super) fn check_conversation(
    tx: &Tx<'_>,
    token: &Token,
    conversation: &Conversation,
) -> Decision<()> {
    let (_, most) = of_visitor(tx.limits, token);
    if conversation.open.len() >= most as usize {
        return Err(Refusal::TooManyTurns { of: "conversation" }.into());
    }
    Ok(())
}

/// Counts a new turn as open, and limits the open turns of its link and of its visitor.
pub(super) fn limit_open_turns(tx: &mut Tx<'_>, token: &Token, turn: &Turn) {
    let limits = tx.limits;
    let link = names::open_turns(&token.id);
    let most = match token.kind {
        Kind::Chat => limits.link_turns,
        Kind::Hook => token.options.limits.max_open_turns.unwrap_or(limits.hook_turns),
    };
    tx.limit_members(&link, 0_u64, most, Refusal::TooManyTurns { of: "link" });
    tx.add(&link, &turn.id, tx.now);
    let Some(visitor) = &turn.origin.visitor else {
        return;
    };
    let (most, _) = of_visitor(limits, token);
    let mut counted = vec![(&visitor.address, most, "address")];
    if visitor.is_one_of_many() {
        let most = most.saturating_mul(limits.network_addresses);
        counted.push((&visitor.network, most, "network"));
    }
    for (hash, most, of) in counted {
        let open = names::open_turns_from(&token.id, hash);
        // A turn whose record was lost no longer counts after its deadline.
        tx.limit_members(&open, tx.now, most, Refusal::TooManyTurns { of });
        tx.add(&open, &turn.id, turn.deadline);
    }
}

/// Returns how many turns a visitor may have open on the link, and in one conversation.
fn of_visitor(limits: &Limits, token: &Token) -> (u32, u32) {
    match token.options.limits.max_open_turns {
        Some(own) => (own, own),
        None => (limits.address_turns, limits.conversation_turns),
    }
}
