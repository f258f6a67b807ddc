//! A connection to one server. A task opens it, watches it, and replaces it when it breaks or goes
//! silent.
//!
//! Silence alone proves nothing: the server may be busy, or far away. So when an answer is late, a
//! second connection is opened beside the first, and the one that answers first is kept.

#[cfg(test)]
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, Pipeline, PushInfo, RedisError,
    RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cmd, from_redis_value,
};
#[cfg(test)]
use std::sync::OnceLock;
use std::{io, pin::pin, sync::Arc, time::Duration};
#[cfg(test)]
use tokio::io::DuplexStream;
use tokio::{
    sync::{mpsc::error::TrySendError, watch},
    time::{Instant, interval, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long Redis may take to answer. After that, the outcome of a commit is unknown.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often to check that a connection is alive.
const BEAT: Duration = Duration::from_millis(500);
/// How long the answer to that check may take before a second connection is opened. Short enough,
/// together with `BEAT`, for a silent connection to be replaced within 2 s.
const LATE: Duration = Duration::from_millis(750);
/// How long the first connection still has to answer when the second one is open.
const LAST_CALL: Duration = Duration::from_millis(50);
/// How long a late connection is kept while no second one can be opened.
const SILENCE: Duration = Duration::from_secs(5);
/// How long one attempt to connect may take: several round trips, of up to 1.5 s each.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(6);
/// How long an attempt to connect goes on before another attempt begins beside it. TCP sends
/// dropped packets again at growing intervals, so a new attempt is the first to get through when a
/// network is back.
const CONNECT_STAGGER: Duration = Duration::from_secs(1);
/// How long to wait after a failed attempt to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// The role that the server must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The server may have any role: it is the only one, or one of a Cluster, which refuses
    /// commands for slots that it doesn't have.
    Any,
    /// The server must be a primary. Sentinels may make it a replica, which still answers reads.
    Primary,
}

/// Takes, without waiting, a message that a server pushes.
pub(super) type Pushes = Box<dyn Fn(PushInfo) -> Result<(), TrySendError<PushInfo>> + Send + Sync>;

/// A connection that replaces itself. Clones share it.
#[derive(Clone)]
pub(super) struct Connection(Arc<Kept>);

struct Kept {
    state: watch::Receiver<State>,
    _keeper: AbortOnDropHandle<()>,
}

#[derive(Clone)]
enum State {
    /// No attempt to connect has failed yet.
    Connecting,
    Open(Open),
    /// The last attempt to connect failed.
    Down(RedisError),
}

/// An open connection.
#[derive(Clone)]
pub(super) struct Open {
    connection: MultiplexedConnection,
    /// Cancelled once the connection is broken or silent. Cancelling it replaces the connection.
    pub(super) lost: CancellationToken,
}

impl Connection {
    /// Begins to connect. Messages that the server pushes go to `pushes`.
    pub(super) fn new(info: ConnectionInfo, role: Role, pushes: Option<Pushes>) -> Self {
        let mut config = AsyncConnectionConfig::new().set_response_timeout(None);
        if let Some(pushes) = pushes {
            config = config.set_push_sender(pushes);
        }
        let (sender, state) = watch::channel(State::Connecting);
        let keeper = Keeper { info, role, config, state: sender };
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeper.keep()));
        Self(Arc::new(Kept { state, _keeper: keeper }))
    }

    /// Returns the open connection. Waits for it while it is being opened. If the last attempt to
    /// connect failed, waits a moment for the next attempt: the server may be back.
    ///
    /// # Errors
    /// The server cannot be reached; nothing was sent.
    pub(super) async fn open(&self) -> RedisResult<Open> {
        let mut state = self.0.state.clone();
        if matches!(&*state.borrow_and_update(), State::Down(_)) {
            let _ = timeout(2 * PAUSE, state.changed()).await;
        }
        let settled = state.wait_for(|state| match state {
            State::Connecting => false,
            State::Open(open) => !open.lost.is_cancelled(),
            State::Down(_) => true,
        });
        match settled.await.as_deref() {
            Ok(State::Open(open)) => Ok(open.clone()),
            Ok(State::Down(error)) => Err(not_sent(error)),
            Ok(State::Connecting) | Err(_) => Err(not_sent("the process ends")),
        }
    }

    /// Returns the connection, if it is open now.
    pub(super) fn open_now(&self) -> Option<Open> {
        match &*self.0.state.borrow() {
            State::Open(open) if !open.lost.is_cancelled() => Some(open.clone()),
            _ => None,
        }
    }

    /// Returns the open connection, or fails at the deadline.
    pub(super) async fn open_by(&self, deadline: Instant) -> RedisResult<Open> {
        let opened = timeout_at(deadline, self.open()).await;
        opened.unwrap_or_else(|_| Err(not_sent("no connection in time")))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let deadline = Instant::now() + RESPONSE_TIMEOUT;
            let Open { mut connection, lost } = self.open_by(deadline).await?;
            answer(connection.req_packed_command(cmd), &lost, deadline).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let deadline = Instant::now() + RESPONSE_TIMEOUT;
            let Open { mut connection, lost } = self.open_by(deadline).await?;
            let asked = connection.req_packed_commands(pipeline, offset, count);
            answer(asked, &lost, deadline).await
        })
    }

    fn get_db(&self) -> i64 {
        self.open_now().map_or(0, |open| open.connection.get_db())
    }
}

