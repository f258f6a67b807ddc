//! The network between clients, controls and Redis: bytes take a while, and a connection can be
//! slow, lose what it carries, freeze, or be cut.

use fastrand::Rng;
use hyper_util::rt::TokioIo;
use std::{
    collections::BTreeMap,
    future::pending,
    io::{Error, ErrorKind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::watch::{Receiver, Sender},
    time::sleep,
};

/// How many bytes may be under way in each direction of a connection.
const BUFFER: usize = 64 << 10;

/// One chunk in this many is lost on a lossy connection, and that ends the connection.
const LOSS: u8 = 12;

/// What happens on the connections to one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Open,
    /// Bytes take up to a quarter of a second.
    Slow,
    /// A connection can end at any time. What it carried is lost.
    Lossy,
    /// Nothing arrives, and nothing says so.
    Frozen,
    Cut,
}

/// Serves a connection.
type Serve = Arc<dyn Fn(DuplexStream) + Send + Sync>;

/// The hosts that can be reached, by their numbers: the controls, and Redis by one number for each
/// control, so that the way of one control to Redis can fail alone.
#[derive(Clone)]
pub(super) struct Network(Arc<Mutex<State>>);

struct State {
    hosts: BTreeMap<usize, Host>,
    /// The connections that stay frozen.
    stuck: Vec<Sender<Line>>,
    rng: Rng,
}

struct Host {
    serve: Serve,
    line: Sender<Line>,
}

impl Network {
    pub(super) fn new(rng: Rng) -> Self {
        Self(Arc::new(Mutex::new(State { hosts: BTreeMap::new(), stuck: Vec::new(), rng })))
    }

    /// Makes a host reachable. Cuts the connections to the host that had this number before.
    pub(super) fn host(&self, number: usize, serve: Serve) {
        self.cut(number);
        let line = Sender::new(Line::Open);
        self.state().hosts.insert(number, Host { serve, line });
    }

    /// Cuts all connections to a host, and takes no more of them.
    pub(super) fn take_down(&self, number: usize) {
        self.cut(number);
        self.state().hosts.remove(&number);
    }

    /// Cuts all connections to a host. It can be reached again at once.
    pub(super) fn cut(&self, number: usize) {
        if let Some(host) = self.state().hosts.get_mut(&number) {
            std::mem::replace(&mut host.line, Sender::new(Line::Open)).send_replace(Line::Cut);
        }
    }

    /// Changes what happens on all connections to a host. New ones are like that, too.
    pub(super) fn set(&self, number: usize, line: Line) {
        if let Some(host) = self.state().hosts.get(&number) {
            host.line.send_replace(line);
        }
    }

    /// Freezes the open connections to a host for good. New ones work.
    pub(super) fn strand(&self, number: usize) {
        let state = &mut *self.state();
        if let Some(host) = state.hosts.get_mut(&number) {
            let stranded = std::mem::replace(&mut host.line, Sender::new(Line::Open));
            stranded.send_replace(Line::Frozen);
            state.stuck.push(stranded);
        }
    }

    /// Freezes all connections to a host for good. New ones are refused.
    pub(super) fn abandon(&self, number: usize) {
        self.strand(number);
        let state = &mut *self.state();
        if let Some(host) = state.hosts.remove(&number) {
            host.line.send_replace(Line::Frozen);
            state.stuck.push(host.line);
        }
    }

    /// Connects to a host.
    pub(super) async fn connect(self, number: usize) -> Result<TokioIo<DuplexStream>, Error> {
        sleep(self.delay(Line::Open)).await;
        let (serve, line) = {
            let state = self.state();
            let host = state.hosts.get(&number);
            let host = host.ok_or_else(|| Error::from(ErrorKind::ConnectionRefused))?;
            (host.serve.clone(), host.line.subscribe())
        };
        if *line.borrow() == Line::Frozen {
            pending::<()>().await;
        }
        let (ours, client) = duplex(BUFFER);
        let (server, theirs) = duplex(BUFFER);
        let ((client_reads, client_writes), (server_reads, server_writes)) =
            (split(client), split(server));
        tokio::spawn(self.clone().carry(client_reads, server_writes, line.clone()));
        tokio::spawn(self.carry(server_reads, client_writes, line));
        serve(theirs);
        Ok(TokioIo::new(ours))
    }

    /// Carries bytes in one direction until the connection ends.
    async fn carry(
        self,
        mut from: ReadHalf<DuplexStream>,
        mut to: WriteHalf<DuplexStream>,
        mut line: Receiver<Line>,
    ) {
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = tokio::select! {
                biased;
                _ = line.wait_for(|line| *line == Line::Cut) => return,
                read = from.read(&mut buffer) => read.unwrap_or_default(),
            };
            let before = *line.borrow();
            sleep(self.delay(before)).await;
            match line.wait_for(|line| *line != Line::Frozen).await.map(|line| *line) {
                Ok(Line::Cut) | Err(_) => return,
                Ok(Line::Lossy) if self.state().rng.u8(..LOSS) == 0 => return,
                Ok(_) => {}
            }
            if read == 0 {
                let _ = to.shutdown().await;
                return;
            }
            let written = tokio::select! {
                biased;
                _ = line.wait_for(|line| *line == Line::Cut) => return,
                written = to.write_all(&buffer[..read]) => written,
            };
            if written.is_err() {
                return;
            }
        }
    }

    fn delay(&self, line: Line) -> Duration {
        let most = if line == Line::Slow { 250_000 } else { 2_000 };
        Duration::from_micros(self.state().rng.u64(..most))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
