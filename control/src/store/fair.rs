//! The arithmetic of fair queues, for SQLite. `commit.lua` has the same arithmetic for Redis.
//!
//! A fair queue is a sorted set whose scores are virtual times. It is served in rounds, and each
//! flow has at most one member in a round: start-time fair queueing, where each member costs the
//! same. Flows form groups. In each round, the first member of every group comes before all other
//! members, so that a quiet group need not wait for a crowded one. Apart from that, members of a
//! round are in the order of their arrival.
//!
//! A second set holds the next round of each flow and of each group, as long as that round is later
//! than the one that the queue is in.

use super::Millis;

/// The length of a round, in virtual time. A score alone tells its round, provided that no member
/// waits for more than a quarter of a round (22 days).
pub(crate) const ROUND: Millis = 90 * 86_400_000;
/// The number of the last round. All later members join it, too, so that no score reaches 2^53,
/// above which scores in Redis are not exact.
pub(crate) const LAST_ROUND: u64 = 1_000_000;

/// The place of a new member in a queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) score: u64,
    pub(crate) round: u64,
}

/// Returns the round that a queue is in, by the score of its first member.
pub(crate) fn current_round(first: u64, now: Millis) -> u64 {
    (first + ROUND / 4 * 3).saturating_sub(now) / ROUND
}

/// Returns the place of a new member in a queue whose current round is `current`. `next` has the
/// next rounds of the member's flow and group; if it is `None`, the member has no flow and goes
/// to the end of the current round.
pub(crate) fn place(current: u64, next: Option<(u64, u64)>, now: Millis) -> Place {
    let (flow, group) = next.unwrap_or((0, u64::MAX));
    let round = current.max(flow).min(LAST_ROUND);
    let arrived = if group <= round { now.saturating_sub(ROUND / 2) } else { now };
    Place { score: arrived + round * ROUND, round }
}
