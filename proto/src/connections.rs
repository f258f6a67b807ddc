//! Counts the open connections of a server, in all and by address. A full server closes the
//! connection that has been idle for longest, to admit a new one.

use hyper::body::{Body, Frame, SizeHint};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// The open connections of one server.
pub struct Connections {
    most: usize,
    per_address: usize,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    /// A counter. Its values number the connections, and the moments at which they become idle.
    ticks: u64,
    open: HashMap<u64, Entry>,
    /// The idle connections, each as the moment at which it became idle and its number.
    idle: BTreeSet<(u64, u64)>,
    by_address: HashMap<IpAddr, usize>,
}

struct Entry {
    closing: CancellationToken,
    /// The tick at which the connection became idle. `None` while a request is open.
    idle_since: Option<u64>,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The server has its maximum of connections, and none is idle.
    Server,
    /// The address has its maximum of connections.
    Address,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "too many connections, and none is idle",
            Self::Address => "too many connections from one address",
        })
    }
}

impl Connections {
    /// Allows `most` connections in all, and `per_address` from one address. Allows fewer in all if
    /// the process may open too few files for `most`.
    pub fn new(most: usize, per_address: usize) -> Arc<Self> {
        let most = most.min(share_of_files());
        Arc::new(Self { most, per_address, counted: Mutex::default() })
    }

    /// Counts a connection until it and its requests are dropped. If the server is full, closes the
    /// connection that has been idle for longest. A connection without an address, such as a
    /// trusted proxy's, counts only towards the limit on all connections.
    ///
    /// # Errors
    ///
    /// There are too many connections.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Arc<Connection>, Refused> {
        let address = address.map(network);
        let mut counted = self.counted();
        if let Some(address) = address
            && counted.by_address.get(&address).is_some_and(|open| *open >= self.per_address)
        {
            return Err(Refused::Address);
        }
        if counted.open.len() >= self.most {
            // The closed connection takes a moment to end, but its place is free at once.
            let (_, number) = counted.idle.pop_first().ok_or(Refused::Server)?;
            if let Some(entry) = counted.open.remove(&number) {
                entry.closing.cancel();
            }
        }
        let number = counted.tick();
        let closing = CancellationToken::new();
        let entry = Entry { closing: closing.clone(), idle_since: Some(number) };
        counted.open.insert(number, entry);
        counted.idle.insert((number, number));
        if let Some(address) = address {
            *counted.by_address.entry(address).or_default() += 1;
        }
        drop(counted);
        let requests = watch::Sender::default();
        Ok(Arc::new(Connection { server: Arc::clone(self), number, address, closing, requests }))
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        // Nothing that can panic runs under this lock.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// Notes that a connection has become idle, or has stopped being idle.
    fn set_idle(&mut self, number: u64, idle: bool) {
        let now = self.tick();
        let Some(entry) = self.open.get_mut(&number) else {
            return;
        };
        if let Some(since) = entry.idle_since.take() {
            self.idle.remove(&(since, number));
        }
        if idle {
            entry.idle_since = Some(now);
            self.idle.insert((now, number));
        }
    }
}

/// An open connection.
pub struct Connection {
    server: Arc<Connections>,
    number: u64,
    address: Option<IpAddr>,
    closing: CancellationToken,
    /// The number of open requests.
    requests: watch::Sender<usize>,
}

impl Connection {
    /// Counts a request as open until the returned value is dropped.
    pub fn request(self: &Arc<Self>) -> OpenRequest {
        self.requests.send_modify(|open| {
            *open += 1;
            if *open == 1 {
                self.server.counted().set_idle(self.number, false);
            }
        });
        OpenRequest(Arc::clone(self))
    }

    /// Returns once the connection has been idle for `time`, or another connection needs its place.
    pub async fn idle(&self, time: Duration) {
        let mut requests = self.requests.subscribe();
        let idle = async {
            loop {
                // This can't fail: `self` holds the sender.
                let _ = requests.wait_for(|open| *open == 0).await;
                if timeout(time, requests.changed()).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = idle => {}
            () = self.closing.cancelled() => {}
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut counted = self.server.counted();
        counted.set_idle(self.number, false);
        counted.open.remove(&self.number);
        if let Some(address) = self.address
            && let Some(open) = counted.by_address.get_mut(&address)
        {
            *open -= 1;
            if *open == 0 {
                counted.by_address.remove(&address);
            }
        }
    }
}

/// An open request of a connection.
pub struct OpenRequest(Arc<Connection>);

impl OpenRequest {
    /// Keeps the request open until the body of its answer is sent.
    pub fn attach_to<B>(self, body: B) -> CountedBody<B> {
        CountedBody { body, _request: self }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let connection = &self.0;
        connection.requests.send_modify(|open| {
            *open -= 1;
            if *open == 0 {
                connection.server.counted().set_idle(connection.number, true);
            }
        });
    }
}

/// A response body whose request counts as open until the body is dropped.
pub struct CountedBody<B> {
    body: B,
    _request: OpenRequest,
}

impl<B: Body + Unpin> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Returns the address that a client is counted by. For IPv6 it is the /64 network, since one host
/// usually has all addresses in it.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

/// Returns how many connections one server of this process may have: three eighths of the files
/// that the process may open, since `arizuko up` has two servers, and stores need files too. Raises
/// the process's limit as far as the system lets it.
fn share_of_files() -> usize {
    use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
    let raised =
        getrlimit(RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
    let files = getrlimit(RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    usize::try_from(files / 8 * 3).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    const TIME: Duration = Duration::from_millis(50);

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn the_one_that_is_idle_for_longest_makes_room() {
        let server = Connections::new(3, 9);
        let [a, b, c] = [0; 3].map(|_| server.admit(None).unwrap());
        let busy = a.request();
        drop(b.request());
        let d = server.admit(None).unwrap();
        let closing = [&a, &b, &c, &d].map(|connection| connection.closing.is_cancelled());
        assert_eq!(closing, [false, false, true, false]);
        let busy = [busy, b.request(), d.request()];
        assert_eq!(server.admit(None).err(), Some(Refused::Server));
        drop(busy);
        drop((a, b, c, d));
        let counted = server.counted();
        assert!(counted.open.is_empty() && counted.idle.is_empty());
    }

    #[test]
    fn an_address_has_its_own_limit_and_an_ipv6_network_is_one_address() {
        let server = Connections::new(99, 1);
        for (first, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ] {
            let open = server.admit(address(first)).unwrap();
            assert_eq!(server.admit(address(same)).err(), Some(Refused::Address), "{same}");
            assert!(server.admit(address(other)).is_ok(), "{other}");
            drop(open);
            assert!(server.admit(address(same)).is_ok(), "{same}");
        }
        let proxies = [0; 2].map(|_| server.admit(None));
        assert!(proxies.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_connection_is_idle_once_all_its_answers_are_sent() {
        let connection = Connections::new(1, 1).admit(None).unwrap();
        let answer = connection.request().attach_to("answer".to_owned());
        let mut idle = pin!(connection.idle(TIME));
        assert!(timeout(TIME * 4, &mut idle).await.is_err(), "a request is open");
        assert_eq!(answer.size_hint().exact(), Some(6));
        drop(answer);
        drop(connection.request());
        timeout(TIME * 40, idle).await.unwrap();
    }
}
