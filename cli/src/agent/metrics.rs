//! The metrics of an agent: its turns, and the tokens that its model reports.

use crate::attach::Failure;
use arizuko_proto::telemetry::metrics::Registry;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Unit,
};
use std::time::Duration;

/// The values of the label `outcome`.
const OUTCOMES: [&str; 3] = ["done", "failed", "cancelled"];
/// The values of the label `kind`: tokens that a model reads, and tokens that it writes.
const KINDS: [&str; 2] = ["prompt", "completion"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// An agent's metrics. Clones share their counts.
#[derive(Clone)]
pub(super) struct Metrics {
    turns: Family<Outcome, Counter>,
    duration: Histogram,
    tokens: Family<Kind, Counter>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let metrics = Self {
            turns: Family::default(),
            duration: Histogram::new([
                0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0,
            ]),
            tokens: Family::default(),
        };
        // Each series exists from the start, at 0, since Prometheus's `rate` would miss an event
        // that created its series.
        for outcome in OUTCOMES {
            let _ = metrics.turns.get_or_create(&Outcome { outcome });
        }
        for kind in KINDS {
            let _ = metrics.tokens.get_or_create(&Kind { kind });
        }
        metrics
    }

    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("arizuko_agent");
        registry.register("turns", "Turns that have ended", self.turns.clone());
        registry.register_with_unit(
            "turn_duration",
            "Time from a turn's beginning to its end",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register("tokens", "Tokens that the model reports", self.tokens.clone());
        registry
    }

    /// Counts a turn that has ended, and records how long it took.
    pub(super) fn ended(&self, outcome: &Result<(), Failure>, is_cancelled: bool, took: Duration) {
        let outcome = match outcome {
            Ok(()) => "done",
            Err(_) if is_cancelled => "cancelled",
            Err(_) => "failed",
        };
        self.turns.get_or_create(&Outcome { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts the tokens that a model reports.
    pub(super) fn used(&self, prompt: Option<u64>, completion: Option<u64>) {
        for (kind, tokens) in KINDS.into_iter().zip([prompt, completion]) {
            let tokens = tokens.unwrap_or_default();
            self.tokens.get_or_create(&Kind { kind }).inc_by(tokens);
        }
    }
}
