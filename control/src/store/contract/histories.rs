//! Applies random histories to both stores and the model, and compares them after every step.

use super::{Model, Server, put, sqlite};
use crate::store::{Batch, Commit, Flow, Found, Guard, Order, Read, Store, Version, Write};
use proptest::{prelude::*, test_runner::Config};
use std::{collections::HashMap, time::Duration};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A step that is valid in every state.
#[derive(Clone, Debug)]
enum Step {
    Put { name: usize, expect: Expect },
    Delete { name: usize },
    Member { set: usize, member: usize, score: u64, than: Option<u32> },
    Remove { set: usize, member: usize },
    Enqueue { member: usize, flow: Option<(usize, usize)>, later: u64 },
    Append { log: usize },
    Trim { log: usize, back: u64 },
    Rate { bucket: usize, later: u64 },
    Share { sender: usize, later: u64 },
    Count { counter: usize, by: i64, most: u64 },
}

/// Which version a put expects.
#[derive(Clone, Debug)]
enum Expect {
    Anything,
    Current,
    Absent,
    Other,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    let expect = prop_oneof![
        Just(Expect::Anything),
        Just(Expect::Current),
        Just(Expect::Absent),
        Just(Expect::Other)
    ];
    prop_oneof![
        (name.clone(), expect).prop_map(|(name, expect)| Step::Put { name, expect }),
        name.clone().prop_map(|name| Step::Delete { name }),
        (name.clone(), 0..4_usize, 0..9_u64, proptest::option::of(0..4_u32))
            .prop_map(|(set, member, score, than)| Step::Member { set, member, score, than }),
        (name.clone(), 0..4_usize).prop_map(|(set, member)| Step::Remove { set, member }),
        (0..4_usize, proptest::option::of((0..3_usize, 0..2_usize)), 0..3_u64)
            .prop_map(|(member, flow, later)| Step::Enqueue { member, flow, later }),
        name.clone().prop_map(|log| Step::Append { log }),
        (name.clone(), 0..5_u64).prop_map(|(log, back)| Step::Trim { log, back }),
        (name.clone(), 0..3_000_000_u64).prop_map(|(bucket, later)| Step::Rate { bucket, later }),
        (name.clone(), 0..1_000_000_u64).prop_map(|(sender, later)| Step::Share { sender, later }),
        (name, -5..9_i64, 0..20_u64).prop_map(|(counter, by, most)| Step::Count {
            counter,
            by,
            most
        }),
    ]
}

/// The state after the steps so far, as far as the next step depends on it.
#[derive(Default)]
struct State {
    now: u64,
    versions: HashMap<String, Version>,
    heads: [u64; NAMES.len()],
}

