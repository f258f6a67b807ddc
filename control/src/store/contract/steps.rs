//! Shorthands for the contract's tests.

use crate::store::{Batch, Commit, Found, Guard, Order, Read, Record, Store, Write, sqlite};

pub(super) fn batch(version: u64, guards: Vec<Guard>, writes: Vec<Write>) -> Batch {
    Batch { partition: 3, version, now: sqlite::now(), guards, writes }
}

pub(super) fn put(record: &str, body: &str) -> Write {
    Write::Put { record: record.to_owned(), body: body.into(), lifetime: None }
}

pub(super) fn add(set: &str, member: &str, score: u64) -> Write {
    Write::Add { set: set.to_owned(), member: member.to_owned(), score }
}

pub(super) fn append(log: &str, seq: u64) -> Write {
    Write::Append { log: log.to_owned(), seq, entry: format!("entry {seq} \0\u{e9}").into() }
}

pub(super) fn at(record: &str, version: Option<u64>) -> Guard {
    Guard::Version { record: record.to_owned(), version }
}

pub(super) async fn apply(store: &dyn Store, batch: Batch) -> Commit {
    store.commit(&batch).await.expect("the store is in reach")
}

pub(super) async fn load(store: &dyn Store, read: Read) -> Found {
    store.load(3, &[read]).await.expect("the store is in reach").remove(0)
}

pub(super) async fn record(store: &dyn Store, name: &str) -> Option<Record> {
    match load(store, Read::Record(name.to_owned())).await {
        Found::Record(record) => record,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn set(
    store: &dyn Store,
    name: &str,
    min: u64,
    max: u64,
    limit: u32,
) -> Vec<(String, u64)> {
    ordered(store, name, (min, max), limit, Order::LowestFirst).await
}

pub(super) async fn ordered(
    store: &dyn Store,
    name: &str,
    (min, max): (u64, u64),
    limit: u32,
    order: Order,
) -> Vec<(String, u64)> {
    let set = name.to_owned();
    match load(store, Read::Set { set, min, max, limit, order }).await {
        Found::Set(members) => members.into_iter().map(|m| (m.name, m.score)).collect(),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn log(store: &dyn Store, name: &str, after: u64, limit: u32) -> Vec<u64> {
    match load(store, Read::Log { log: name.to_owned(), after, limit }).await {
        Found::Log(entries) => {
            for (seq, entry) in &entries {
                assert_eq!(entry, format!("entry {seq} \0\u{e9}").as_bytes());
            }
            entries.into_iter().map(|(seq, _)| seq).collect()
        }
        other => panic!("{other:?}"),
    }
}
