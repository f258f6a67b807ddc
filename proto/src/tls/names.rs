//! What certificates say: a client's names, and when the certificate ends.

use super::TlsStream;
use anyhow::Context as _;
use std::time::SystemTime;
use x509_cert::{
    Certificate,
    der::{Decode as _, asn1::Any},
    ext::pkix::{
        SubjectAltName,
        name::{DirectoryString, GeneralName},
    },
};

/// The object identifier of a common name.
const COMMON_NAME: &str = "2.5.4.3";

/// Returns the common names of the client's certificate, and its alternative names that are hosts,
/// URIs or mail addresses. The handshake has verified the certificate.
///
/// # Errors
/// The client has shown no certificate, or a malformed one.
pub fn client_names<S>(stream: &TlsStream<S>) -> anyhow::Result<Vec<String>> {
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let shown = Certificate::from_der(shown.context("the client has no certificate")?)?;
    let body = shown.tbs_certificate();
    let common = body.subject().iter().filter(|part| part.oid.to_string() == COMMON_NAME);
    let common = common.map(|part| Ok(text(&part.value)?));
    let mut names = common.collect::<anyhow::Result<Vec<_>>>()?;
    let others = body.get_extension::<SubjectAltName>()?;
    names.extend(others.into_iter().flat_map(|(_, others)| others.0).filter_map(
        |name| match name {
            GeneralName::DnsName(name)
            | GeneralName::Rfc822Name(name)
            | GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
            _ => None,
        },
    ));
    Ok(names)
}

/// Returns when a certificate ends. `certificate` is its DER.
///
/// # Errors
/// It is malformed.
pub fn certificate_end(certificate: &[u8]) -> anyhow::Result<SystemTime> {
    let certificate = Certificate::from_der(certificate)?;
    Ok(certificate.tbs_certificate().validity().not_after.to_system_time())
}

fn text(value: &Any) -> x509_cert::der::Result<String> {
    Ok(DirectoryString::try_from(value)?.into())
}
