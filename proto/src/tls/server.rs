//! TLS of programs that listen. They read their certificate again when its file changes, so that
//! the next connection gets the renewed certificate.

use super::{authorities, certificate_end, certified, provider, revocations};
use crate::duration;
use rustls::{
    ServerConfig,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
};
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, sink},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a client whose handshake failed may take to read the alert.
const ALERT_TIMEOUT: Duration = Duration::from_secs(1);

/// A server's flags for TLS.
#[derive(clap::Args, Clone, Default)]
pub struct ServerTls {
    /// Serve TLS with the certificate and chain in this PEM file, which is read again when it
    /// changes.
    #[arg(long, help_heading = "TLS", env = "ARIZUKO_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the key of --tls-cert.
    #[arg(long, help_heading = "TLS", env = "ARIZUKO_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// How long a TLS handshake may take.
    #[arg(long, help_heading = "TLS", env = "ARIZUKO_TLS_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub tls_timeout: Duration,
}

impl ServerTls {
    /// Returns the certificate's file and the key's; `None` if neither is named.
    fn pair(&self) -> anyhow::Result<Option<(&Path, &Path)>> {
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            _ => anyhow::bail!("--tls-cert and --tls-key go together: name both, or neither"),
        }
    }

    /// Whether the server has TLS.
    pub fn are_named(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// Returns the scheme of the server's URLs.
    pub fn scheme(&self) -> &'static str {
        if self.are_named() { "https" } else { "http" }
    }
}

/// Which certificates a server's clients must show.
#[derive(clap::Args, Clone, Default)]
pub struct ClientChecks {
    /// Let in only clients that show a certificate from an authority in this PEM file.
    #[arg(long, help_heading = "TLS", env = "ARIZUKO_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Refuse new connections with a certificate that a revocation list in this PEM file names. The
    /// file needs a list from each authority, and is read again when it changes.
    #[arg(long, help_heading = "TLS", env = "ARIZUKO_CLIENT_CRL", value_name = "FILE")]
    pub client_crl: Option<PathBuf>,
}

/// Accepts TLS connections.
pub struct Acceptor {
    files: Files,
    protocols: Vec<Vec<u8>>,
    timeout: Duration,
    loaded: Mutex<Loaded>,
}

struct Files {
    cert: PathBuf,
    key: PathBuf,
    clients: ClientChecks,
}

struct Loaded {
    /// The files' state when they were last read, with or without success.
    state: Vec<Option<FileState>>,
    config: Arc<ServerConfig>,
    /// When the certificate expires; `None` if its expiry date can't be read.
    end: Option<SystemTime>,
}

/// The state of a file. It differs once the file has changed, or its symbolic link leads to another
/// file.
#[derive(Clone, Copy, PartialEq)]
struct FileState {
    inode: (u64, u64),
    modified: (i64, i64),
    size: u64,
}

impl Acceptor {
    /// Reads the files; `None` if the server has no TLS. `protocols` are the names for ALPN, the
    /// preferred one first.
    pub fn new(
        tls: &ServerTls,
        clients: &ClientChecks,
        protocols: &[&str],
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let ClientChecks { client_ca, client_crl } = clients;
        anyhow::ensure!(
            client_crl.is_none() || client_ca.is_some(),
            "--client-crl needs --client-ca"
        );
        let Some((cert, key)) = tls.pair()? else {
            anyhow::ensure!(client_ca.is_none(), "--client-ca needs --tls-cert and --tls-key");
            return Ok(None);
        };
        let protocols: Vec<_> = protocols.iter().map(|name| name.as_bytes().into()).collect();
        let files = Files { cert: cert.to_owned(), key: key.to_owned(), clients: clients.clone() };
        let (state, (config, end)) = (files.state(), files.load(&protocols)?);
        let loaded = Mutex::new(Loaded { state, config, end });
        Ok(Some(Arc::new(Self { files, protocols, timeout: tls.tls_timeout, loaded })))
    }

    /// Does the handshake.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = TlsAcceptor::from(Arc::clone(&self.current().config)).accept(stream);
        match timeout(self.timeout, handshake.into_fallible()).await? {
            Ok(stream) => Ok(stream),
            Err((error, stream)) => {
                close(stream).await;
                Err(error)
            }
        }
    }

    /// Returns when the certificate ends.
    pub fn certificate_end(&self) -> Option<SystemTime> {
        self.current().end
    }

    /// Returns the configuration from the files as they are now or, if they can't be used, the last
    /// good one. Checking four files costs a thousandth of a handshake.
    fn current(&self) -> MutexGuard<'_, Loaded> {
        // A panic leaves the value consistent.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.files.state();
        if state != loaded.state {
            loaded.state = state;
            match self.files.load(&self.protocols) {
                Ok((config, end)) => {
                    tracing::info!("reloaded the certificate and the other TLS files");
                    (loaded.config, loaded.end) = (config, end);
                }
                Err(error) => {
                    tracing::error!(
                        "cannot reload the TLS files: {error:#}; keeping the previous ones"
                    );
                }
            }
        }
        loaded
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

impl Files {
    fn state(&self) -> Vec<Option<FileState>> {
        let ClientChecks { client_ca, client_crl } = &self.clients;
        let files = [Some(&self.cert), Some(&self.key), client_ca.as_ref(), client_crl.as_ref()];
        let state = |file: &PathBuf| {
            let file = fs::metadata(file).ok()?;
            Some(FileState {
                inode: (file.dev(), file.ino()),
                modified: (file.mtime(), file.mtime_nsec()),
                size: file.size(),
            })
        };
        files.into_iter().flatten().map(state).collect()
    }

    /// Returns the configuration, and when its certificate ends.
    fn load(
        &self,
        protocols: &[Vec<u8>],
    ) -> anyhow::Result<(Arc<ServerConfig>, Option<SystemTime>)> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?;
        let builder = match &self.clients.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => builder.with_client_cert_verifier(self.verifier(file)?),
        };
        let certified = certified(&self.cert, &self.key)?;
        let end = certified.cert.first().and_then(|shown| certificate_end(shown).ok());
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = protocols.to_vec();
        Ok((Arc::new(config), end))
    }

    /// Returns the check of clients' certificates. With a revocation file, a certificate is refused
    /// if the file has no list from its authority.
    fn verifier(&self, client_ca: &Path) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
        let roots = Arc::new(authorities(client_ca)?);
        let mut clients = WebPkiClientVerifier::builder_with_provider(roots, provider());
        if let Some(file) = &self.clients.client_crl {
            clients = clients.with_crls(revocations(file)?).only_check_end_entity_revocation();
        }
        Ok(clients.build()?)
    }
}
