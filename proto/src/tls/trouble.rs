//! What failures to connect mean where TLS may be behind them.

/// What a failure says, for which addresses, and what is to be done about it. The layers of gRPC
/// keep nothing of some errors but their words, so it is the words that tell.
const ADVICE: [(&str, &str, &str); 11] = [
    (
        "https://",
        "UnknownIssuer",
        "nobody here knows the authority that its certificate is by: name that one's file with --ca",
    ),
    (
        "https://",
        "BadSignature",
        "the authority that its certificate is by has the name of one that is known here, and is another: see --ca",
    ),
    (
        "https://",
        "not valid for name",
        "its certificate is for another name: call it by one that is in it",
    ),
    ("https://", "certificate expired", "its certificate has to be renewed; or the clock is wrong"),
    (
        "https://",
        "certificate not valid yet",
        "its certificate begins later; or the clock is wrong",
    ),
    (
        "https://",
        "alert: CertificateRequired",
        "it wants a certificate of its clients: name one with --client-cert and --client-key",
    ),
    (
        "https://",
        "alert: UnknownCA",
        "it does not know the authority that the certificate in --client-cert is by",
    ),
    // What comes of an authority with the name of the right one.
    (
        "https://",
        "alert: DecryptError",
        "it does not know the authority that the certificate in --client-cert is by",
    ),
    ("https://", "alert: CertificateExpired", "the certificate in --client-cert has to be renewed"),
    ("https://", "InvalidContentType", "it has no TLS there: does its address begin with http://?"),
    (
        "http://",
        "frame with invalid size",
        "it has TLS there, it seems: does its address begin with https://?",
    ),
];

/// Nothing but that the link is cut, which may be all that is heard of a refusal: a certificate is
/// refused after the handshake, and a closed socket takes with it what was said last.
const CUT: [&str; 4] =
    ["connection closed", "closed connection", "connection reset", "broken pipe"];

/// What to do about a failure to connect to an address, if TLS may be behind it.
pub fn advice(address: &str, cause: &str) -> Option<&'static str> {
    let known = ADVICE
        .iter()
        .find(|(scheme, words, _)| address.starts_with(scheme) && cause.contains(words));
    if let Some((_, _, advice)) = known {
        return Some(advice);
    }
    let cause = cause.to_lowercase();
    let cut = CUT.iter().any(|words| cause.contains(words));
    cut.then_some(if address.starts_with("https://") {
        "it may want a certificate of its clients, or another one: see --client-cert"
    } else {
        "is it up? If it has TLS there, its address begins with https://"
    })
}
