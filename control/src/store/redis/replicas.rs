//! Waits until replicas have a commit, so that the loss of a primary loses nothing that was
//! acknowledged.
//!
//! WAIT covers what its own connection wrote. Replication is in order, so one small write and one
//! WAIT on a separate connection cover all earlier commits of all connections. That connection must
//! have been open before the commit and must stay open: after a failover, a new one leads to
//! another server, even if the address is the same.

use super::{
    connection::{Connection, RESPONSE_TIMEOUT},
    servers::{Server, Servers},
};
use crate::store::{Partition, StoreError};
use redis::{RedisError, RedisResult, cmd};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// The lifetime of the key that a round writes. Replicas have half of this time to get the key;
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
    /// The rounds of each server, by the server's address.
    rounds: Mutex<HashMap<String, Rounds>>,
}

/// The rounds on one server.
#[derive(Clone)]
struct Rounds {
    connection: Connection,
    /// The callers that wait for the next round.
    queue: mpsc::Sender<Asked>,
}

/// Made before a commit, a read or a message. [`cover`](Self::cover) then waits until the replicas
/// have what was committed, read or published.
pub(super) struct Voucher {
    rounds: Rounds,
    /// Cancelled once the connection that sends WAIT is lost: a new one may lead to another
    /// primary.
    lost: CancellationToken,
}

/// A caller that waits for the next round: a partition of the server, and where to answer.
type Asked = (Partition, oneshot::Sender<Result<(), String>>);

impl Voucher {
    /// Waits until enough replicas have everything that the server has now. Fails if the connection
    /// of [`Replicas::ready`] was lost meanwhile.
    pub(super) async fn cover(self, partition: Partition) -> Result<(), StoreError> {
        let unknown = |why: String| StoreError::Unknown(format!("replicas: {why}"));
        let (answer, covered) = oneshot::channel();
        // This can't fail: the task runs for as long as there is a sender.
        let _ = self.rounds.queue.send((partition, answer)).await;
        let covered = covered.await;
        covered
            .unwrap_or_else(|_| Err("the check of the replicas ended".to_owned()))
            .map_err(unknown)?;
        if self.lost.is_cancelled() {
            return Err(unknown("their primary may be another one by now".to_owned()));
        }
        Ok(())
    }
}

impl Replicas {
    pub(super) fn new(servers: Arc<Servers>, prefix: String, needed: usize) -> Arc<Self> {
        Arc::new(Self { servers, prefix, needed, rounds: Mutex::default() })
    }

    /// Waits for the connection that can vouch for what `server` takes or answers from now on.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(super) async fn ready(self: &Arc<Self>, server: &Server) -> RedisResult<Voucher> {
        let rounds = self.rounds_of(server);
        let lost = rounds.connection.open_by(Instant::now() + RESPONSE_TIMEOUT).await?.lost;
        Ok(Voucher { rounds, lost })
    }

    fn rounds_of(self: &Arc<Self>, server: &Server) -> Rounds {
        let mut rounds = lock(&self.rounds);
        let address = server.address();
        if !rounds.contains_key(&address) {
            // The tasks of servers that are gone end with their queues.
            let servers = self.servers.all();
            rounds.retain(|known, _| servers.iter().any(|server| server.address() == *known));
        }
        rounds.entry(address).or_insert_with(|| self.start(server)).clone()
    }

    /// Returns how many callers wait for a round that has not begun.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        let rounds = lock(&self.rounds);
        rounds.values().map(|r| r.queue.max_capacity() - r.queue.capacity()).sum()
    }

    fn start(self: &Arc<Self>, server: &Server) -> Rounds {
        let (queue, mut asked) = mpsc::channel::<Asked>(MOST_WAITING);
        let (replicas, kept) = (self.clone(), server.connect(None));
        let mut connection = kept.clone();
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
        Rounds { connection: kept, queue }
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
