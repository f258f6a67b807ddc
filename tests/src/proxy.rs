//! A TCP proxy between control and Redis whose subscriber connections can go silent.

use std::path::{Path, PathBuf};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// A running proxy. It ends with the test.
pub struct Proxy {
    url: String,
    dead: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy to the server on a socket.
    pub async fn start(socket: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let (dead, state) = watch::channel(false);
        let socket = socket.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, socket.clone(), state.clone()));
            }
        });
        Self { url: format!("redis://{address}/"), dead, task }
    }

    /// The proxy's address, as a Redis URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops all traffic on the connections that have subscribed so far, without closing them.
    /// Later connections work.
    pub fn kill_subscribers(&self) {
        self.dead.send_replace(true);
        self.dead.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, socket: PathBuf, mut dead: watch::Receiver<bool>) {
    let Ok(server) = UnixStream::connect(socket).await else {
        return;
    };
    let (subscribed, mut subscribes) = watch::channel(false);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let passing = async {
        tokio::select! {
            () = copy(from_client, to_server, Some(subscribed)) => {}
            () = copy(from_server, to_client, None) => {}
        }
    };
    let dying = async {
        let _ = subscribes.wait_for(|subscribes| *subscribes).await;
        dead.mark_unchanged();
        let _ = dead.changed().await;
    };
    tokio::pin!(passing);
    tokio::select! {
        () = &mut passing => {}
        // Keeps both ends open without traffic.
        () = dying => std::future::pending().await,
    }
}

/// Copies until an end is closed. Reports the first subscription.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    subscribes: Option<watch::Sender<bool>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..count];
        if let Some(subscribes) = &subscribes
            && bytes.windows(10).any(|word| word == b"SSUBSCRIBE")
        {
            subscribes.send_replace(true);
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
