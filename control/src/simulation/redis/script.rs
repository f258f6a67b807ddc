//! What the commit script does: decodes its arguments into a batch, and encodes the outcome.

use super::{
    parse_key,
    resp::{Reply, bulk, text},
    stored,
};
use crate::store::{Batch, Commit, Flow, Guard, Partition, Write};
use std::{slice::Iter, time::Duration};

/// A call of the script.
pub(super) struct Call {
    pub(super) batch: Batch,
    /// The names of KEYS.
    names: Vec<String>,
    /// How many of them are guarded records.
    records: usize,
}

/// ARGV, from the next argument on.
struct Args<'a> {
    names: &'a [String],
    rest: Iter<'a, Vec<u8>>,
}

impl Args<'_> {
    fn bytes(&mut self) -> &[u8] {
        self.rest.next().expect("an argument")
    }

    fn text(&mut self) -> String {
        text(self.bytes()).to_owned()
    }

    fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self) -> T {
        text(self.bytes()).parse().expect("a number")
    }

    fn name(&mut self) -> String {
        self.names[self.number::<usize>() - 1].clone()
    }
}

impl Call {
    /// Decodes a call: EVALSHA, the hash, the number of KEYS, KEYS and ARGV.
    pub(super) fn decode(call: &[Vec<u8>]) -> Self {
        let keys: usize = text(&call[2]).parse().expect("the number of keys");
        let (keys, args) = call[3..].split_at(keys);
        let parsed: Vec<_> = keys.iter().map(|key| parse_key(text(key))).collect();
        let partition: Partition = parsed.first().expect("every batch has a guard").0;
        let names: Vec<_> = parsed.iter().map(|(_, name)| (*name).to_owned()).collect();
        let mut args = Args { names: &names, rest: args.iter() };
        let now = args.number();
        let version = |text: &str| u64::from_str_radix(text, 16).expect("a version");
        let batch_version = version(&args.text());
        let (records, _counters): (usize, usize) = (args.number(), args.number());
        let mut batch = Batch {
            partition,
            version: batch_version,
            now,
            guards: Vec::new(),
            writes: Vec::new(),
        };
        for name in &names[..records] {
            let guarded = args.text();
            let version = (!guarded.is_empty()).then(|| version(&guarded));
            batch.guards.push(Guard::Version { record: name.clone(), version });
        }
        while args.rest.len() > 0 {
            decode_operation(&mut args, &mut batch);
        }
        Self { batch, names, records }
    }

    pub(super) fn reply(&self, commit: &Commit) -> Reply {
        let index = |name: &String| {
            let at = self.names.iter().position(|known| known == name);
            Reply::Number(at.map_or(0, |at| at as i64 + 1))
        };
        Reply::List(match commit {
            Commit::Applied => vec![bulk("applied"), Reply::Number(0)],
            Commit::Full { name } => vec![bulk("full"), index(name), Reply::Number(0)],
            Commit::Limited { bucket, retry_after } => {
                vec![bulk("limited"), index(bucket), Reply::Number(*retry_after as i64)]
            }
            Commit::Conflict(found) => {
                let records = self.names[..self.records].iter();
                let records = records.flat_map(|name| {
                    let record = found.get(name).and_then(Option::as_ref);
                    [index(name), stored(record)]
                });
                vec![bulk("conflict"), Reply::List(records.collect())]
            }
        })
    }
}

/// Decodes a guard, a check (which adds nothing) or a write.
fn decode_operation(args: &mut Args<'_>, batch: &mut Batch) {
    let letter = args.text();
    let guard = match letter.as_str() {
        "f" => Guard::Fewer { set: args.name(), min: args.number(), than: args.number() },
        "m" => Guard::Room { counter: args.name(), by: args.number(), most: args.number() },
        "r" => Guard::Rate { bucket: args.name(), interval: args.number(), burst: args.number() },
        "s" => Guard::Share {
            taken: args.name(),
            forget: args.number(),
            most: args.number(),
            bucket: args.name(),
            interval: args.number(),
            burst: args.number(),
        },
        "A" | "P" | "B" | "C" | "X" | "T" | "D" => return drop(args.text()),
        "E" | "L" => return drop((args.text(), args.text())),
        _ => return batch.writes.push(decode_write(&letter, args)),
    };
    batch.guards.push(guard);
}

fn decode_write(letter: &str, args: &mut Args<'_>) -> Write {
    match letter {
        "p" => {
            let (record, lifetime) = (args.name(), args.text());
            let lifetime = lifetime.parse().ok().map(Duration::from_millis);
            Write::Put { record, lifetime, body: args.text().into() }
        }
        "a" => {
            let (set, score) = (args.name(), args.number());
            Write::Add { set, score, member: args.text() }
        }
        "b" => Write::Publish { topic: args.text(), payload: args.bytes().to_vec().into() },
        "x" => Write::Remove { set: args.name(), member: args.text() },
        "c" => Write::Count { counter: args.name(), by: args.number() },
        "l" => {
            let (log, seq) = (args.name(), args.number());
            Write::Append { log, seq, entry: args.bytes().to_vec().into() }
        }
        "e" => {
            let (queue, rounds) = (args.name(), args.name());
            let (_round, _last_round) = (args.text(), args.text());
            let member = args.text();
            let (id, group) = (args.text(), args.text());
            let flow = (!id.is_empty()).then_some(Flow { id, group });
            Write::Enqueue { queue, rounds, member, flow }
        }
        "t" => Write::Trim { log: args.name(), through: args.number::<u64>() - 1 },
        "d" => Write::Delete { name: args.name() },
        other => panic!("the script has no {other}"),
    }
}
