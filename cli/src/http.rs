//! The parts that the HTTP clients of this command share.

use anyhow::Chain;
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::{
    Client, ClientBuilder, Url,
    header::{HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use rustls::{CertificateError, Error as TlsError};
use std::{error::Error, io, time::Duration};

/// Prepares a client for requests to `base` and the URLs below it.
pub(crate) fn client(base: &Url) -> ClientBuilder {
    let mut builder = Client::builder()
        .user_agent(concat!("arizuko/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .redirect(Policy::none());
    if base.scheme() == "http" {
        // A machine may lack root certificates, and HTTP needs none.
        builder = builder.tls_certs_only([]);
    }
    if is_local(base) {
        builder = builder.no_proxy();
    }
    builder
}

/// Whether a URL leads to this machine.
pub(crate) fn is_local(url: &Url) -> bool {
    let host = url.host_str();
    host.is_some_and(|host| matches!(host, "localhost" | "[::1]") || host.starts_with("127."))
}

/// Says in plain words why a request failed, without the URL, which may contain a secret.
pub(crate) fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let chain = || Chain::new(&error);
    if error.is_timeout() {
        return "no answer in time".into();
    }
    if let Some(tls) = chain().find_map(tls_error) {
        return tls_cause(tls).into();
    }
    let mut of_system = chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    if let Some(io) = of_system.find(|io| io.raw_os_error().is_some()) {
        return io.kind().to_string();
    }
    if chain().any(|cause| cause.is::<serde_json::Error>()) {
        return "the answer is not JSON".into();
    }
    let last = chain().last().map_or_else(String::new, ToString::to_string);
    match last.starts_with("failed to lookup address") {
        true => "its name can't be looked up".into(),
        false => last,
    }
}

/// Returns the error of TLS in this error, which may wrap it several times.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let inner = || error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.downcast_ref().or_else(|| inner().and_then(|inner| tls_error(inner)))
}

fn tls_cause(error: &TlsError) -> &'static str {
    match error {
        TlsError::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired, or the clock here is wrong"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet, or the clock here is wrong"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name"
            }
            CertificateError::Revoked => "its certificate was revoked",
            _ => "this machine does not trust its certificate",
        },
        TlsError::InvalidMessage(_) => "it has no TLS at this address",
        TlsError::AlertReceived(_) => "it refuses the TLS connection",
        _ => "the TLS connection failed",
    }
}

/// Reads Retry-After, which is a number of seconds or a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTimeParser::new().parse_timestamp(value).ok()?;
    // A date that has passed means: now.
    Some(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_its_forms() {
        let read = |text: &str| {
            let value = text.parse().unwrap();
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            read("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::ZERO),
            "a date that has passed"
        );
        let later = read("Fri, 01 Jan 2100 00:00:00 GMT");
        assert!(later.is_some_and(|later| later > Duration::from_secs(3600)));
        assert_eq!(read("soon"), None);
    }
}
