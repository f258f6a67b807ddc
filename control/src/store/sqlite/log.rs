//! The write-ahead log beside the store's file, and whether the file is whole without it.

use super::{PATIENCE, backup::beside};
use anyhow::ensure;
use rusqlite::Connection;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The mark (SQLite's `user_version`) in the file itself while the log holds writes that the file
/// lacks. The log then holds the mark [`WHOLE`]. So the file is marked as lacking something until
/// all of the log has been moved into it, whichever process does that.
const LACKING: u32 = 1;
/// The mark of a file that lacks nothing.
const WHOLE: u32 = 0;
/// How many bytes the log may grow by before it is moved into the file. The longer the log, the
/// more often it has the same pages, which are then moved only once.
const BYTES: u64 = 32 << 20;

/// The log of a store.
pub(super) struct Log {
    path: PathBuf,
    /// Whether the log was there before the store was opened.
    was_there: bool,
    /// How many bytes the log may have before it is moved.
    full_at: u64,
}

impl Log {
    /// Looks for the log of a store that is about to be opened.
    pub(super) fn of(store: &Path) -> Self {
        let path = beside(store, "-wal");
        Self { was_there: path.exists(), path, full_at: BYTES }
    }

    /// Refuses a file that has lost its log. Moves an existing log into the file, and begins a new
    /// log.
    pub(super) fn begin(&self, connection: &Connection) -> anyhow::Result<()> {
        let mark: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        ensure!(
            self.was_there || mark == WHOLE,
            "{} is lost, and with it what was written last: put it back, or restore a backup",
            self.path.display()
        );
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(empty(connection)?)
    }

    /// Moves the log into the file if the log is long. Doesn't wait for a reader that still needs
    /// the log: then the log isn't shortened.
    pub(super) fn tidy(&mut self, connection: &Connection) {
        let bytes = || fs::metadata(&self.path).map_or(0, |log| log.len());
        if bytes() < self.full_at {
            return;
        }
        let emptied = connection.busy_timeout(Duration::ZERO).and_then(|()| empty(connection));
        if let Err(error) = emptied.and(connection.busy_timeout(PATIENCE)) {
            tracing::warn!(%error, "cannot move the store's log into its file");
        }
        self.full_at = bytes() + BYTES;
    }
}

/// Moves the log into the file, which is whole from then on. If that fails, SQLite does it when the
/// last connection is closed.
pub(super) fn end(connection: &Connection) -> rusqlite::Result<()> {
    // `empty` sets this mark, too, but may have failed on a full disk.
    connection.pragma_update(None, "user_version", WHOLE)?;
    move_into_file(connection)
}

fn empty(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", LACKING)?;
    let moved = move_into_file(connection);
    connection.pragma_update(None, "user_version", WHOLE)?;
    moved
}

fn move_into_file(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
