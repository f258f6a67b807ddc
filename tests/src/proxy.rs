//! A TCP proxy that can delay answers, let nothing pass, and make Redis's clock wrong.

use std::{
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// Where a proxy leads.
pub enum Target {
    /// A Unix socket.
    Socket(PathBuf),
    /// A host and port.
    Address(String),
}

/// A running proxy. It ends with the test.
pub struct Proxy {
    address: String,
    /// The number of the next connection.
    next: Arc<AtomicU64>,
    faults: watch::Sender<Faults>,
    round_trips: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// The faults that a proxy causes now.
#[derive(Clone, Copy, Default)]
struct Faults {
    /// Connections with a number below this one are silent.
    silent_before: u64,
    /// Connections with a number below this one are silent if they have subscribed to a channel of
    /// Redis.
    silent_subscribers_before: u64,
    /// How much later each answer passes.
    delay: Duration,
    /// How many seconds Redis's clock is ahead (negative: behind).
    clock_shift: i64,
}

impl Proxy {
    /// Starts a proxy.
    pub async fn start(target: Target) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (faults, state) = watch::channel(Faults::default());
        let next = Arc::new(AtomicU64::new(0));
        let round_trips = Arc::new(AtomicU64::new(0));
        let (numbers, counted) = (next.clone(), round_trips.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // As Redis does: small messages are sent at once.
                if client.set_nodelay(true).is_err() {
                    continue;
                }
                let number = numbers.fetch_add(1, Relaxed);
                let passage = Passage {
                    number,
                    subscribes: AtomicBool::new(false),
                    is_answered: AtomicBool::new(true),
                    faults: state.clone(),
                    round_trips: counted.clone(),
                };
                match &target {
                    Target::Socket(path) => {
                        let server = UnixStream::connect(path.clone());
                        tokio::spawn(async move { passage.open(client, server.await.ok()).await });
                    }
                    Target::Address(address) => {
                        let server = TcpStream::connect(address.clone());
                        tokio::spawn(async move {
                            let server = server.await.ok();
                            let server = server.filter(|server| server.set_nodelay(true).is_ok());
                            passage.open(client, server).await;
                        });
                    }
                }
            }
        });
        Self { address, next, faults, round_trips, task }
    }

    /// Returns the proxy's host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Stops all traffic on the open connections, without closing them. Later connections work.
    pub fn silence(&self) {
        let next = self.next.load(Relaxed);
        self.faults.send_modify(|faults| faults.silent_before = next);
    }

    /// Like [`Self::silence`], for only those connections that have subscribed to a channel of
    /// Redis.
    pub fn silence_subscribers(&self) {
        let next = self.next.load(Relaxed);
        self.faults.send_modify(|faults| faults.silent_subscribers_before = next);
    }

    /// Lets nothing pass on any connection until [`Self::resume`].
    pub fn drop_packets(&self) {
        self.faults.send_modify(|faults| faults.silent_before = u64::MAX);
    }

    /// Lets new connections work. Older ones stay silent, as when TCP retransmits lost packets only
    /// much later.
    pub fn resume(&self) {
        self.silence();
    }

    /// Returns how many round trips the connections that have subscribed have made in total. A
    /// round trip begins when the client sends and the server was the last to send.
    pub fn round_trips_of_subscribers(&self) -> u64 {
        self.round_trips.load(Relaxed)
    }

    /// Makes Redis's clock wrong by this many seconds: changes its answers to TIME.
    pub fn shift_clock(&self, seconds: i64) {
        self.faults.send_modify(|faults| faults.clock_shift = seconds);
    }

    /// Delays every answer by this much.
    pub fn delay(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.delay = delay);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection through a proxy.
struct Passage {
    number: u64,
    subscribes: AtomicBool,
    /// Whether the server sent last. True at first.
    is_answered: AtomicBool,
    faults: watch::Receiver<Faults>,
    round_trips: Arc<AtomicU64>,
}

impl Passage {
    async fn open<S: AsyncRead + AsyncWrite>(self, client: TcpStream, server: Option<S>) {
        let Some(server) = server else { return };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = split(server);
        let mut passing = pin!(async {
            tokio::select! {
                () = self.copy(from_client, to_server, false) => {}
                () = self.copy(from_server, to_client, true) => {}
            }
        });
        tokio::select! {
            biased;
            // A silenced connection copies nothing more, but `passing` still keeps both ends open.
            () = self.silenced() => std::future::pending().await,
            () = &mut passing => {}
        }
    }

    async fn silenced(&self) {
        let mut faults = self.faults.clone();
        let silenced = faults.wait_for(|faults| {
            let subscribes = self.subscribes.load(Relaxed);
            self.number < faults.silent_before
                || (subscribes && self.number < faults.silent_subscribers_before)
        });
        // Once the proxy is dropped, nothing silences the connection any more.
        if silenced.await.is_err() {
            std::future::pending().await
        }
    }

    /// Copies until an end is closed. Delayed bytes stay in order.
    async fn copy(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        is_answer: bool,
    ) {
        let (sender, mut read) = mpsc::channel::<(Instant, Vec<u8>)>(64);
        let reading = async move {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = from.read(&mut buffer).await {
                let bytes = &buffer[..count];
                if !is_answer && bytes.windows(10).any(|word| word == b"SSUBSCRIBE") {
                    self.subscribes.store(true, Relaxed);
                }
                let turns = self.is_answered.swap(is_answer, Relaxed) != is_answer;
                if turns && !is_answer && self.subscribes.load(Relaxed) {
                    self.round_trips.fetch_add(1, Relaxed);
                }
                let faults = if is_answer { *self.faults.borrow() } else { Faults::default() };
                let mut bytes = bytes.to_vec();
                shift_clock(&mut bytes, faults.clock_shift);
                if sender.send((Instant::now() + faults.delay, bytes)).await.is_err() {
                    return;
                }
            }
        };
        let writing = async {
            while let Some((due, bytes)) = read.recv().await {
                sleep_until(due).await;
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(reading, writing);
    }
}

/// Changes the seconds in Redis's answers to TIME.
fn shift_clock(bytes: &mut [u8], seconds: i64) {
    const TWO_STRINGS_THE_FIRST_OF_TEN: &[u8] = b"*2\r\n$10\r\n";
    let first = TWO_STRINGS_THE_FIRST_OF_TEN.len();
    for at in 0..bytes.len().saturating_sub(first + 10) {
        if bytes[at..].starts_with(TWO_STRINGS_THE_FIRST_OF_TEN) {
            let digits = &mut bytes[at + first..][..10];
            if let Some(said) = std::str::from_utf8(digits).ok().and_then(|said| said.parse().ok())
            {
                let said: i64 = said;
                digits.copy_from_slice((said + seconds).to_string().as_bytes());
            }
        }
    }
}
