//! The side that listens. Its certificate is read again when the files change, so that one that
//! was renewed is shown to the next connection.

use super::{authorities, certified, provider};
use futures_util::{Stream, StreamExt as _};
use rustls::{ServerConfig, server::WebPkiClientVerifier, sign::SingleCertAndKey};
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, sink},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client whose handshake failed may take to hear of it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// How many connections may be in their handshake at a time.
const HANDSHAKES: usize = 1024;

/// Where a server's certificate is.
#[derive(clap::Args, Clone, Default)]
pub struct ServerFiles {
    /// Serve with TLS by this certificate: PEM, with its chain. It is read again when it changes.
    #[arg(long, env = "ARIZUKO_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key, PEM.
    #[arg(long, env = "ARIZUKO_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl ServerFiles {
    /// What is wanted of them: nothing, or both.
    fn pair(&self) -> anyhow::Result<Option<(&Path, &Path)>> {
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            _ => anyhow::bail!("--tls-cert and --tls-key go together: name both, or neither"),
        }
    }

    /// Whether they are there to be served with.
    pub fn are_named(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// What URLs of this server begin with.
    pub fn scheme(&self) -> &'static str {
        if self.are_named() { "https" } else { "http" }
    }
}

/// Makes TLS of connections.
pub struct Acceptor {
    /// The certificate, its key, and the authorities of clients where there are any.
    files: Vec<PathBuf>,
    protocols: Vec<Vec<u8>>,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    /// The files' state when they were read last, whatever came of it.
    state: Vec<Option<FileState>>,
    config: Arc<ServerConfig>,
}

/// By what a changed file is told: also one that a link now leads to.
#[derive(Clone, Copy, PartialEq)]
struct FileState {
    inode: (u64, u64),
    modified: (i64, i64),
    size: u64,
}

impl Acceptor {
    /// Reads the files, if any are named. `protocols` are those of ALPN, the preferred one first.
    /// With `client_ca`, every client has to show a certificate by one of its authorities.
    pub fn new(
        files: &ServerFiles,
        client_ca: Option<&Path>,
        protocols: &[&str],
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let Some((cert, key)) = files.pair()? else {
            anyhow::ensure!(client_ca.is_none(), "--client-ca goes with --tls-cert");
            return Ok(None);
        };
        let files = [Some(cert), Some(key), client_ca].into_iter().flatten();
        let files: Vec<_> = files.map(Path::to_owned).collect();
        let protocols: Vec<_> = protocols.iter().map(|name| name.as_bytes().into()).collect();
        let state = state(&files);
        let config = load(&files, &protocols)?;
        let loaded = Mutex::new(Loaded { state, config });
        Ok(Some(Arc::new(Self { files, protocols, loaded })))
    }

    /// The handshake.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = TlsAcceptor::from(self.current()).accept(stream);
        match timeout(HANDSHAKE_TIMEOUT, handshake.into_fallible()).await? {
            Ok(stream) => Ok(stream),
            Err((error, stream)) => {
                leave(stream).await;
                Err(error)
            }
        }
    }

    /// The connections of those whose handshake succeeds. Many are under way at a time: one that
    /// hangs holds up nobody.
    pub fn incoming(
        self: Arc<Self>,
        streams: impl Stream<Item = io::Result<TcpStream>>,
    ) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
        let handshakes = streams.map(move |stream| {
            let acceptor = Arc::clone(&self);
            async move {
                let stream = stream?;
                let peer = stream.peer_addr()?;
                let accepted = acceptor.accept(stream).await;
                accepted.inspect_err(|error| tracing::warn!(%peer, %error, "no TLS with a client"))
            }
        });
        handshakes.buffer_unordered(HANDSHAKES)
    }

    /// What the files say now; while they say nothing that can be served, what they said before.
    /// To look at three files costs a thousandth of a handshake.
    fn current(&self) -> Arc<ServerConfig> {
        // Nothing in here can panic half way.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state(&self.files);
        if state != loaded.state {
            loaded.state = state;
            match load(&self.files, &self.protocols) {
                Ok(config) => {
                    tracing::info!("the certificate has changed, and is served from now on");
                    loaded.config = config;
                }
                Err(error) => {
                    tracing::error!(
                        "the certificate has changed, and can't be served: {error:#}; the one before it stays"
                    );
                }
            }
        }
        Arc::clone(&loaded.config)
    }
}

/// Closes a connection whose handshake failed. Were it closed with something unread it would be
/// reset, and the client would not hear the alert that says why.
async fn leave(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let reading = async {
        stream.shutdown().await?;
        copy(&mut stream, &mut sink()).await
    };
    // Whatever comes of it, it is closed now.
    let _ = timeout(LEAVE_TIMEOUT, reading).await;
}

fn state(files: &[PathBuf]) -> Vec<Option<FileState>> {
    let state = |file| {
        let file = fs::metadata(file).ok()?;
        Some(FileState {
            inode: (file.dev(), file.ino()),
            modified: (file.mtime(), file.mtime_nsec()),
            size: file.size(),
        })
    };
    files.iter().map(state).collect()
}

fn load(files: &[PathBuf], protocols: &[Vec<u8>]) -> anyhow::Result<Arc<ServerConfig>> {
    let [cert, key, client_ca @ ..] = files else {
        anyhow::bail!("no certificate and key are named");
    };
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match client_ca.first() {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(authorities(file)?);
            let clients = WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?;
            builder.with_client_cert_verifier(clients)
        }
    };
    let certified = SingleCertAndKey::from(certified(cert, key)?);
    let mut config = builder.with_cert_resolver(Arc::new(certified));
    config.alpn_protocols = protocols.to_vec();
    Ok(Arc::new(config))
}
