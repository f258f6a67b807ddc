//! TLS of programs that listen. They read their certificate again when its file changes, so that
//! the next connection gets a renewed one.

use super::{authorities, certified, provider};
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
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client whose handshake failed may take to read the alert.
const ALERT_TIMEOUT: Duration = Duration::from_secs(1);

/// The files of a server's certificate.
#[derive(clap::Args, Clone, Default)]
pub struct ServerFiles {
    /// Serve TLS with the certificate and chain in this PEM file, which is read again when it
    /// changes.
    #[arg(long, env = "ARIZUKO_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the key of --tls-cert.
    #[arg(long, env = "ARIZUKO_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl ServerFiles {
    /// Returns both files, or none.
    fn pair(&self) -> anyhow::Result<Option<(&Path, &Path)>> {
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            _ => anyhow::bail!("--tls-cert and --tls-key go together: name both, or neither"),
        }
    }

    /// Says whether the server has TLS.
    pub fn are_named(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// Returns the scheme of the server's URLs.
    pub fn scheme(&self) -> &'static str {
        if self.are_named() { "https" } else { "http" }
    }
}

/// Accepts TLS connections.
pub struct Acceptor {
    /// The certificate, its key, and the clients' authorities if clients need certificates.
    files: Vec<PathBuf>,
    protocols: Vec<Vec<u8>>,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    /// The files' state when they were last read, with or without success.
    state: Vec<Option<FileState>>,
    config: Arc<ServerConfig>,
}

/// Detects a changed file, also if a symbolic link now leads to another one.
#[derive(Clone, Copy, PartialEq)]
struct FileState {
    inode: (u64, u64),
    modified: (i64, i64),
    size: u64,
}

impl Acceptor {
    /// Reads the files; `None` if the server has no TLS. `protocols` are ALPN's, the preferred one
    /// first. With `client_ca`, every client must show a certificate of one of its authorities.
    pub fn new(
        files: &ServerFiles,
        client_ca: Option<&Path>,
        protocols: &[&str],
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let Some((cert, key)) = files.pair()? else {
            anyhow::ensure!(client_ca.is_none(), "--client-ca needs --tls-cert and --tls-key");
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

    /// Does the handshake.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = TlsAcceptor::from(self.current()).accept(stream);
        match timeout(HANDSHAKE_TIMEOUT, handshake.into_fallible()).await? {
            Ok(stream) => Ok(stream),
            Err((error, stream)) => {
                close(stream).await;
                Err(error)
            }
        }
    }

    /// Returns the configuration that the files make now or, if they can't be used, the last good
    /// one. Checking three files costs a thousandth of a handshake.
    fn current(&self) -> Arc<ServerConfig> {
        // A panic leaves the value consistent.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state(&self.files);
        if state != loaded.state {
            loaded.state = state;
            match load(&self.files, &self.protocols) {
                Ok(config) => {
                    tracing::info!("reloaded the certificate");
                    loaded.config = config;
                }
                Err(error) => {
                    tracing::error!(
                        "cannot reload the certificate: {error:#}; keeping the one before"
                    );
                }
            }
        }
        Arc::clone(&loaded.config)
    }
}

/// Closes a connection whose handshake failed. Reads it to its end first: closing it with unread
/// data would reset it, and the client would lose the alert that says why.
async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let reading = async {
        stream.shutdown().await?;
        copy(&mut stream, &mut sink()).await
    };
    // Dropping the stream closes it in any case.
    let _ = timeout(ALERT_TIMEOUT, reading).await;
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
