//! The syntax of event streams.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, header};
use serde::Serialize;
use std::{fmt::Write as _, time::Duration};

/// How long a reader waits before it reconnects.
const RETRY: Duration = Duration::from_secs(2);
/// How much longer a reader waits after an outage: a random time up to this, so that not all
/// readers reconnect at once.
const RETRY_SPREAD: Duration = Duration::from_secs(4);

/// Writes a start, which makes proxies send the response's head at once.
pub(crate) fn write_start(out: &mut String) {
    let _ = write!(out, "retry: {}\n: welcome\n\n", RETRY.as_millis());
}

/// Characters that some readers take for the end of a line, and their escapes in JSON.
const BREAKS: [(char, &str); 3] =
    [('\u{85}', r"\u0085"), ('\u{2028}', r"\u2028"), ('\u{2029}', r"\u2029")];

pub(crate) fn write_event(out: &mut String, name: &str, data: &impl Serialize) {
    let _ = writeln!(out, "event: {name}");
    write_data(out, data);
}

/// Writes an event without a name.
pub(crate) fn write_data(out: &mut String, data: &impl Serialize) {
    write_fields(out, data);
    out.push('\n');
}

/// Writes an event with an id. The id comes last, because some readers note it at once and would
/// skip an event that is cut off after it.
pub(crate) fn write_numbered(out: &mut String, id: &str, name: &str, data: &impl Serialize) {
    if !name.is_empty() {
        let _ = writeln!(out, "event: {name}");
    }
    write_fields(out, data);
    let _ = write!(out, "id: {id}\n\n");
}

fn write_fields(out: &mut String, data: &impl Serialize) {
    match serde_json::to_string(data) {
        // JSON has no other line breaks: those in strings are escaped.
        Ok(mut data) => {
            for (character, escaped) in BREAKS {
                if data.contains(character) {
                    data = data.replace(character, escaped);
                }
            }
            let _ = writeln!(out, "data: {data}");
        }
        Err(error) => tracing::error!(%error, "cannot encode an event as JSON"),
    }
}

/// Writes a comment, which keeps proxies from closing an idle stream.
pub(crate) fn write_comment(out: &mut String) {
    out.push_str(":\n\n");
}

/// Asks the reader to reconnect after a longer wait, because of an outage or because the gateway
/// stops. The stream ends after this.
pub(crate) fn write_retry_later(out: &mut String) {
    // If there is no random number, the wait is not spread. That does no harm.
    let random = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    let wait = RETRY + RETRY_SPREAD.mul_f64(random);
    let _ = write!(out, "retry: {}\n\n", wait.as_millis());
}

pub(crate) fn response(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        // Keeps nginx from buffering events.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}
