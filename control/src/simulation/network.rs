//! The network between clients and controls: bytes take a while, and a connection can freeze or be
//! cut.

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

/// What happens on the connections to one control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Open,
    /// Nothing arrives, and nothing says so.
    Frozen,
    Cut,
}

/// Serves a connection.
type Serve = Arc<dyn Fn(DuplexStream) + Send + Sync>;

/// The controls that can be reached, by their numbers.
#[derive(Clone)]
pub(super) struct Network(Arc<Mutex<State>>);

struct State {
    hosts: BTreeMap<usize, Host>,
    rng: Rng,
}

struct Host {
    serve: Serve,
    line: Sender<Line>,
}

impl Network {
    pub(super) fn new(rng: Rng) -> Self {
        Self(Arc::new(Mutex::new(State { hosts: BTreeMap::new(), rng })))
    }

    /// Lets a control be reached. The connections to the one that had its number before are cut.
    pub(super) fn host(&self, number: usize, serve: Serve) {
        self.cut(number);
        let line = Sender::new(Line::Open);
        self.state().hosts.insert(number, Host { serve, line });
    }

    /// Cuts all connections to a control, and takes no more of them.
    pub(super) fn take_down(&self, number: usize) {
        self.cut(number);
        self.state().hosts.remove(&number);
    }

    /// Cuts all connections to a control. It can be reached again at once.
    pub(super) fn cut(&self, number: usize) {
        if let Some(host) = self.state().hosts.get_mut(&number) {
            std::mem::replace(&mut host.line, Sender::new(Line::Open)).send_replace(Line::Cut);
        }
    }

    /// Freezes all connections to a control, or lets them go on. New ones are frozen, too.
    pub(super) fn set_frozen(&self, number: usize, is_frozen: bool) {
        if let Some(host) = self.state().hosts.get(&number) {
            host.line.send_replace(if is_frozen { Line::Frozen } else { Line::Open });
        }
    }

    /// Connects to a control.
    pub(super) async fn connect(self, number: usize) -> Result<TokioIo<DuplexStream>, Error> {
        sleep(self.delay()).await;
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
            sleep(self.delay()).await;
            match line.wait_for(|line| *line != Line::Frozen).await {
                Ok(line) if *line == Line::Open => {}
                _ => return,
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

    fn delay(&self) -> Duration {
        Duration::from_micros(self.state().rng.u64(..2_000))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
