//! How many members some sets have, so that the writer need not count them for every commit.

use crate::store::Partition;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::HashMap;

/// How many sizes are kept, at most.
const MOST: usize = 10_000;

/// The sizes of sets with a limit. Only the writer changes sets, so the sizes stay true, unless a
/// transaction fails: then [`forget_all`](Self::forget_all) must be called.
#[derive(Default)]
pub(super) struct Sizes(HashMap<(Partition, String), u64>);

impl Sizes {
    /// Returns how many members a set has, and follows its size from now on.
    pub(super) fn of(
        &mut self,
        connection: &Connection,
        p: Partition,
        set: &str,
    ) -> rusqlite::Result<u64> {
        let key = (p, set.to_owned());
        if let Some(size) = self.0.get(&key) {
            return Ok(*size);
        }
        let sql = "SELECT count(*) FROM member WHERE set_name = ?1 AND partition = ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let size = statement.query_row(params![set, p], |row| row.get::<_, i64>(0))? as u64;
        if self.0.len() >= MOST {
            self.forget_all();
        }
        self.0.insert(key, size);
        Ok(size)
    }

    /// Notes that a member is about to be added, or to get another score.
    pub(super) fn adding(
        &mut self,
        connection: &Connection,
        p: Partition,
        set: &str,
        member: &str,
    ) -> rusqlite::Result<()> {
        if let Some(size) = self.0.get_mut(&(p, set.to_owned())) {
            let sql = "SELECT 1 FROM member WHERE partition = ?1 AND set_name = ?2 AND name = ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let known = statement.query_row(params![p, set, member], |_| Ok(())).optional()?;
            *size += u64::from(known.is_none());
        }
        Ok(())
    }

    /// Notes that `count` members were removed.
    pub(super) fn removed(&mut self, p: Partition, set: &str, count: usize) {
        if let Some(size) = self.0.get_mut(&(p, set.to_owned())) {
            *size = size.saturating_sub(count as u64);
        }
    }

    /// Stops following a set.
    pub(super) fn forget(&mut self, p: Partition, set: &str) {
        self.0.remove(&(p, set.to_owned()));
    }

    /// Stops following all sets.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }
}
