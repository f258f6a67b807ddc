//! The arithmetic of fair queues, for SQLite. `commit.lua` has the same for Redis.
//!
//! A fair queue is a sorted set whose scores are virtual times. It is delivered in rounds, and each
//! flow has at most one member in a round: start-time fair queueing, where each member costs the
//! same. Flows form groups. In each round, the first member of every group comes
//! before all other members, so that a quiet group need not wait for a crowded one.
//! Within a round, members are in the order of their arrival.
//!
//! A second set has the next round of each flow and of each group, while that is ahead of the queue.

use super::Millis;

/// The virtual length of a round: so long that the rounds of two scores can be told apart by the
/// scores alone, as long as no member waits for a quarter of it (22 days).
pub(crate) const ROUND: Millis = 90 * 86_400_000;
/// The last round. Its members are in the order of their arrival. Later scores would be more than
/// 2^53, where Redis rounds them.
pub(crate) const LAST_ROUND: u64 = 1_000_000;

/// Where a new member goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) score: u64,
    pub(crate) round: u64,
}

/// The round that a queue is in, by the score of its first member.
pub(crate) fn current_round(first: u64, now: Millis) -> u64 {
    (first + ROUND / 4 * 3).saturating_sub(now) / ROUND
}

/// The place of a new member in a queue whose current round is `current`. `next` has the
/// next rounds of its flow and of its group. Without them, the member belongs to no flow and goes to
/// the end of the current round.
pub(crate) fn place(current: u64, next: Option<(u64, u64)>, now: Millis) -> Place {
    let (flow, group) = next.unwrap_or((0, u64::MAX));
    let round = current.max(flow).min(LAST_ROUND);
    let arrived = if group <= round { now.saturating_sub(ROUND / 2) } else { now };
    Place { score: arrived + round * ROUND, round }
}
