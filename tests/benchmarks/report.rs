//! The results: a table for people, and every round for programs.

use serde_json::{Value, json};
use std::fmt::Write as _;

/// What a row is held against.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

struct Row {
    name: &'static str,
    goal: Goal,
    rounds: Vec<f64>,
    /// The measurements behind the ratio, as of the last round.
    detail: String,
}

impl Report {
    pub(crate) fn add(&mut self, name: &'static str, goal: Goal, rounds: Vec<f64>, detail: String) {
        self.0.push(Row { name, goal, rounds, detail });
    }

    /// Returns a Markdown table of the medians with their spread.
    pub(crate) fn table(&self) -> String {
        let mut table = String::from(
            "| | goal | median | lowest–highest | in the last round |\n|---|---|---|---|---|\n",
        );
        for row in &self.0 {
            let (lowest, highest) = row
                .rounds
                .iter()
                .fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(*at), high.max(*at)));
            let _ = writeln!(
                table,
                "| {} | {} | {}{} | {}–{} | {} |",
                row.name,
                row.goal.text(),
                number(median(&row.rounds)),
                if row.goal.is_met(median(&row.rounds)) { "" } else { " ✗" },
                number(lowest),
                number(highest),
                row.detail,
            );
        }
        table
    }

    pub(crate) fn json(&self) -> String {
        let rows: Vec<Value> = self.0.iter().map(Row::json).collect();
        serde_json::to_string_pretty(&rows).expect("numbers and texts are JSON")
    }
}

impl Row {
    fn json(&self) -> Value {
        let Self { name, goal, rounds, detail } = self;
        json!({
            "row": name,
            "goal": goal.text(),
            "median": median(rounds),
            "rounds": rounds,
            "last_round": detail,
        })
    }
}

impl Goal {
    fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {}", number(most)),
            Self::AtLeast(least) => format!("≥ {}", number(least)),
        }
    }

    fn is_met(self, median: f64) -> bool {
        match self {
            Self::AtMost(most) => median <= most,
            Self::AtLeast(least) => median >= least,
        }
    }
}

fn median(rounds: &[f64]) -> f64 {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Writes a number with three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
