//! Waits until replicas have what was committed, so that the loss of a primary loses nothing that
//! anybody was told.
//!
//! WAIT covers what its own connection wrote. Replication is in order, so one small write and one
//! WAIT on a connection of their own cover all commits before them, of whomever.

use super::servers::{Server, Servers, dial};
use crate::store::{Partition, StoreError};
use redis::{RedisError, RedisResult, aio::MultiplexedConnection, cmd};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::{Mutex, mpsc, oneshot};

/// How long replicas may take. Past that the outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Replicas {
    servers: Arc<Servers>,
    prefix: String,
    /// How many replicas have to have it.
    needed: usize,
    /// Where each server's rounds are asked for.
    rounds: Mutex<HashMap<String, mpsc::UnboundedSender<Asked>>>,
}

/// Somebody who waits for the next round: a partition of that server, and where to answer.
type Asked = (Partition, oneshot::Sender<Result<(), String>>);

impl Replicas {
    pub(super) fn new(servers: Arc<Servers>, prefix: String, needed: usize) -> Arc<Self> {
        Arc::new(Self { servers, prefix, needed, rounds: Mutex::default() })
    }

    /// Returns once enough replicas have all that the partition's server has by now.
    pub(super) async fn cover(self: &Arc<Self>, partition: Partition) -> Result<(), StoreError> {
        let unknown = |why: String| StoreError::Unknown(format!("replicas: {why}"));
        let server = self.servers.of(partition);
        let server = server.map_err(|error| unknown(error.to_string()))?;
        let (answer, covered) = oneshot::channel();
        {
            let mut rounds = self.rounds.lock().await;
            let address = server.address();
            let queue = rounds.entry(address).or_insert_with(|| self.start(server));
            // The rounds of a server go on for as long as somebody can ask for one.
            let _ = queue.send((partition, answer));
        }
        let covered = covered.await;
        covered.unwrap_or_else(|_| Err("nobody asked them".to_owned())).map_err(unknown)
    }

    fn start(self: &Arc<Self>, server: Arc<Server>) -> mpsc::UnboundedSender<Asked> {
        let (queue, mut asked) = mpsc::unbounded_channel::<Asked>();
        let replicas = self.clone();
        tokio::spawn(async move {
            let mut connection = None;
            while let Some((partition, answer)) = asked.recv().await {
                let mut answers = vec![answer];
                // All that were committed by now are covered by one round.
                while let Ok((_, answer)) = asked.try_recv() {
                    answers.push(answer);
                }
                let round = replicas.round(&server, &mut connection, partition).await;
                if round.is_err() {
                    connection = None;
                }
                let round = round.map_err(|error| error.to_string());
                for answer in answers {
                    // Who asked may have given up.
                    let _ = answer.send(round.clone());
                }
            }
        });
        queue
    }

    async fn round(
        &self,
        server: &Server,
        connection: &mut Option<MultiplexedConnection>,
        partition: Partition,
    ) -> RedisResult<()> {
        let connection = match connection {
            Some(connection) => connection,
            none => none.insert(dial(&server.info).await?),
        };
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
