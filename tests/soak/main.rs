//! Random faults under load. Not a part of `tests/run`:
//!
//!     cargo test --workspace --test soak -- [duration] [stack] [seed]
//!
//! The stack is `embedded`, `redis`, `sentinel` or `cluster`; all but the first have two controls
//! and two gateways. Visitors send messages, cancel some, read the replies at both gateways and
//! compare them; agents answer; an operator pauses and revokes links. About every second the seed
//! picks a fault, such as a process to kill or to freeze, a connection to silence, or a clock to
//! set. A run ends with a summary, or at the first promise that is broken. In either case it names
//! the seed.

#![expect(clippy::print_stdout, reason = "it tells how it goes")]

mod faults;
mod links;
mod visit;

use arizuko_proto::duration;
use arizuko_tests::prelude::*;
use arizuko_tests::run_for;
use faults::Faults;
use std::{
    collections::BTreeMap,
    env, panic,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tokio::{sync::watch, task::JoinSet};

const VISITORS: usize = 12;

const SETTINGS: [(&str, &str); 8] = [
    ("ARIZUKO_LEASE", "3s"),
    ("ARIZUKO_AGENT_HEARTBEAT", "500ms"),
    ("ARIZUKO_ATTEMPTS", "1000"),
    ("ARIZUKO_LINK_RATE", "60000"),
    ("ARIZUKO_ADDRESS_RATE", "60000"),
    ("ARIZUKO_RECHECK", "300s"),
    ("ARIZUKO_LINK_TURNS", "100000"),
    ("ARIZUKO_ADDRESS_REQUESTS", "1000000"),
];

fn main() {
    let mut arguments = env::args().skip(1);
    let length = arguments.next().unwrap_or_else(|| "2m".to_owned());
    let length = duration::parse(&length).unwrap_or_else(|wrong| panic!("{wrong}"));
    let stack = arguments.next().unwrap_or_else(|| "redis".to_owned());
    let kind = match stack.as_str() {
        "embedded" => Kind::Embedded,
        "redis" => Kind::Pair,
        "sentinel" => Kind::Sentinel,
        "cluster" => Kind::Cluster,
        other => panic!("{other} is not embedded, redis, sentinel or cluster"),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let clock = now.map_or(1, |now| now.as_secs());
    let seed = arguments.next().and_then(|seed| seed.parse().ok()).unwrap_or(clock);
    let run = format!("soak on {stack} for {}, seed {seed}", duration::print(length));
    println!("{run}");
    let (shown, failed) = (panic::take_hook(), run.clone());
    panic::set_hook(Box::new(move |panic| {
        shown(panic);
        println!("{failed}: a promise is broken");
    }));
    let limit = length + Duration::from_secs(600);
    run_for(limit, kind, |kind| soak(kind, length, Dice(seed | 1), run));
}

/// Pseudo-random numbers from a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.roll(most))
    }

    fn fork(&mut self) -> Self {
        Self(self.roll(u64::MAX) | 1)
    }
}

/// How often things happened. Clones share it.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Counts {
    fn add(&self, what: &'static str, count: usize) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what).or_default() += count;
    }
}

async fn soak(kind: Kind, length: Duration, mut dice: Dice, run: String) {
    let mut settings = SETTINGS.to_vec();
    settings.extend(match kind {
        // Primaries get lost here, so what only a primary has must not be acknowledged.
        Kind::Sentinel => Some(("ARIZUKO_DURABILITY", "replica:2")),
        Kind::Cluster => Some(("ARIZUKO_DURABILITY", "replica")),
        _ => None,
    });
    let stack = Stack::with_proxies_and_loose_clocks(kind, &settings).await;
    let (link, counts) = (stack.issue("acme").await, Counts::default());
    let (over, ending) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for number in 0..VISITORS {
        let (visitors, dice) = (stack.visitors(&link), dice.fork());
        tasks.spawn(visit::visit(number, visitors, dice, ending.clone(), counts.clone()));
    }
    let operator = links::Operator::new(&stack);
    tasks.spawn(links::pause_and_revoke(operator, dice.fork(), ending, counts.clone()));

    let (begun, mut faults) = (Instant::now(), Faults::begin(stack));
    while begun.elapsed() < length && tasks.len() > VISITORS {
        let fault = faults.make_one(&mut dice).await;
        counts.add(fault, 1);
        counts.add("faults in all", 1);
        sleep(Duration::from_millis(300) + dice.millis(1_500)).await;
        if let Some(ended) = tasks.try_join_next() {
            ended.expect("no promise is broken");
        }
    }
    over.send_replace(true);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no promise is broken");
    }
    println!("{run}: every promise was kept");
    for (what, count) in counts.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("{count:>9} {what}");
    }
}
