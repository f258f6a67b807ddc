//! Zoom's handshake, which asks for an HMAC of a token with the secret that both sides know.

use crate::secret::hex;
use ring::hmac::{HMAC_SHA256, Key, sign};
use serde::Deserialize;
use serde_json::json;

/// The longest body that may be a handshake, in bytes. Zoom's has some 150.
const MAX_BODY: usize = 4 << 10;

#[derive(Deserialize)]
struct Event {
    event: String,
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    plain_token: String,
}

/// Returns the answer to a delivery by which Zoom checks that its receiver has the secret; `None`
/// for any other. `secret` must have signed the delivery, so that strangers can't have texts of
/// theirs signed.
pub(crate) fn answer(body: &[u8], secret: &[u8]) -> Option<String> {
    if body.len() > MAX_BODY {
        return None;
    }
    let Event { event, payload: Payload { plain_token } } = serde_json::from_slice(body).ok()?;
    let signed = sign(&Key::new(HMAC_SHA256, secret), plain_token.as_bytes());
    let answer = json!({ "plainToken": plain_token, "encryptedToken": hex(signed) });
    (event == "endpoint.url_validation").then(|| answer.to_string())
}
