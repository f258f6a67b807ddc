//! Advice about failed connections, most of which TLS has caused.

/// Each entry has the beginning of the address, a part of the error's text, and the advice. The
/// text is compared, since gRPC keeps nothing else of some errors.
const ADVICE: [(&str, &str, &str); 14] = [
    (
        "https://",
        "UnknownIssuer",
        "this machine does not trust the authority of its certificate: name the authority's file with --ca",
    ),
    (
        "https://",
        "CaUsedAsEndEntity",
        "its certificate is one for an authority, not for a server: give it a server's certificate",
    ),
    (
        "https://",
        "BadSignature",
        "the authority of its certificate has the name of a trusted one but another key: check --ca",
    ),
    (
        "https://",
        "not valid for name",
        "its certificate is for another name: use an address that the certificate names",
    ),
    ("https://", "certificate expired", "its certificate has expired, or the clock here is wrong"),
    (
        "https://",
        "certificate not valid yet",
        "its certificate is not valid yet, or the clock here is wrong",
    ),
    (
        "https://",
        "alert: CertificateRequired",
        "it wants a certificate from its clients: name one with --client-cert and --client-key",
    ),
    (
        "https://",
        "alert: UnknownCA",
        "it does not trust the authority of the certificate in --client-cert",
    ),
    // The certificate's authority has the name of a trusted authority but another key.
    (
        "https://",
        "alert: DecryptError",
        "it does not trust the authority of the certificate in --client-cert",
    ),
    ("https://", "alert: CertificateRevoked", "the certificate in --client-cert was revoked"),
    ("https://", "alert: CertificateExpired", "the certificate in --client-cert has expired"),
    ("https://", "InvalidContentType", "it has no TLS at this address: try http://"),
    ("http", "failed to lookup address", "its name can't be looked up: check the address"),
    ("http://", "frame with invalid size", "it seems to have TLS at this address: try https://"),
];

/// Parts of the texts of a closed connection's errors. Such an error can hide a refusal: the server
/// refuses a client's certificate after the client's handshake, and closing the socket can lose the
/// alert.
const CLOSED: [&str; 5] = [
    "connection closed",
    "closed connection",
    "connection reset",
    "broken pipe",
    // The connection has ended before the first call.
    "connection was not ready",
];

/// Returns what is wrong with a failed connection, if that is known.
pub fn advice(address: &str, cause: &str) -> Option<&'static str> {
    let known = ADVICE
        .iter()
        .find(|(scheme, words, _)| address.starts_with(scheme) && cause.contains(words));
    if let Some((_, _, advice)) = known {
        return Some(advice);
    }
    let cause = cause.to_lowercase();
    let is_closed = CLOSED.iter().any(|words| cause.contains(words));
    is_closed.then_some(if address.starts_with("https://") {
        "it may want a certificate from its clients, or another one: check --client-cert"
    } else {
        "check that it runs; if it has TLS, its address begins with https://"
    })
}
