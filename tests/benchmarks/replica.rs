//! Frames while the replica that vouches for them is far away.

use crate::{
    Plan, agent, frames,
    report::{
        Goal::{AtLeast, AtMost},
        Report,
    },
    servers::Topology,
};
use std::time::Duration;

/// How long data takes to reach the replica. Its acknowledgements take no time.
const ROUND_TRIP: Duration = Duration::from_millis(5);
/// How many turns run at a time, and how often each gets a frame: 5,000 frames a second.
const TURNS: u32 = agent::CREDIT;
const EVERY: Duration = Duration::from_micros(12_800);

/// Measures how late frames are at their readers with `--durability replica`.
pub(crate) async fn measure(plan: Plan, report: &mut Report) {
    let topology = Topology::with_replica(ROUND_TRIP).await;
    let (_agent, turns) = frames::turns(&topology, "acme", TURNS).await;
    let frames = frames::run(turns, EVERY, plan.length * 2, &topology.processes()).await;
    let in_trips = |quantile| {
        frames.latencies.value_at_quantile(quantile) as f64 / ROUND_TRIP.as_micros() as f64
    };
    let rate = vec![frames.per_second];
    report.add("frames a second, 5 ms from the replica", AtLeast(4_900.0), rate, String::new());
    report.add(
        "their lag ÷ round trip to the replica: median",
        AtMost(3.0),
        vec![in_trips(0.5)],
        String::new(),
    );
    report.add(
        "their lag ÷ round trip to the replica: p99",
        AtMost(3.0),
        vec![in_trips(0.99)],
        String::new(),
    );
}
