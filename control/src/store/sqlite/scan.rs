//! Reads all records, a page at a time.

use crate::store::{PAGE, Record, Scanned, sqlite::now};
use rusqlite::{Connection, params};
use std::time::Duration;

/// Returns the next records after this partition and name, at most [`PAGE`]. Their kinds are in
/// `kinds`, a JSON array.
pub(super) fn page(
    connection: &Connection,
    kinds: &str,
    (partition, name): &(i32, String),
) -> rusqlite::Result<Vec<Scanned>> {
    let mut statement = connection.prepare_cached(
        "SELECT partition, name, version, body, collect_at FROM record
         WHERE (partition, name) > (?1, ?2)
             AND substr(name, 1, instr(name, ':') - 1) IN (SELECT value FROM json_each(?3))
         ORDER BY partition, name LIMIT ?4",
    )?;
    let now = now();
    let rows = statement.query_map(params![partition, name, kinds, PAGE as i64], |row| {
        let version = row.get::<_, i64>(2)? as u64;
        let collect_at = row.get::<_, Option<i64>>(4)?;
        Ok(Scanned {
            partition: row.get(0)?,
            name: row.get(1)?,
            record: Record { version, body: row.get(3)? },
            lifetime: collect_at.map(|at| Duration::from_millis((at as u64).saturating_sub(now))),
        })
    })?;
    rows.collect()
}