impl Open {
    /// Sends all commands at once and waits for their answers, errors included.
    pub(super) async fn ask_all(&self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let Self { mut connection, lost } = self.clone();
        let asked = connection.req_packed_commands(commands, 0, commands.len());
        answer(asked, &lost, Instant::now() + RESPONSE_TIMEOUT).await
    }
}

/// Waits for an answer until the deadline, or until the connection is lost.
async fn answer<T>(
    asked: impl Future<Output = RedisResult<T>>,
    lost: &CancellationToken,
    deadline: Instant,
) -> RedisResult<T> {
    let answer = tokio::select! {
        biased;
        answer = timeout_at(deadline, asked) => {
            answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        }
        () = lost.cancelled() => {
            let silent = "the connection is lost";
            Err(io::Error::new(io::ErrorKind::ConnectionReset, silent).into())
        }
    };
    if answer.as_ref().is_err_and(RedisError::is_unrecoverable_error) {
        lost.cancel();
    }
    answer
}

/// Returns an error that says that nothing was sent, as a refused connection does.
fn not_sent(why: impl ToString) -> RedisError {
    io::Error::new(io::ErrorKind::ConnectionRefused, why.to_string()).into()
}

/// Opens a connection. While there is no answer, makes more attempts beside the first. The first
/// attempt that succeeds or fails decides.
pub(super) async fn dial(
    info: &ConnectionInfo,
    config: AsyncConnectionConfig,
) -> RedisResult<MultiplexedConnection> {
    let client = Client::open(info.clone())?;
    let config = config.set_connection_timeout(Some(CONNECT_TIMEOUT));
    let (mut attempts, mut next) = (FuturesUnordered::new(), interval(CONNECT_STAGGER));
    loop {
        tokio::select! {
            _ = next.tick() => {
                attempts.push(connect(&client, &config));
            }
            Some(outcome) = attempts.next() => return outcome,
        }
    }
}

async fn connect(
    client: &Client,
    config: &AsyncConnectionConfig,
) -> RedisResult<MultiplexedConnection> {
    #[cfg(test)]
    if let Some(link) = LINK.get() {
        let info = client.get_connection_info();
        let connecting = async {
            let stream = link(info.addr().to_string()).await;
            let settings = info.redis_settings();
            MultiplexedConnection::new_with_config(settings, stream, config.clone()).await
        };
        let connected = timeout(CONNECT_TIMEOUT, connecting).await;
        let (connection, driver) = connected.map_err(|_| not_sent("no connection in time"))??;
        tokio::spawn(driver);
        return Ok(connection);
    }
    client.get_multiplexed_async_connection_with_config(config).await
}

