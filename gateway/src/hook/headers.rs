//! The headers of a webhook's request that its agent sees.

use arizuko_proto::v1 as pb;
use bytes::Bytes;
use http::{HeaderMap, header::CONNECTION};

/// If a header's name has one of these words, the header holds a credential. Agents must not see
/// credentials, and need none: the link's secret admits the sender.
const CREDENTIALS: [&str; 8] =
    ["authorization", "cookie", "token", "secret", "password", "passwd", "credential", "apikey"];
/// If a header's name has one of these words before `-key`, the header holds a credential.
/// `Idempotency-Key` holds none.
const KINDS_OF_KEY: [&str; 9] = [
    "api",
    "access",
    "auth",
    "functions",
    "license",
    "private",
    "secret",
    "shared",
    "subscription",
];
/// Headers of the connection, not of the request.
const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The headers of a request, without those of its connection.
pub(super) struct Headers {
    /// Those that the agent sees.
    pub(super) forwarded: Vec<pb::Header>,
    /// Those with a credential. Control reads them to check the sender's signature, and does not
    /// store them.
    pub(super) credentials: Vec<pb::Header>,
}

pub(super) fn sort(headers: &HeaderMap) -> Headers {
    let connection = headers.get_all(CONNECTION).iter();
    let named: Vec<_> = connection
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let is_of_connection =
        |name: &str| HOP_BY_HOP.contains(&name) || named.iter().any(|named| named == name);
    let own = headers.iter().filter(|(name, _)| !is_of_connection(name.as_str()));
    let own = own.map(|(name, value)| pb::Header {
        name: name.to_string(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    });
    let (credentials, forwarded) = own.partition(|header| is_credential(&header.name));
    Headers { forwarded, credentials }
}

/// Whether a header's name says that it holds a credential, such as `x-gitlab-token`, `x-api-key`
/// or `x-telegram-bot-api-secret-token`. A signature is not a credential: it is of no use for
/// another request.
fn is_credential(name: &str) -> bool {
    let words: Vec<&str> = name.split(['-', '_']).collect();
    let is_key = |pair: &[&str]| KINDS_OF_KEY.contains(&pair[0]) && pair[1] == "key";
    words.iter().any(|word| CREDENTIALS.contains(word)) || words.windows(2).any(is_key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn agents_see_no_credentials_and_no_headers_of_the_connection() {
        let headers = [
            ("host", "a.example"),
            ("x-hub-signature-256", "sha256=1"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-gitlab-token", "t"),
            ("x-api-key", "t"),
            ("x-telegram-bot-api-secret-token", "t"),
            ("x_auth_token", "t"),
            ("idempotency-key", "1"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("x-twice", "1"),
            ("x-twice", "2"),
        ];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let Headers { forwarded, credentials } = sort(&map);
        let names: Vec<_> = forwarded.iter().map(|header| header.name.as_str()).collect();
        let kept = ["host", "x-hub-signature-256", "idempotency-key", "x-twice", "x-twice"];
        assert_eq!(names, kept);
        assert_eq!(forwarded[4].value, "2");
        assert_eq!(credentials.len(), 6);
    }
}
