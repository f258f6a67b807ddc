//! Waits until replicas have a commit, so that the loss of a primary loses nothing that was
//! acknowledged.
//!
//! WAIT covers what its own connection wrote. Replication is in order, so one small write and one
//! WAIT on a separate connection cover all earlier commits of all connections. That connection must
//! have been open before the commit and must stay open: after a failover, a new one leads to
//! another server, even if the address is the same. There are several, so that a round can begin
//! before the one before it has ended.

use super::{
    connection::{Connection, RESPONSE_TIMEOUT},
    servers::{Server, Servers},
};
use crate::store::{Partition, StoreError};
use futures_util::future::select_all;
use redis::{RedisError, RedisResult, cmd};
use std::{
    array,
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// The lifetime of the key that a round writes. Replicas have half of this time to get the key;
/// after that, the outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many callers may wait for a server's next round. More wait for room.
const MOST_WAITING: usize = 1_000;

/// How long callers wait for a connection that is being replaced, if there is no other.
const REPLACED_WITHIN: Duration = Duration::from_millis(500);

/// How many rounds run on a server side by side, each over a connection of its own.
const ROUNDS: usize = 3;

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
    connections: [Connection; ROUNDS],
    /// The callers that wait for the next round.
    queue: mpsc::Sender<Asked>,
}

/// What the connections of one server share.
struct Turns {
    /// Whoever holds it begins the next round.
    asked: tokio::sync::Mutex<mpsc::Receiver<Asked>>,
    /// How many milliseconds to hold it: a fraction of a round, so that rounds begin at even
    /// distances. If all began with the first callers, those who come a little later would have to
    /// wait for a whole round.
    pause: AtomicU64,
}

/// Made before a commit, a read or a message. [`cover`](Self::cover) then waits until the replicas
/// have what was committed, read or published.
#[derive(Clone)]
pub(super) struct Voucher {
    rounds: Rounds,
    /// Each is cancelled once that connection is lost: a new one may lead to another primary.
    lost: Vec<CancellationToken>,
}

/// A caller that waits for the next round: a partition of the server, and where to answer. The
/// answer is the index of the connection of the round.
type Asked = (Partition, oneshot::Sender<Result<usize, String>>);

impl Voucher {
    /// Returns once one of the connections is lost.
    pub(super) async fn lost(&self) {
        select_all(self.lost.iter().map(|lost| Box::pin(lost.cancelled()))).await;
    }

    /// Waits until enough replicas have everything that the server has now. Fails if the connection
    /// of the round was lost since the voucher was made.
    pub(super) async fn cover(self, partition: Partition) -> Result<(), StoreError> {
        let unknown = |why: String| StoreError::Unknown(format!("replicas: {why}"));
        let (answer, covered) = oneshot::channel();
        // This can't fail: the tasks run for as long as there is a sender.
        let _ = self.rounds.queue.send((partition, answer)).await;
        let covered = covered.await;
        let connection = covered
            .unwrap_or_else(|_| Err("the check of the replicas ended".to_owned()))
            .map_err(unknown)?;
        if self.lost.get(connection).is_none_or(CancellationToken::is_cancelled) {
            return Err(unknown("their primary may be another one by now".to_owned()));
        }
        Ok(())
    }
}

impl Replicas {
    pub(super) fn new(servers: Arc<Servers>, prefix: String, needed: usize) -> Arc<Self> {
        Arc::new(Self { servers, prefix, needed, rounds: Mutex::default() })
    }

    /// Waits for the connections that can vouch for what `server` takes or answers from now on.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(super) async fn ready(self: &Arc<Self>, server: &Server) -> RedisResult<Voucher> {
        let rounds = self.rounds_of(server);
        let (deadline, mut lost) = (Instant::now() + RESPONSE_TIMEOUT, Vec::with_capacity(ROUNDS));
        for connection in &rounds.connections {
            lost.push(connection.open_by(deadline).await?.lost);
        }
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
        let (queue, asked) = mpsc::channel::<Asked>(MOST_WAITING);
        let connections: [Connection; ROUNDS] = array::from_fn(|_| server.connect(None));
        let turns = Arc::new(Turns { asked: asked.into(), pause: AtomicU64::new(0) });
        for (index, connection) in connections.iter().cloned().enumerate() {
            tokio::spawn(self.clone().run(turns.clone(), index, connection));
        }
        Rounds { connections, queue }
    }

    /// Runs one round after the other over one connection, in turn with the other connections.
    async fn run(self: Arc<Self>, turns: Arc<Turns>, index: usize, mut connection: Connection) {
        loop {
            // A connection that is being replaced leaves the callers to the others.
            let _ = connection.open_by(Instant::now() + REPLACED_WITHIN).await;
            let mut turn = turns.asked.lock().await;
            let Some((partition, answer)) = turn.recv().await else { return };
            let mut answers = vec![answer];
            // One round covers everything that is committed by now.
            while let Ok((_, answer)) = turn.try_recv() {
                answers.push(answer);
            }
            let (begun, pause) = (Instant::now(), turns.pause.load(Relaxed));
            let mut round = pin!(self.round(&mut connection, partition));
            let pausing = async {
                if pause > 0 {
                    sleep(Duration::from_millis(pause)).await;
                }
            };
            let early = tokio::select! {
                biased;
                round = &mut round => Some(round),
                () = pausing => None,
            };
            drop(turn);
            let round = match early {
                Some(round) => round,
                None => round.await,
            };
            match &round {
                Ok(()) => {
                    let pause = begun.elapsed().as_millis() as u64 / ROUNDS as u64;
                    turns.pause.store(pause, Relaxed);
                }
                // The server may no longer be a primary.
                Err(_) => self.servers.suspect(),
            }
            let round = round.map(|()| index).map_err(|error| error.to_string());
            for answer in answers {
                // The caller may have given up.
                let _ = answer.send(round.clone());
            }
        }
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