/// Connects to an address in the simulated network, in place of the real one.
#[cfg(test)]
pub(crate) type Link = dyn Fn(String) -> BoxFuture<'static, DuplexStream> + Send + Sync;
#[cfg(test)]
pub(crate) static LINK: OnceLock<Box<Link>> = OnceLock::new();

/// Opens a separate connection, which waits [`RESPONSE_TIMEOUT`] for each response.
pub(super) async fn open(info: &ConnectionInfo) -> RedisResult<MultiplexedConnection> {
    dial(info, AsyncConnectionConfig::new().set_response_timeout(Some(RESPONSE_TIMEOUT))).await
}

/// The task behind a [`Connection`].
struct Keeper {
    info: ConnectionInfo,
    role: Role,
    config: AsyncConnectionConfig,
    state: watch::Sender<State>,
}

impl Keeper {
    async fn keep(self) {
        let address = self.info.addr().to_string();
        let mut next = None;
        loop {
            let connection = match next.take() {
                Some(connection) => connection,
                None => self.connect(&address).await,
            };
            let open = Open { connection, lost: CancellationToken::new() };
            self.state.send_replace(State::Open(open.clone()));
            next = self.watch(&open).await;
            open.lost.cancel();
            tracing::warn!(address, "a connection to Redis is lost, connecting again");
            if next.is_none() {
                self.state.send_replace(State::Connecting);
            }
        }
    }

    /// Connects, however long it takes.
    async fn connect(&self, address: &str) -> MultiplexedConnection {
        let mut is_told = false;
        loop {
            match self.dial().await {
                Ok(connection) => return connection,
                Err(error) => {
                    if !is_told {
                        tracing::warn!(address, %error, "cannot connect to Redis, retrying");
                        is_told = true;
                    }
                    self.state.send_replace(State::Down(error));
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn dial(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection = dial(&self.info, self.config.clone()).await?;
        if self.role == Role::Primary {
            must_be_primary(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Watches a connection until it is lost. Returns the connection that replaces it, if that is
    /// open already.
    async fn watch(&self, open: &Open) -> Option<MultiplexedConnection> {
        loop {
            tokio::select! {
                () = sleep(BEAT) => {}
                () = open.lost.cancelled() => return None,
            }
            let mut beat = pin!(is_alive(open.connection.clone()));
            let alive = tokio::select! {
                alive = &mut beat => alive,
                () = open.lost.cancelled() => false,
                () = sleep(LATE) => tokio::select! {
                    alive = &mut beat => alive,
                    () = open.lost.cancelled() => false,
                    () = sleep(SILENCE) => false,
                    second = self.connect_beside() => match timeout(LAST_CALL, beat).await {
                        Ok(true) => true,
                        _ => return Some(second),
                    },
                },
            };
            if !alive {
                return None;
            }
        }
    }

    /// Opens a second connection, however long it takes. That it opens shows that the server
    /// answers.
    async fn connect_beside(&self) -> MultiplexedConnection {
        loop {
            match self.dial().await {
                Ok(connection) => return connection,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

/// Refuses a replica, which may lack what its primary has.
pub(super) async fn must_be_primary(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let role = cmd("ROLE");
    let asked = timeout(RESPONSE_TIMEOUT, role.query_async::<Vec<Value>>(connection));
    let role = asked.await.unwrap_or_else(|_| Err(not_sent("no answer in time")))?;
    match role.into_iter().next().map(from_redis_value::<String>).transpose()?.as_deref() {
        Some("master") => Ok(()),
        _ => Err(not_sent("it is no longer a primary")),
    }
}

/// Whether a connection answers. An error from the server is an answer, too.
async fn is_alive(mut connection: MultiplexedConnection) -> bool {
    let answer = cmd("TIME").exec_async(&mut connection).await;
    !answer.is_err_and(|error| error.is_unrecoverable_error())
}
