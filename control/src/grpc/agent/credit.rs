//! An agent's credit: how many more turns control may deliver to it.

use arizuko_proto::telemetry::metrics::Share;
use prometheus_client::metrics::gauge::Gauge;

/// How many turns an agent's credit holds, at most.
const MOST: u32 = 10_000;

/// The credit of one agent, which also counts in the gauge of its tenant's credit.
pub(super) struct Credit {
    turns: u32,
    counted: Share,
}

impl Credit {
    pub(super) fn new(gauge: &Gauge) -> Self {
        Self { turns: 0, counted: Share::of(gauge, 0) }
    }

    pub(super) fn turns(&self) -> u32 {
        self.turns
    }

    pub(super) fn add(&mut self, turns: u32) {
        self.set(self.turns.saturating_add(turns).min(MOST));
    }

    /// Uses up one turn of the credit, for a turn that is delivered.
    pub(super) fn take(&mut self) {
        self.set(self.turns.saturating_sub(1));
    }

    fn set(&mut self, turns: u32) {
        self.turns = turns;
        self.counted.set(turns);
    }
}
