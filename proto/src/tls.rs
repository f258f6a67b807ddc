//! TLS as each of our programs has it: certificates from PEM files, on the side that listens and
//! on the side that connects, and what goes wrong in plain words.

mod client;
mod server;
mod trouble;

pub use client::ClientFiles;
pub use server::{Acceptor, ServerFiles};
pub use tokio_rustls::server::TlsStream;
pub use trouble::advice;

use anyhow::Context as _;
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use std::{path::Path, sync::Arc};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// All certificates in a file: at least one.
fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().with_context(|| format!("cannot read {}", file.display()))?;
    anyhow::ensure!(
        !certificates.is_empty(),
        "there is no certificate in {}: it should begin with -----BEGIN CERTIFICATE-----",
        file.display()
    );
    Ok(certificates)
}

/// A certificate, with its chain, and the key that goes with it.
fn certified(cert: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let secret = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read a key from {}", key.display()))?;
    CertifiedKey::from_der(certificates(cert)?, secret, &provider()).with_context(|| {
        let (cert, key) = (cert.display(), key.display());
        format!("the certificate in {cert} and the key in {key} don't go together")
    })
}

/// The authorities in a file.
fn authorities(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .with_context(|| format!("{} is of no use as an authority", file.display()))?;
    }
    Ok(roots)
}
