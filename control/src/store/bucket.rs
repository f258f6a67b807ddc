//! The arithmetic of buckets, for SQLite. `commit.lua` has the same arithmetic for Redis.

use super::Millis;

/// How far the clocks of two controls may differ.
const SKEW: Millis = 10_000;

/// Returns until when a bucket is in use, at least `now`. `holds` is the time that the last commit
/// wrote. By this guard, a bucket can be in use for `capacity` at most; other guards of the same
/// bucket may allow up to twice as much.
pub(super) fn used_until(holds: Millis, capacity: Millis, now: Millis) -> Millis {
    let most = now + capacity;
    // The clock has gone back since that commit, for example while no control ran. If such a bucket
    // counted as full, it would stay full until the old time comes again.
    if holds > most + capacity + SKEW { now } else { holds.clamp(now, most) }
}
