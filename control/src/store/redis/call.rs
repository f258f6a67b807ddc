//! Encodes a batch as a call of the script, and decodes the script's answer.

use super::{Redis, record, wake};
use crate::{
    maps::{FastMap, FastSet},
    store::{Batch, Commit, Guard, Version, Write, channels::channel, fair},
};
use ::redis::{Arg, Cmd, RedisError, Value, from_redis_value};
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// The room that a call begins with, in arguments, in bytes, and in keys: enough for a message.
const ARGS: usize = 192;
const ARGS_BYTES: usize = 4 << 10;
const KEYS: usize = 28;

/// A batch, encoded as one call of the script.
pub(super) struct Call<'a> {
    store: &'a Redis,
    batch: &'a Batch,
    /// The names of KEYS, without the store's prefix and partition.
    pub(super) names: Vec<&'a str>,
    indices: FastMap<&'a str, usize>,
    /// The checks that the call has.
    checked: FastSet<(&'static str, usize)>,
    /// The arguments after KEYS. They are kept apart, because KEYS are known only once all
    /// arguments are added.
    args: Cmd,
}

impl<'a> Call<'a> {
    pub(super) fn new(store: &'a Redis, batch: &'a Batch) -> Self {
        let mut call = Self {
            store,
            batch,
            names: Vec::with_capacity(KEYS),
            indices: FastMap::with_capacity_and_hasher(KEYS, FixedState::default()),
            checked: FastSet::with_capacity_and_hasher(KEYS, FixedState::default()),
            args: Cmd::with_capacity(ARGS, ARGS_BYTES),
        };
        call.args.arg(batch.now).arg(hexadecimal(batch.version));
        call.values();
        batch.guards.iter().for_each(|guard| call.guard(guard));
        call.checks();
        batch.writes.iter().for_each(|write| call.write(write));
        call
    }

    /// Returns the call as a command for a server that has the script.
    pub(super) fn command(&self) -> Cmd {
        let mut key = self.store.key(self.batch.partition, "");
        let prefix = key.len();
        let args = self.args.args_iter();
        let count = 3 + self.names.len() + args.len();
        let mut command = Cmd::with_capacity(count, 2 * ARGS_BYTES);
        command.arg("EVALSHA").arg(self.store.script.get_hash()).arg(self.names.len());
        for name in &self.names {
            key.truncate(prefix);
            key.push_str(name);
            command.arg(&key);
        }
        for arg in args {
            if let Arg::Simple(arg) = arg {
                command.arg(arg);
            }
        }
        command
    }

    /// Adds the keys that the script reads with MGET, which come first in KEYS: the guarded records
    /// with their versions, and the buckets and counters.
    fn values(&mut self) {
        let guards = self.batch.guards.iter();
        let guarded = guards.clone().filter_map(|guard| match guard {
            Guard::Version { record, version } => Some((record, version)),
            _ => None,
        });
        for (record, _) in guarded.clone() {
            self.index(record);
        }
        let records = self.names.len();
        let limiting = guards.flat_map(|guard| match guard {
            Guard::Room { counter: name, .. } | Guard::Rate { bucket: name, .. } => {
                [Some(name), None]
            }
            Guard::Share { taken, bucket, .. } => [Some(taken), Some(bucket)],
            Guard::Version { .. } | Guard::Fewer { .. } => [None, None],
        });
        let counted = self.batch.writes.iter().filter_map(|write| match write {
            Write::Count { counter, .. } => Some(counter),
            _ => None,
        });
        for name in limiting.flatten().chain(counted) {
            self.index(name);
        }
        self.args.arg(records).arg(self.names.len() - records);
        for (_, version) in guarded {
            self.args.arg(version.map(hexadecimal).unwrap_or_default());
        }
    }

    fn guard(&mut self, guard: &'a Guard) {
        match guard {
            Guard::Version { .. } => {}
            Guard::Fewer { set, min, than } => {
                self.operation("f", set).arg(min).arg(than);
            }
            Guard::Room { counter, by, most } => {
                self.operation("m", counter).arg(by).arg(most);
            }
            Guard::Rate { bucket, interval, burst } => {
                self.operation("r", bucket).arg(interval).arg(burst);
            }
            Guard::Share { taken, forget, most, bucket, interval, burst } => {
                self.operation("s", taken).arg(forget).arg(most);
                let index = self.index(bucket);
                self.args.arg(index).arg(interval).arg(burst);
            }
        }
    }