impl State {
    fn batch(&mut self, number: u64, step: &Step) -> Batch {
        let named = |kind: &str, index: usize| format!("{kind}:{}", NAMES[index]);
        let (mut guards, mut writes) = (Vec::new(), Vec::new());
        match step {
            Step::Put { name, expect } => {
                let record = named("record", *name);
                let current = self.versions.get(&record).copied();
                let version = match expect {
                    Expect::Anything => None,
                    Expect::Current => Some(current),
                    Expect::Absent => Some(None),
                    Expect::Other => Some(Some(number + 1_000)),
                };
                guards.extend(
                    version.map(|version| Guard::Version { record: record.clone(), version }),
                );
                let body = format!("{{\"step\":{number}}}").into();
                let lifetime = number.is_multiple_of(2).then_some(Duration::from_secs(3_600));
                writes.push(Write::Put { record, body, lifetime });
            }
            Step::Delete { name } => {
                for kind in ["record", "set"] {
                    writes.push(Write::Delete { name: named(kind, *name) });
                }
            }
            Step::Member { set, member, score, than } => {
                let (set, member) = (named("set", *set), format!("m{member}"));
                // With `min` 0, the embedded store takes the set's size and doesn't count members.
                let min = if number.is_multiple_of(2) { 0 } else { 3 };
                guards.extend(than.map(|than| Guard::Fewer { set: set.clone(), min, than }));
                writes.push(Write::Add { set, member, score: *score });
            }
            Step::Remove { set, member } => {
                writes
                    .push(Write::Remove { set: named("set", *set), member: format!("m{member}") });
            }
            Step::Enqueue { member, flow, later } => {
                self.now += later;
                // The queue is one of the sets that other steps change as well.
                writes.push(Write::Enqueue {
                    queue: named("set", 0),
                    rounds: named("set", 1),
                    member: format!("m{member}"),
                    flow: flow.map(|(id, group)| Flow {
                        id: format!("f{id}"),
                        group: format!("g{group}"),
                    }),
                });
            }
            Step::Append { log } => {
                self.heads[*log] += 1;
                let (seq, entry) = (self.heads[*log], format!("step {number}").into());
                writes.push(Write::Append { log: named("log", *log), seq, entry });
            }
            Step::Trim { log, back } => {
                let through = self.heads[*log].saturating_sub(*back);
                writes.push(Write::Trim { log: named("log", *log), through });
            }
            Step::Rate { bucket, later } => {
                self.now += later;
                guards.push(Guard::Rate {
                    bucket: named("rate", *bucket),
                    // Long enough that no bucket is collected while the test runs.
                    interval: 1_000_000,
                    burst: 2,
                });
                writes.push(put("record:rate", &number.to_string()));
            }
            Step::Share { sender, later } => {
                self.now += later;
                let (interval, burst) = (1_000_000, 5);
                let bucket = "rate:link".to_owned();
                guards.push(Guard::Rate { bucket: bucket.clone(), interval, burst });
                let taken = named("taken", *sender);
                let forget = 3_000_000;
                guards.push(Guard::Share { taken, forget, most: 4, bucket, interval, burst });
                writes.push(put("record:rate", &number.to_string()));
            }
            Step::Count { counter, by, most } => {
                let (counter, by) = (named("counter", *counter), *by);
                let room =
                    Guard::Room { counter: counter.clone(), by: by.max(0) as u64, most: *most };
                guards.push(room);
                writes.push(Write::Count { counter, by });
            }
        }
        Batch { partition: 1, version: number, now: self.now, guards, writes }
    }

    fn note(&mut self, batch: &Batch) {
        for write in &batch.writes {
            match write {
                Write::Put { record, .. } => {
                    self.versions.insert(record.clone(), batch.version);
                }
                Write::Delete { name } => {
                    self.versions.remove(name);
                }
                _ => {}
            }
        }
    }
}

async fn everything(store: &dyn Store) -> Vec<Found> {
    let reads = NAMES.iter().flat_map(|name| {
        let (set, log) = (format!("set:{name}"), format!("log:{name}"));
        [
            Read::Record(format!("record:{name}")),
            Read::Count(format!("counter:{name}")),
            Read::Set { set, min: 0, max: u64::MAX, limit: 99, order: Order::LowestFirst },
            Read::Log { log, after: 0, limit: 99 },
        ]
    });
    store.load(1, &reads.collect::<Vec<_>>()).await.expect("the store is in reach")
}

async fn compare(server: &Server, steps: &[Step]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sqlite = sqlite(&folder.path().join("data"));
    // Redis is opened before it is cleared, because opening waits until the server answers.
    let redis = server.open().await;
    server.clear();
    let model = Model::new(sqlite.now());
    // The history begins at the real time, so that no record or bucket expires before it ends.
    let mut state = State { now: sqlite.now(), ..State::default() };
    for (number, step) in (1..).zip(steps) {
        let batch = state.batch(number, step);
        let ours = sqlite.commit(&batch).await.expect("the store is in reach");
        let theirs = redis.commit(&batch).await.expect("the store is in reach");
        prop_assert_eq!(&ours, &theirs, "step {} {:?}", number, step);
        prop_assert_eq!(&ours, &model.apply(&batch), "step {} {:?}, in the model", number, step);
        if ours == Commit::Applied {
            state.note(&batch);
        }
        let found = everything(&sqlite).await;
        prop_assert_eq!(&found, &everything(&redis).await, "step {} {:?}", number, step);
        prop_assert_eq!(
            &found,
            &everything(&model).await,
            "step {} {:?}, in the model",
            number,
            step
        );
    }
    Ok(())
}

#[test]
fn all_stores_do_the_same_in_any_history() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = Server::start();
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    proptest!(config, |(steps in proptest::collection::vec(step(), 1..40))| {
        runtime.block_on(compare(&server, &steps))?;
    });
}
