//! The results: a table for people, and every round for programs.

#![expect(clippy::print_stdout, reason = "each row is printed when it is measured")]

use serde_json::{Value, json};
use std::fmt::Write as _;

/// The goal of a row, with which the median of its rounds is compared.
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
    /// More of what the last round measured; empty: nothing.
    detail: String,
}

impl Report {
    pub(crate) fn add(&mut self, name: &'static str, goal: Goal, rounds: Vec<f64>, detail: String) {
        let row = Row { name, goal, rounds, detail };
        println!("{}", row.line());
        self.0.push(row);
    }

    /// Returns a Markdown table of the medians with their spread.
    pub(crate) fn table(&self) -> String {
        let mut table = String::from(
            "| | goal | median | lowest–highest | in the last round |\n|---|---|---|---|---|\n",
        );
        for row in &self.0 {
            let _ = writeln!(table, "{}", row.line());
        }
        table
    }

    pub(crate) fn json(&self) -> String {
        let rows: Vec<Value> = self.0.iter().map(Row::json).collect();
        serde_json::to_string_pretty(&rows).expect("numbers and texts are JSON")
    }
}

impl Row {
    fn line(&self) -> String {
        let Self { name, goal, rounds, detail } = self;
        let lowest = rounds.iter().copied().fold(f64::MAX, f64::min);
        let highest = rounds.iter().copied().fold(f64::MIN, f64::max);
        let (median, goal_text) = (median(rounds), goal.text());
        let met = if goal.is_met(median) { "" } else { " ✗" };
        let (median, lowest, highest) = (number(median), number(lowest), number(highest));
        format!("| {name} | {goal_text} | {median}{met} | {lowest}–{highest} | {detail} |")
    }

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

/// Writes a number with about three significant digits: all whole digits, and at most three
/// decimals.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
