//! A batch as a call of the script, and what the script answers.

use super::{Redis, record, wake};
use crate::store::{Batch, Commit, Guard, Write, channels::channel};
use ::redis::{RedisError, Value, from_redis_value};
use bytes::Bytes;
use std::collections::HashMap;

/// The arguments of one call of the script.
pub(super) struct Call<'a> {
    store: &'a Redis,
    batch: &'a Batch,
    /// The names of KEYS, without what the store adds.
    pub(super) names: Vec<&'a str>,
    indices: HashMap<&'a str, usize>,
    pub(super) args: Vec<Bytes>,
}

impl<'a> Call<'a> {
    pub(super) fn new(store: &'a Redis, batch: &'a Batch) -> Self {
        let args = vec![
            text(batch.now),
            text(format_args!("{:016x}", batch.version)),
        ];
        let (names, indices) = (Vec::new(), HashMap::new());
        let mut call = Self {
            store,
            batch,
            names,
            indices,
            args,
        };
        batch.guards.iter().for_each(|guard| call.guard(guard));
        batch.writes.iter().for_each(|write| call.write(write));
        call
    }

    fn guard(&mut self, guard: &'a Guard) {
        match guard {
            Guard::Version { record, version } => {
                let version = version.map(|v| format!("{v:016x}")).unwrap_or_default();
                self.push("v", record, [text(version)]);
            }
            Guard::Fewer { set, than } => self.push("f", set, [text(than)]),
            Guard::Rate {
                bucket,
                interval,
                burst,
            } => {
                self.push("r", bucket, [text(interval), text(burst)]);
            }
        }
    }

    fn write(&mut self, write: &'a Write) {
        match write {
            Write::Put {
                record,
                body,
                lifetime,
            } => {
                let lifetime = lifetime
                    .map(|l| l.as_millis().to_string())
                    .unwrap_or_default();
                self.push("p", record, [text(lifetime), text(body)]);
            }
            Write::Add { set, member, score } => {
                self.push("a", set, [text(score), text(member)]);
            }
            Write::Remove { set, member } => self.push("x", set, [text(member)]),
            Write::Append { log, seq, entry } => {
                self.push("l", log, [text(seq), entry.clone()]);
            }
            Write::Trim { log, through } => self.push("t", log, [text(through + 1)]),
            Write::Delete { name } => self.push("d", name, []),
            Write::Publish { topic, payload } => {
                let channel = channel(self.batch.partition, topic);
                let channel = format!("{}:{channel}", self.store.prefix);
                let payload = wake::pack(topic, payload);
                self.args.extend([text("b"), text(channel), payload]);
            }
        }
    }

    /// Adds an operation on a key, which is named by its index in KEYS.
    fn push<const N: usize>(&mut self, operation: &str, name: &'a str, operands: [Bytes; N]) {
        let next = self.names.len() + 1;
        let index = *self.indices.entry(name).or_insert(next);
        if index == next {
            self.names.push(name);
        }
        self.args.extend([text(operation), text(index)]);
        self.args.extend(operands);
    }
}

fn text(value: impl ToString) -> Bytes {
    value.to_string().into()
}

/// Reads the script's answer.
pub(super) fn outcome(names: &[&str], reply: Vec<Value>) -> Result<Commit, RedisError> {
    let name = |index: Value| -> Result<String, RedisError> {
        let index: usize = from_redis_value(index)?;
        Ok(names.get(index - 1).copied().unwrap_or_default().to_owned())
    };
    let mut reply = reply.into_iter();
    let mut next = || reply.next().unwrap_or(Value::Nil);
    match from_redis_value::<String>(next())?.as_str() {
        "applied" => Ok(Commit::Applied),
        "full" => Ok(Commit::Full { set: name(next())? }),
        "limited" => Ok(Commit::Limited {
            bucket: name(next())?,
            retry_after: from_redis_value(next())?,
        }),
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
