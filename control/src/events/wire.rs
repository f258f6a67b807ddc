//! An event as its receiver gets it: a CloudEvent in JSON, signed by Standard Webhooks.

use super::event::Event;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Map, Value, json};

/// The Content-Type of a CloudEvent in structured mode.
pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json";
/// The beginning of a secret, by which people and scanners recognise it.
const SECRET_PREFIX: &str = "whsec_";

/// Returns the body of an event. It is the same in each attempt.
pub(super) fn body(event: &Event, public_url: &str) -> String {
    let at = i64::try_from(event.at.as_millis()).ok();
    let at = at.and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or_default();
    let mut data = Map::from_iter(event.more.iter().map(|(k, v)| (k.clone(), v.clone().into())));
    let ids = [
        ("folder", event.folder.as_str()),
        ("token_id", event.token.as_str()),
        ("conversation_id", &event.conversation),
        ("turn_id", &event.turn),
    ];
    let ids = ids.into_iter().filter(|(_, id)| !id.is_empty());
    data.extend(ids.map(|(name, id)| (name.to_owned(), Value::from(id))));
    json!({
        "specversion": "1.0",
        "id": event.id,
        "source": format!("{public_url}/{}", event.folder),
        "type": format!("arizuko.{}", event.kind.word()),
        "subject": event.conversation,
        "time": at.to_string(),
        "datacontenttype": "application/json",
        "data": data,
    })
    .to_string()
}

/// Returns a new subscription's secret.
pub(crate) fn secret(random: [u8; 32]) -> String {
    format!("{SECRET_PREFIX}{}", BASE64.encode(random))
}

/// Returns the headers that name and sign a body; `None` if `secret` isn't a subscription's secret.
pub(super) fn headers(
    secret: &[u8],
    id: &str,
    seconds: u64,
    body: &str,
) -> Option<[(&'static str, String); 3]> {
    let key = std::str::from_utf8(secret).ok()?.strip_prefix(SECRET_PREFIX)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(key).ok()?);
    let code = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    Some([
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", format!("v1,{}", BASE64.encode(code))),
    ])
}
