//! TLS with certificates from PEM files, for programs that listen and programs that connect, and
//! advice about its errors.

mod advice;
mod client;
mod names;
mod server;

pub use advice::advice;
pub use client::ClientFiles;
pub use names::{certificate_end, client_names};
pub use server::{Acceptor, ClientChecks, ServerTls};
pub use tokio_rustls::server::TlsStream;

use anyhow::Context as _;
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use std::{path::Path, sync::Arc};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Reads all certificates in a file: at least one.
fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().with_context(|| format!("cannot read {}", file.display()))?;
    anyhow::ensure!(
        !certificates.is_empty(),
        "there is no certificate in {}: a PEM file begins with -----BEGIN CERTIFICATE-----",
        file.display()
    );
    Ok(certificates)
}

/// Reads a certificate with its chain, and its key.
fn certified(cert: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let secret = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read a key from {}", key.display()))?;
    CertifiedKey::from_der(certificates(cert)?, secret, &provider()).with_context(|| {
        let (cert, key) = (cert.display(), key.display());
        format!("cannot use the key in {key}: it is of an unknown kind, or is not the key of the certificate in {cert}")
    })
}

/// Reads all revocation lists in a file: at least one.
fn revocations(file: &Path) -> anyhow::Result<Vec<CertificateRevocationListDer<'static>>> {
    let read = || CertificateRevocationListDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
    let lists = read().with_context(|| format!("cannot read {}", file.display()))?;
    anyhow::ensure!(
        !lists.is_empty(),
        "there is no revocation list in {}: a PEM file begins with -----BEGIN X509 CRL-----",
        file.display()
    );
    Ok(lists)
}

/// Reads the certificate authorities in a file.
fn authorities(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).with_context(|| {
            format!("{} has a certificate that cannot be an authority", file.display())
        })?;
    }
    Ok(roots)
}
