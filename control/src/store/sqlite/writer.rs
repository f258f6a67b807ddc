//! The writer: commits the batches that wait, and indexes texts when none does. If batches never stop
//! coming, it does both in turns.

use super::{
    apply,
    log::{self, Log},
    sizes::Sizes,
    words::{self, Texts},
};
use crate::store::{
    Batch, Commit, Write,
    channels::{self, Channels},
};
use rusqlite::Connection;
use std::{
    iter,
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};
use tokio::sync::oneshot;

/// How many batches share one transaction, at most.
const GROUP: usize = 256;
/// How long the writer waits for a task before it indexes texts that have changed.
const IDLE: Duration = Duration::from_millis(5);
/// After how many groups it indexes texts although it is busy.
const BUSY: u32 = 64;
/// How many texts it indexes at a time when it is idle.
const TEXTS: usize = 16;

pub(super) type Reply = oneshot::Sender<Result<Commit, String>>;

/// A task for the writer.
pub(super) enum Task {
    Commit(Batch, Reply),
    /// Moves all that is committed into the store's file, and ends the writer.
    Close(oneshot::Sender<rusqlite::Result<()>>),
}

/// Works until it is told to close the store, or until nobody can send tasks any more.
pub(super) fn run(
    mut connection: Connection,
    mut log: Log,
    texts: Texts,
    tasks: &mpsc::Receiver<Task>,
    channels: &Channels,
) {
    let (mut closing, mut sizes) = (None, Sizes::default());
    // How many groups were written since texts were indexed; `None` if no text has changed.
    let mut behind = Some(0_u32);
    while closing.is_none() {
        let first = match behind {
            None => tasks.recv().map_err(RecvTimeoutError::from),
            Some(_) => tasks.recv_timeout(IDLE),
        };
        let first = match first {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                behind = words::index(&mut connection, &texts, TEXTS).then_some(0);
                log.tidy(&connection);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let mut group = Vec::new();
        for task in iter::once(first).chain(tasks.try_iter().take(GROUP - 1)) {
            match task {
                Task::Commit(batch, reply) => group.push((batch, reply)),
                Task::Close(reply) => closing = Some(reply),
            }
        }
        let batches: Vec<&Batch> = group.iter().map(|(batch, _)| batch).collect();
        let size = batches.len();
        let results = apply::all(&mut connection, &mut sizes, &batches);
        for ((batch, reply), result) in group.into_iter().zip(results) {
            if result == Ok(Commit::Applied) {
                publish(&batch, channels);
            }
            // If the caller is gone, nobody needs the result.
            let _ = reply.send(result);
        }
        let groups = behind.unwrap_or(0).saturating_add(1);
        // Most commits change at most two texts, so the index catches up unless texts are long.
        let is_behind = groups < BUSY || words::index(&mut connection, &texts, TEXTS + 2 * size);
        behind = is_behind.then_some(groups);
        log.tidy(&connection);
    }
    let ended = log::end(&connection);
    if let Some(reply) = closing {
        let _ = reply.send(ended);
    }
}

fn publish(batch: &Batch, channels: &Channels) {
    for write in &batch.writes {
        if let Write::Publish { topic, payload } = write {
            let channel = channels::channel(batch.partition, topic);
            channels.publish(&channel, topic, payload.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Sqlite, now},
        *,
    };
    use crate::store::Store as _;

    #[tokio::test]
    async fn the_index_keeps_up_with_steady_commits() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let texts = Texts { endings: &["#text"], text: |_, body| body.to_lowercase() };
        let store = Sqlite::open(&folder.path().join("data"), texts).expect("opens");
        for number in 0..4 * BUSY {
            let record = format!("{number}#text");
            let writes = vec![Write::Put { record, body: "words".into(), lifetime: None }];
            let batch = Batch { partition: 7, version: 1, now: now(), guards: vec![], writes };
            let committed = store.commit(&batch).await.expect("the store is in reach");
            assert_eq!(committed, Commit::Applied);
        }
        let count = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM changed_text", [], |row| row.get(0))
        };
        let left: u32 = store.query(count).await.expect("counts");
        assert!(left <= BUSY, "{left} texts wait");
    }
}
