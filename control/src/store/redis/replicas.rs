//! Waits until replicas have a commit, so that the loss of a primary loses nothing that was
//! acknowledged.
//!
//! WAIT covers what its own connection wrote. Replication is in order, so one small write and one
//! WAIT on a separate connection cover all earlier commits of all connections.

use super::{
    connection::Connection,
    servers::{Server, Servers},
};
use crate::store::{Partition, StoreError};
use redis::{RedisError, RedisResult, cmd};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// How long the key that a round writes lives. Replicas have half of this time to get the key;
/// after that, the outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many callers may wait for a server's next round. More wait for room.
const MOST_WAITING: usize = 1_000;

/// The rounds, of one write and one WAIT each, on all servers.
pub(super) struct Replicas {
    servers: Arc<Servers>,
    prefix: String,
    /// How many replicas must have a commit.
    needed: usize,
    /// The queue of callers that wait for a server's next round, by the server's address.
    rounds: Mutex<HashMap<String, mpsc::Sender<Asked>>>,
}

/// A caller that waits for the next round: a partition of the server, and where to answer.
type Asked = (Partition, oneshot::Sender<Result<(), String>>);

impl Replicas {
    pub(super) fn new(servers: Arc<Servers>, prefix: String, needed: usize) -> Arc<Self> {
        Arc::new(Self { servers, prefix, needed, rounds: Mutex::default() })
    }

    /// Returns once enough replicas of `server` have everything that it has now. `server` took the
    /// commit, or answered the read, that the caller waits for. Another server may have the
    /// partition by now, but its replicas prove nothing about that commit or read.
    pub(super) async fn cover(
        self: &Arc<Self>,
        server: &Server,
        partition: Partition,
    ) -> Result<(), StoreError> {
        let unknown = |why: String| StoreError::Unknown(format!("replicas: {why}"));
        let (answer, covered) = oneshot::channel();
        let queue = {
            let mut rounds = lock(&self.rounds);
            let address = server.address();
            if !rounds.contains_key(&address) {
                // The tasks of servers that are gone end with their queues.
                let servers = self.servers.all();
                rounds.retain(|known, _| servers.iter().any(|server| server.address() == *known));
            }
            rounds.entry(address).or_insert_with(|| self.start(server)).clone()
        };
        // This can't fail: the task runs for as long as there is a sender.
        let _ = queue.send((partition, answer)).await;
        let covered = covered.await;
        covered.unwrap_or_else(|_| Err("nobody asked them".to_owned())).map_err(unknown)
    }

    /// Returns how many callers wait for a round that has not begun.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        lock(&self.rounds).values().map(|queue| queue.max_capacity() - queue.capacity()).sum()
    }

    fn start(self: &Arc<Self>, server: &Server) -> mpsc::Sender<Asked> {
        let (queue, mut asked) = mpsc::channel::<Asked>(MOST_WAITING);
        let replicas = self.clone();
        let mut connection = server.connect(None);
        tokio::spawn(async move {
            while let Some((partition, answer)) = asked.recv().await {
                let mut answers = vec![answer];
                // One round covers everything that is committed by now.
                while let Ok((_, answer)) = asked.try_recv() {
                    answers.push(answer);
                }
                let round = replicas.round(&mut connection, partition).await;
                if round.is_err() {
                    // The server may no longer be a primary.
                    replicas.servers.suspect();
                }
                let round = round.map_err(|error| error.to_string());
                for answer in answers {
                    // The caller may have given up.
                    let _ = answer.send(round.clone());
                }
            }
        });
        queue
    }

    async fn round(&self, connection: &mut Connection, partition: Partition) -> RedisResult<()> {
        let patience = PATIENCE.as_millis() as u64;
        let mut round = redis::pipe();
        let mark = format!("{}:{{{partition}}}:wait", self.prefix);
        round.cmd("SET").arg(mark).arg(1).arg("PX").arg(patience).ignore();
        round.add_command(cmd("WAIT").arg(self.needed).arg(patience / 2).to_owned());
        let (reached,): (usize,) = round.query_async(connection).await?;
        if reached >= self.needed {
            return Ok(());
        }
        let why = format!("{reached} of {} have it", self.needed);
        Err(RedisError::from((redis::ErrorKind::Client, "too few", why)))
    }
}

// Nothing that can panic runs under this lock, and nothing waits under it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