    /// Adds what must be checked before the first write.
    fn checks(&mut self) {
        for guard in &self.batch.guards {
            if let Guard::Rate { bucket, .. } | Guard::Share { taken: bucket, .. } = guard {
                self.check_right("P", bucket);
            }
        }
        for write in &self.batch.writes {
            match write {
                Write::Put { record, .. } => self.check_right("P", record),
                Write::Add { set, .. } => drop(self.check("A", set)),
                Write::Enqueue { queue, rounds, .. } => {
                    let rounds_index = self.index(rounds);
                    if let Some(args) = self.check("E", queue) {
                        args.arg(rounds_index);
                    }
                    self.check("A", queue);
                    self.check("A", rounds);
                }
                Write::Remove { set, .. } => {
                    self.check("A", set);
                    self.check_right("X", set);
                }
                Write::Count { counter, .. } => drop(self.check("C", counter)),
                Write::Append { log, seq, .. } => {
                    if let Some(args) = self.check("L", log) {
                        args.arg(seq);
                    }
                }
                Write::Trim { log, .. } => drop(self.check("T", log)),
                Write::Delete { name } => self.check_right("D", name),
                Write::Publish { topic, .. } => {
                    if self.checked.insert(("B", 0)) {
                        let channel = self.channel(topic);
                        self.args.arg("B").arg(channel);
                    }
                }
            }
        }
    }

    /// Adds a check of a right that doesn't depend on the key, unless the call has it already.
    fn check_right(&mut self, letter: &'static str, name: &'a str) {
        if self.checked.insert((letter, 0)) {
            self.operation(letter, name);
        }
    }

    /// Adds a check of a key, unless the call has it already. More operands may follow.
    fn check(&mut self, letter: &'static str, name: &'a str) -> Option<&mut Cmd> {
        let index = self.index(name);
        let is_new = self.checked.insert((letter, index));
        is_new.then(|| self.operation(letter, name))
    }

    /// Returns the channel of a topic.
    fn channel(&self, topic: &str) -> String {
        format!("{}:{}", self.store.prefix, channel(self.batch.partition, topic))
    }

    fn write(&mut self, write: &'a Write) {
        match write {
            Write::Put { record, body, lifetime } => {
                // Redis refuses a lifetime of 0.
                let lifetime = lifetime.map(|l| l.as_millis().max(1).to_string());
                let lifetime = lifetime.unwrap_or_default();
                self.operation("p", record).arg(lifetime).arg(&**body);
            }
            Write::Add { set, member, score } => {
                self.operation("a", set).arg(score).arg(member);
            }
            Write::Enqueue { queue, rounds, member, flow } => {
                self.operation("e", queue);
                let rounds = self.index(rounds);
                let (id, group) =
                    flow.as_ref().map_or(("", ""), |flow| (flow.id.as_str(), flow.group.as_str()));
                let args = self.args.arg(rounds).arg(fair::ROUND).arg(fair::LAST_ROUND);
                args.arg(member).arg(id).arg(group);
            }
            Write::Remove { set, member } => {
                self.operation("x", set).arg(member);
            }
            Write::Count { counter, by } => {
                self.operation("c", counter).arg(by);
            }
            Write::Append { log, seq, entry } => {
                self.operation("l", log).arg(seq).arg(&entry[..]);
            }
            Write::Trim { log, through } => {
                self.operation("t", log).arg(through + 1);
            }
            Write::Delete { name } => {
                self.operation("d", name);
            }
            Write::Publish { topic, payload } => {
                let channel = self.channel(topic);
                let payload = wake::pack(topic, payload);
                self.args.arg("b").arg(channel).arg(&payload[..]);
            }
        }
    }

    /// Begins an operation on a key, which is given by its index in KEYS. More operands may follow.
    fn operation(&mut self, letter: &str, name: &'a str) -> &mut Cmd {
        let index = self.index(name);
        self.args.arg(letter).arg(index)
    }

    /// Returns the index of a key in KEYS, counted from 1. Adds the key if it is new.
    fn index(&mut self, name: &'a str) -> usize {
        let next = self.names.len() + 1;
        let index = *self.indices.entry(name).or_insert(next);
        if index == next {
            self.names.push(name);
        }
        index
    }
}

/// Writes a version as the script compares it.
fn hexadecimal(version: Version) -> String {
    format!("{version:016x}")
}

/// Decodes the script's answer. `names` are those of KEYS.
pub(super) fn outcome(names: &[&str], reply: Vec<Value>) -> Result<Commit, RedisError> {
    let name = |index: Value| -> Result<String, RedisError> {
        let index: usize = from_redis_value(index)?;
        Ok(names.get(index - 1).copied().unwrap_or_default().to_owned())
    };
    let mut reply = reply.into_iter();
    let mut next = || reply.next().unwrap_or(Value::Nil);
    match from_redis_value::<String>(next())?.as_str() {
        "applied" => {
            let dropped: u64 = from_redis_value(next())?;
            if dropped > 0 {
                tracing::warn!(dropped, "dropped log entries that no record refers to");
            }
            Ok(Commit::Applied)
        }
        "full" => Ok(Commit::Full { name: name(next())? }),
        "limited" => {
            Ok(Commit::Limited { bucket: name(next())?, retry_after: from_redis_value(next())? })
        }
        _ => {
            let mut records = HashMap::new();
            let mut guarded = from_redis_value::<Vec<Value>>(next())?.into_iter();
            while let (Some(index), Some(value)) = (guarded.next(), guarded.next()) {
                records.insert(name(index)?, record(value)?);
            }
            Ok(Commit::Conflict(records))
        }
    }
}
