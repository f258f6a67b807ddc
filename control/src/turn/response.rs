//! An agent's answer to the HTTP request of a webhook's sender.

use crate::{
    hook_request::{Blob, Header},
    ids::TurnId,
    limits::Limits,
    names,
    transaction::Record,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The media types that a body may have, besides those of JSON that end with `+json`: none that a
/// browser shows as a page of ours.
const TYPES: [&str; 7] = [
    "text/plain",
    "text/xml",
    "application/xml",
    "application/soap+xml",
    "application/json",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
];
/// The headers that a response may have, besides its type.
const HEADERS: [&str; 2] = ["retry-after", "x-slack-no-retry"];
/// How many characters a type or a header's value has, at most.
const MAX_VALUE: usize = 100;

/// The response that answers a delivery. It is written once in a turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HttpResponse {
    pub(crate) status: u32,
    pub(crate) content_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Blob,
}

impl Record for HttpResponse {
    type Id = TurnId;

    const IS_READ_SOON: bool = false;

    fn name(turn: &TurnId) -> String {
        names::response(turn)
    }

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        Some(limits.conversation_lifetime())
    }
}

impl HttpResponse {
    /// Returns how many bytes it has.
    pub(crate) fn size(&self) -> usize {
        let headers = self.headers.iter().map(Header::size).sum::<usize>();
        self.content_type.len() + headers + self.body.size()
    }

    /// Returns why it can't be sent, for the operator; `None` if it can.
    pub(super) fn fault(&self) -> Option<String> {
        let Self { status, content_type, headers, body } = self;
        if !matches!(status, 200..=299 | 400..=599) {
            return Some(format!(
                "a response has a status of 200 to 299 or 400 to 599, not {status}"
            ));
        }
        if matches!(status, 204 | 205) && body.size() > 0 {
            return Some(format!("a response of status {status} has no body"));
        }
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = media_type.to_ascii_lowercase();
        let is_json = media_type.starts_with("application/") && media_type.ends_with("+json");
        if !is_value(content_type) || !(is_json || TYPES.contains(&&*media_type)) {
            return Some(format!("a response can't have the type {content_type:?}"));
        }
        let is_allowed = |header: &&Header| {
            let name = header.name.to_ascii_lowercase();
            HEADERS.contains(&&*name)
                && matches!(&header.value, Blob::Text(value) if is_value(value))
        };
        let other = headers.iter().find(|header| !is_allowed(header))?;
        Some(format!("a response can't have the header {:?}, or not this value", other.name))
    }
}

/// Whether a header may have this value.
fn is_value(text: &str) -> bool {
    text.len() <= MAX_VALUE && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u32, content_type: &str, headers: &[(&str, &str)]) -> Option<String> {
        let header = |(name, value): &(&str, &str)| Header {
            name: (*name).to_owned(),
            value: Blob::new(value.as_bytes()),
        };
        let headers = headers.iter().map(header).collect();
        let (content_type, body) = (content_type.to_owned(), Blob::new(b"x"));
        HttpResponse { status, content_type, headers, body }.fault()
    }

    #[test]
    fn protocols_of_senders_are_allowed() {
        for content_type in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/vnd.api+json",
            "text/xml",
            "text/plain;charset=utf-8",
        ] {
            assert_eq!(fault(200, content_type, &[]), None, "{content_type}");
        }
        assert_eq!(fault(599, "text/plain", &[("X-Slack-No-Retry", "1")]), None);
        assert_eq!(fault(429, "text/plain", &[("retry-after", "1")]), None);
    }

    #[test]
    fn pages_scripts_redirects_and_cookies_are_not() {
        for content_type in [
            "text/html",
            "application/xhtml+xml",
            "image/svg+xml",
            "text/javascript",
            "multipart/x-mixed-replace",
            "text/html;application/json",
            "application/json\r\nset-cookie: a=b",
            "",
        ] {
            assert!(fault(200, content_type, &[]).is_some(), "{content_type}");
        }
        for status in [0, 100, 199, 204, 205, 300, 302, 399, 600, 70_000] {
            assert!(fault(status, "text/plain", &[]).is_some(), "{status}");
        }
        for header in [
            ("set-cookie", "a=b"),
            ("location", "/"),
            ("x-accel-redirect", "/"),
            ("retry-after", "1\r\nset-cookie: a=b"),
        ] {
            assert!(fault(200, "text/plain", &[header]).is_some(), "{header:?}");
        }
    }
}
