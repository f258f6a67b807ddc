//! The embedded store: one SQLite file, one writer thread, one process.
//!
//! The writer takes the batches that wait and commits them in one transaction, so that many batches
//! share one fsync (group commit). Readers have threads of their own and see what is committed.

use super::channels::{self, Channels, Subscription};
use super::steady::{Reading, SteadyClock, uptime};
use super::{
    Batch, Commit, Found, Member, Millis, Order, Partition, Read, Record, Scanned, Store,
    StoreError,
};
use anyhow::Context;
use arizuko_proto::private;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    ops::RangeInclusive,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, mpsc},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::oneshot;

mod apply;
mod backup;
mod log;
mod scan;
mod sizes;
mod words;
mod writer;

pub use backup::{backup, restore, snapshot};
use log::Log;
pub(crate) use words::Texts;
use writer::Task;

/// The name of the store's file in its folder.
pub const FILE: &str = "arizuko.db";
/// The name of the file that a process locks while it uses the folder.
const LOCK: &str = "lock";

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS record (
        partition INTEGER, name TEXT, version INTEGER NOT NULL, body TEXT NOT NULL,
        collect_at INTEGER, PRIMARY KEY (partition, name)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS record_collect_at ON record (collect_at)
        WHERE collect_at IS NOT NULL;
    CREATE TABLE IF NOT EXISTS member (
        partition INTEGER, set_name TEXT, name TEXT, score INTEGER NOT NULL,
        PRIMARY KEY (partition, set_name, name)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS member_score ON member (set_name, partition, score, name);
    CREATE TABLE IF NOT EXISTS entry (
        partition INTEGER, log TEXT, seq INTEGER, entry BLOB NOT NULL,
        PRIMARY KEY (partition, log, seq)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS bucket (
        partition INTEGER, name TEXT, full_at INTEGER NOT NULL,
        PRIMARY KEY (partition, name)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS bucket_full_at ON bucket (full_at);
    CREATE TABLE IF NOT EXISTS counter (
        partition INTEGER, name TEXT, value INTEGER NOT NULL,
        PRIMARY KEY (partition, name)) WITHOUT ROWID;
";

/// How long to wait for another process that has the file locked, such as sqlite3.
const PATIENCE: Duration = Duration::from_secs(5);
const READERS: usize = 2;
/// How much of the file the writer keeps in memory, at most: in KiB, which SQLite writes as a
/// negative number. With SQLite's default of 2 MB, the writer reads most pages again for every
/// group.
const WRITER_CACHE: i32 = -(16 << 10);

type Query = Box<dyn FnOnce(&Connection) + Send>;

/// The embedded store.
pub(crate) struct Sqlite {
    path: PathBuf,
    writer: mpsc::Sender<Task>,
    readers: Vec<mpsc::Sender<Query>>,
    next_reader: std::sync::atomic::AtomicUsize,
    channels: Arc<Channels>,
    /// Locked while the store is open, so that a second process is refused.
    _lock: File,
}

/// Makes the store's folder, for this user alone, if it is missing. Refuses a folder that others
/// can read or write.
fn make_folder(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))?;
    private::check_folder(folder)
}

impl Sqlite {
    /// Opens the store in `folder`. Creates the folder and the store if they are missing.
    pub(crate) fn open(folder: &Path, texts: Texts) -> anyhow::Result<Self> {
        make_folder(folder)?;
        private::check_owner(folder)?;
        let lock = lock(folder)?;
        let path = folder.join(FILE);
        // SQLite's other files take their permissions from this one.
        private(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let channels = Arc::new(Channels::default());

        let log = Log::of(&path);
        let cannot = || format!("cannot use the store in {}", path.display());
        let connection = begin(&path, &log, &texts).with_context(cannot)?;
        let (writer, tasks) = mpsc::channel();
        let published = channels.clone();
        thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || writer::run(connection, log, texts, &tasks, &published))?;

        let mut readers = Vec::new();
        for number in 0..READERS {
            let connection = connect(&path).with_context(cannot)?;
            let (reader, queries) = mpsc::channel::<Query>();
            thread::Builder::new()
                .name(format!("sqlite-reader-{number}"))
                .spawn(move || queries.iter().for_each(|query| query(&connection)))?;
            readers.push(reader);
        }
        Ok(Self { path, writer, readers, next_reader: 0.into(), channels, _lock: lock })
    }

    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let turn = self.next_reader.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let job: Query = Box::new(move |connection| {
            let _ = reply.send(query(connection));
        });
        // Sending or receiving fails only if the thread is gone, and then nothing was read.
        let sent = self.readers[turn % READERS].send(job);
        sent.map_err(|_| gone())?;
        let result = answer.await.map_err(|_| gone())?;
        result.map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

#[async_trait]
impl Store for Sqlite {
    fn describe(&self) -> String {
        format!("embedded store in {}", self.path.display())
    }

    fn now(&self) -> Millis {
        now()
    }

    async fn load(&self, partition: Partition, reads: &[Read]) -> Result<Vec<Found>, StoreError> {
        let reads = reads.to_vec();
        self.query(move |connection| reads.iter().map(|r| read(connection, partition, r)).collect())
            .await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(Task::Commit(batch.clone(), reply)).map_err(|_| gone())?;
        // The writer answers after COMMIT or after ROLLBACK, so the outcome is in doubt only if the
        // writer died.
        let result =
            answer.await.map_err(|_| StoreError::Unknown("the writer ended".to_owned()))?;
        result.map_err(StoreError::Unavailable)
    }

    async fn gather(
        &self,
        name: &str,
        partitions: &[Partition],
        scores: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(Partition, Member)>, StoreError> {
        let ((min, max), order) = (scores.into_inner(), Order::LowestFirst);
        let read = Read::Set { set: name.to_owned(), min, max, limit, order };
        let partitions = partitions.to_vec();
        self.query(move |connection| {
            let mut gathered = Vec::new();
            for partition in partitions {
                if let Found::Set(members) = self::read(connection, partition, &read)? {
                    gathered.extend(members.into_iter().map(|member| (partition, member)));
                }
            }
            Ok(gathered)
        })
        .await
    }

    async fn scan(
        &self,
        kinds: &[&str],
        pages: tokio::sync::mpsc::Sender<Vec<Scanned>>,
    ) -> Result<(), StoreError> {
        let kinds = serde_json::Value::from(kinds).to_string();
        let mut after = (-1, String::new());
        loop {
            let kinds = kinds.clone();
            let page = self.query(move |connection| scan::page(connection, &kinds, &after)).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = (i32::from(last.partition), last.name.clone());
            if pages.send(page).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn candidates(
        &self,
        partition: Partition,
        words: &[String],
    ) -> Result<Option<Vec<String>>, StoreError> {
        let words = words.to_vec();
        self.query(move |connection| words::candidates(connection, partition, &words)).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(Task::Close(reply)).map_err(|_| gone())?;
        let closed = answer.await.map_err(|_| gone())?;
        closed.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    async fn watch(&self, partition: Partition, topic: &str) -> Result<Subscription, StoreError> {
        let channel = channels::channel(partition, topic);
        Ok(self.channels.watch(&channel, topic))
    }
}

/// Opens a file that only its owner can read. Creates it if it is missing.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600).open(path)
}

fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(LOCK);
    let file = private(&path).with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "{} is in use by another arizuko process; stop it, or pass another --data-dir",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// Opens the writer's connection, and makes the tables that are missing.
fn begin(path: &Path, log: &Log, texts: &Texts) -> anyhow::Result<Connection> {
    let mut connection = connect(path)?;
    connection.pragma_update(None, "cache_size", WRITER_CACHE)?;
    log.begin(&connection)?;
    connection.execute_batch(SCHEMA)?;
    words::begin(&mut connection, texts)?;
    Ok(connection)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

fn read(connection: &Connection, p: Partition, read: &Read) -> rusqlite::Result<Found> {
    Ok(match read {
        Read::Record(name) => Found::Record(read_record(connection, p, name)?),
        Read::Count(name) => Found::Count(apply::count(connection, p, name)?),
        Read::Set { set, min, max, limit, order } => {
            let mut statement = connection.prepare_cached(match order {
                Order::LowestFirst => {
                    "SELECT name, score FROM member WHERE set_name = ?1 AND partition = ?2
                     AND score BETWEEN ?3 AND ?4 ORDER BY score, name LIMIT ?5"
                }
                Order::HighestFirst => {
                    "SELECT name, score FROM member WHERE set_name = ?1 AND partition = ?2
                     AND score BETWEEN ?3 AND ?4 ORDER BY score DESC, name DESC LIMIT ?5"
                }
            })?;
            let (min, max) = (signed(*min), signed(*max));
            let rows = statement.query_map(params![set, p, min, max, limit], |row| {
                Ok(Member { name: row.get(0)?, score: row.get::<_, i64>(1)? as u64 })
            })?;
            Found::Set(rows.collect::<rusqlite::Result<_>>()?)
        }
        Read::Log { log, after, limit } => {
            let mut statement = connection.prepare_cached(
                "SELECT seq, entry FROM entry WHERE partition = ?1 AND log = ?2 AND seq > ?3
                 ORDER BY seq LIMIT ?4",
            )?;
            let rows = statement.query_map(params![p, log, signed(*after), limit], |row| {
                Ok((row.get::<_, i64>(0)? as u64, row.get::<_, Vec<u8>>(1)?.into()))
            })?;
            Found::Log(rows.collect::<rusqlite::Result<_>>()?)
        }
    })
}

fn read_record(
    connection: &Connection,
    p: Partition,
    name: &str,
) -> rusqlite::Result<Option<Record>> {
    let sql = "SELECT version, body FROM record WHERE partition = ?1 AND name = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let record = statement.query_row(params![p, name], |row| {
        Ok(Record { version: row.get::<_, i64>(0)? as u64, body: row.get(1)? })
    });
    record.optional()
}

/// Returns a number as SQLite stores it, signed. A number that is too large becomes the largest
/// one: as a bound, it means "no bound".
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns the time of this store: the system clock's, without its jumps.
pub(super) fn now() -> Millis {
    static CLOCK: LazyLock<SteadyClock> = LazyLock::new(|| SteadyClock::begin(system_time(), 0));
    CLOCK.hear(system_time());
    CLOCK.now()
}

#[expect(clippy::disallowed_methods, reason = "the clock of this store follows this one")]
fn system_time() -> Reading {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Reading { said: since.map_or(0, |since| since.as_micros() as i64), at: uptime(), slack: 0 }
}

fn gone() -> StoreError {
    StoreError::Unavailable("its thread ended".to_owned())
}
