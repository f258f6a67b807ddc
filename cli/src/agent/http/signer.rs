//! Signs requests by Standard Webhooks.

use anyhow::{Context as _, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::hmac;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) struct Signer(hmac::Key);

impl Signer {
    /// Takes a secret: at least 24 bytes in Base64, perhaps after `whsec_`.
    pub(super) fn new(secret: &str) -> anyhow::Result<Self> {
        let key = secret.strip_prefix("whsec_").unwrap_or(secret);
        let key = BASE64_STANDARD.decode(key).context("the signing secret is not Base64")?;
        ensure!(key.len() >= 24, "the signing secret has fewer than 24 bytes");
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// Returns the headers of a request with this id and body.
    pub(super) fn headers(&self, id: &str, body: &str) -> [(&'static str, String); 3] {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = since.as_secs().to_string();
        let code = hmac::sign(&self.0, format!("{id}.{time}.{body}").as_bytes());
        let signature = format!("v1,{}", BASE64_STANDARD.encode(code));
        [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", time),
            ("webhook-signature", signature),
        ]
    }
}
