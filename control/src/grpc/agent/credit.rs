//! How many turns an agent would take now.

use crate::metrics::Metrics;
use arizuko_proto::telemetry::metrics::Share;

const MOST: u32 = 10_000;

/// See the module. It is a part of what is counted for as long as it lives.
pub(super) struct Credit {
    turns: u32,
    counted: Share,
}

impl Credit {
    pub(super) fn new(metrics: &Metrics, turns: u32) -> Self {
        let turns = turns.min(MOST);
        let counted = Share::of(&metrics.credit, turns);
        Self { turns, counted }
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.turns == 0
    }

    pub(super) fn add(&mut self, turns: u32) {
        self.set(self.turns.saturating_add(turns).min(MOST));
    }

    /// The agent gets a turn.
    pub(super) fn take(&mut self) {
        self.set(self.turns.saturating_sub(1));
    }

    fn set(&mut self, turns: u32) {
        self.turns = turns;
        self.counted.set(turns);
    }
}
