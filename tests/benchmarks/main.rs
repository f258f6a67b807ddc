//! How fast arizuko is, as ratios to floors that run beside it. Started by `tests/bench`.
//!
//! A row with floors measures its subject and the floors in turn, for several rounds, and is the
//! median of the rounds' ratios: on a shared machine, only values that were measured side by side
//! can be compared. The other rows are absolute numbers. The load comes from this program; the
//! floors are this program, too, as processes of their own.

#![expect(clippy::print_stdout, reason = "it prints its results")]

mod agent;
mod floor;
mod frames;
mod http;
mod kept;
mod live;
mod load;
mod overdue;
mod overload;
mod plot;
mod replica;
mod report;
mod rows;
mod servers;
mod streams;

use report::Report;
use std::{env, fs, time::Duration};

/// How long, how often and at what size everything is measured.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// How long one measurement takes.
    pub(crate) length: Duration,
    pub(crate) rounds: usize,
    /// How many event streams are open at once where the row is about open streams; fewer where a
    /// process can't open that many files.
    pub(crate) streams: usize,
    /// How many turns the store keeps at the end of the row about kept turns.
    pub(crate) kept: f64,
    /// How many links are revoked at once.
    pub(crate) links: usize,
    /// How many turns are overdue at once.
    pub(crate) overdue: usize,
    /// After how long they are overdue: late enough that all are posted before.
    pub(crate) deadline: Duration,
}

const WHOLE: Plan = Plan {
    length: Duration::from_secs(4),
    rounds: 5,
    streams: 10_000,
    kept: 100_000.0,
    links: 10_000,
    overdue: 100_000,
    deadline: Duration::from_secs(90),
};
const QUICK: Plan = Plan {
    length: Duration::from_secs(1),
    rounds: 3,
    streams: 1_000,
    kept: 5_000.0,
    links: 1_000,
    overdue: 10_000,
    deadline: Duration::from_secs(15),
};

const USAGE: &str = "\
Usage: tests/bench [--quick] [ROW…]

Measures the release build in alternation with floors, and prints a Markdown table with the goals.
Writes the table to target/bench/results.md, every round to target/bench/results.json, and plots
(SVG) beside them. Needs what tests/run installs and, for the frames, nginx's module nchan: Debian's
package libnginx-mod-nchan.

  ROW      measure only these: post, turn, page, streams, links, agents, kept, overdue, frames or
           overload
  --quick  shorter and fewer rounds: under two minutes
  --help   print this
";

fn main() {
    let mut words: Vec<String> = env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "floor") {
        return runtime().block_on(floor::serve(&words[1..]));
    }
    if words.iter().any(|word| word == "--help") {
        print!("{USAGE}");
        return;
    }
    let whole = words.len();
    words.retain(|word| word != "--quick");
    let plan = if words.len() < whole { QUICK } else { WHOLE };
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    assert!(
        !wanted("frames") || live::has_nchan(),
        "the rows about frames need nchan: apt install libnginx-mod-nchan"
    );
    let mut report = Report::default();
    runtime().block_on(rows::measure(plan, &wanted, &mut report));
    let folder = servers::workspace().join("target/bench");
    fs::create_dir_all(&folder).expect("target is ours");
    fs::write(folder.join("results.md"), report.table()).expect("target is ours");
    fs::write(folder.join("results.json"), report.json()).expect("target is ours");
    println!("\n{}", report.table());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("the system has a few threads")
}
