//! Checks signatures: over the bytes as they were sent, in constant time.

use super::{Algorithm, BASE64, Encoding, HmacScheme, Scheme, WINDOW};
use crate::{hook_request::Header, time::Time};
use base64::Engine as _;
use ring::{
    digest, hmac,
    signature::{ED25519, ED25519_PUBLIC_KEY_LEN, UnparsedPublicKey},
};
use std::{collections::BTreeSet, time::Duration};
use subtle::ConstantTimeEq as _;

/// How many signatures of one header are tried, at most. A sender writes one for each of its
/// secrets.
const MAX_SIGNATURES: usize = 8;

/// A request whose sender must have signed it.
pub(crate) struct Signed<'a> {
    /// All headers, including those with credentials.
    pub(crate) headers: &'a [&'a [Header]],
    /// The body as it was sent.
    pub(crate) body: &'a [u8],
    /// The URL as the sender has it, with the token's secret.
    pub(crate) url: &'a str,
    pub(crate) method: &'a str,
    pub(crate) now: Time,
}

/// Checks that the request is signed with one of the secrets.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn verify(
    scheme: &Scheme,
    secrets: &[Vec<u8>],
    signed: &Signed<'_>,
) -> Result<(), String> {
    match scheme {
        Scheme::Gitlab => by_secret("x-gitlab-token", secrets, signed),
        Scheme::Stripe => stripe(secrets, signed),
        Scheme::Standard => standard(secrets, signed),
        Scheme::Twilio => twilio(secrets, signed),
        Scheme::Discord => discord(secrets, signed),
        Scheme::Hmac(scheme) => by_hmac(scheme, secrets, signed),
        Scheme::Github => by_hmac(&known("x-hub-signature-256", "sha256="), secrets, signed),
        Scheme::Linear => by_hmac(&known("linear-signature", ""), secrets, signed),
        Scheme::Shopify => {
            let shopify = known("x-shopify-hmac-sha256", "");
            by_hmac(&HmacScheme { encoding: Encoding::Base64, ..shopify }, secrets, signed)
        }
        Scheme::Slack => {
            let slack = HmacScheme {
                signed: "v0:{timestamp}:{body}".to_owned(),
                timestamp_header: Some("x-slack-request-timestamp".to_owned()),
                ..known("x-slack-signature", "v0=")
            };
            by_hmac(&slack, secrets, signed)
        }
    }
}

/// Returns the scheme of a known sender: an HMAC-SHA-256 over the body, in hexadecimal, after
/// `prefix` in a header.
fn known(header: &str, prefix: &str) -> HmacScheme {
    HmacScheme {
        header: header.to_owned(),
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        prefix: prefix.to_owned(),
        signed: "{body}".to_owned(),
        timestamp_header: None,
        window: WINDOW,
    }
}

fn by_secret(name: &str, secrets: &[Vec<u8>], signed: &Signed<'_>) -> Result<(), String> {
    let sent = signed.header(name)?;
    found(name, secrets.iter().any(|secret| is_same(secret, sent.as_bytes())))
}

fn by_hmac(scheme: &HmacScheme, secrets: &[Vec<u8>], signed: &Signed<'_>) -> Result<(), String> {
    let HmacScheme { header, algorithm, encoding, prefix, window, .. } = scheme;
    let sent = signed.header(header)?;
    let timestamp = match &scheme.timestamp_header {
        None => String::new(),
        Some(name) => {
            let timestamp = signed.header(name)?;
            signed.check_time(name, &timestamp, *window)?;
            timestamp
        }
    };
    let signature = sent.strip_prefix(prefix.as_str()).and_then(|text| encoding.decode(text));
    let Some(signature) = signature else {
        return Err(format!("The header {header} doesn't look like this sender's signature."));
    };
    let parts = fill(&scheme.signed, &timestamp, signed);
    found(header, secrets.iter().any(|secret| algorithm.is_of(secret, &parts, &signature)))
}

/// Checks Stripe's header, `t=1700000000,v1=…,v1=…`. Each signature is over the time, a dot and the
/// body.
fn stripe(secrets: &[Vec<u8>], signed: &Signed<'_>) -> Result<(), String> {
    let name = "stripe-signature";
    let sent = signed.header(name)?;
    let items = || sent.split(',').filter_map(|item| item.trim().split_once('='));
    let timestamp = items().find(|(key, _)| *key == "t").map_or("", |(_, value)| value);
    signed.check_time(name, timestamp, WINDOW)?;
    let signatures = items().filter(|(key, _)| *key == "v1").take(MAX_SIGNATURES);
    let signatures = signatures.filter_map(|(_, value)| Encoding::Hex.decode(value));
    let parts = [timestamp.as_bytes(), b".", signed.body];
    found(name, any_is_of(signatures, secrets, &parts))
}

/// Checks the headers of Standard Webhooks. The signatures, `v1,<Base64> v1,<Base64>`, are over the
/// id, the time and the body, with dots between them.
fn standard(secrets: &[Vec<u8>], signed: &Signed<'_>) -> Result<(), String> {
    let is_svix = signed.header("webhook-id").is_err() && signed.header("svix-id").is_ok();
    let [id, timestamp, name] = match is_svix {
        true => ["svix-id", "svix-timestamp", "svix-signature"],
        false => ["webhook-id", "webhook-timestamp", "webhook-signature"],
    };
    let (id, sent, time) = (signed.header(id)?, signed.header(name)?, signed.header(timestamp)?);
    signed.check_time(timestamp, &time, WINDOW)?;
    let signatures = sent.split(' ').filter_map(|item| item.strip_prefix("v1,"));
    let signatures = signatures.take(MAX_SIGNATURES).filter_map(|text| BASE64.decode(text).ok());
    let parts = [id.as_bytes(), b".", time.as_bytes(), b".", signed.body];
    let keys: Vec<_> = secrets.iter().filter_map(|secret| standard_key(secret)).collect();
    found(name, any_is_of(signatures, &keys, &parts))
}

/// Checks Discord's signature by Ed25519 over the time and the body. The secrets are public keys.
fn discord(secrets: &[Vec<u8>], signed: &Signed<'_>) -> Result<(), String> {
    let (name, timestamp) = ("x-signature-ed25519", "x-signature-timestamp");
    let (sent, time) = (signed.header(name)?, signed.header(timestamp)?);
    signed.check_time(timestamp, &time, WINDOW)?;
    let signature = Encoding::Hex.decode(&sent).unwrap_or_default();
    let message = [time.as_bytes(), signed.body].concat();
    let is_by =
        |key: &Vec<u8>| public_key(key).is_some_and(|key| key.verify(&message, &signature).is_ok());
    found(name, secrets.iter().any(is_by))
}

/// Returns Discord's public key; `None` if it is not 32 bytes in hexadecimal.
pub(super) fn public_key(text: &[u8]) -> Option<UnparsedPublicKey<Vec<u8>>> {
    let key = Encoding::Hex.decode(str::from_utf8(text).ok()?)?;
    (key.len() == ED25519_PUBLIC_KEY_LEN).then(|| UnparsedPublicKey::new(&ED25519, key))
}

/// Returns the key in a secret of Standard Webhooks; `None` if the secret is not in Base64.
pub(super) fn standard_key(secret: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(secret).ok()?;
    BASE64.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok()
}

/// Checks Twilio's signature. It is over the URL, followed by the sorted parameters if the body is
/// a form. If there is another body, its hash is a parameter of the URL. The signature is an
/// HMAC-SHA-1, or HMAC-SHA-256 if a second header says so.
fn twilio(secrets: &[Vec<u8>], signed: &Signed<'_>) -> Result<(), String> {
    let name = "x-twilio-signature";
    let Ok(signature) = BASE64.decode(signed.header(name)?) else {
        return Err(format!("The header {name} doesn't look like this sender's signature."));
    };
    let settings = signed.header("x-twilio-webhooks-signature-settings").unwrap_or_default();
    let algorithm = match settings.split(',').any(|item| item.trim() == "algorithm=HMAC_SHA256") {
        true => Algorithm::Sha256,
        false => Algorithm::Sha1,
    };
    let mut form = String::new();
    let kind = signed.header("content-type").unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        let parameters: BTreeSet<_> = form_urlencoded::parse(signed.body).collect();
        for (key, value) in parameters {
            form.push_str(&key);
            form.push_str(&value);
        }
    } else if !signed.body.is_empty() {
        let query = signed.url.split_once('?').map_or("", |(_, query)| query);
        let mut named = form_urlencoded::parse(query.as_bytes());
        let hash = named.find(|(key, _)| key == "bodySHA256").map(|(_, hash)| hash);
        let hash = hash.and_then(|hash| Encoding::Hex.decode(&hash)).unwrap_or_default();
        if !is_same(digest::digest(&digest::SHA256, signed.body).as_ref(), &hash) {
            return Err("The parameter bodySHA256 is not the hash of the body.".to_owned());
        }
    }
    // Twilio may sign the URL with a port or without one, whichever URL it calls.
    let is_of = |secret: &Vec<u8>| {
        with_and_without_port(signed.url)
            .iter()
            .any(|url| algorithm.is_of(secret, &[url.as_bytes(), form.as_bytes()], &signature))
    };
    found(name, secrets.iter().any(is_of))
}

/// Returns three forms of a URL: as it is, without its port, and with its scheme's default port.
fn with_and_without_port(url: &str) -> [String; 3] {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let port = if scheme == "https" { 443 } else { 80 };
    [url.to_owned(), format!("{scheme}://{host}{path}"), format!("{scheme}://{host}:{port}{path}")]
}

/// Whether one of the signatures is the HMAC-SHA-256 of these parts with one of the secrets.
fn any_is_of(
    mut signatures: impl Iterator<Item = Vec<u8>>,
    secrets: &[Vec<u8>],
    parts: &[&[u8]],
) -> bool {
    let tags: Vec<_> = secrets.iter().map(|key| Algorithm::Sha256.sign(key, parts)).collect();
    signatures.any(|signature| tags.iter().any(|tag| is_same(tag.as_ref(), &signature)))
}

/// Returns what is signed, in pieces, so that the body isn't copied.
fn fill<'a>(template: &'a str, timestamp: &'a str, signed: &'a Signed<'_>) -> Vec<&'a [u8]> {
    let (mut parts, mut rest) = (Vec::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        parts.push(before.as_bytes());
        parts.push(match name {
            "body" => signed.body,
            "timestamp" => timestamp.as_bytes(),
            "method" => signed.method.as_bytes(),
            _ => signed.url.as_bytes(),
        });
        rest = after;
    }
    parts.push(rest.as_bytes());
    parts
}

impl Signed<'_> {
    fn header(&self, name: &str) -> Result<String, String> {
        let header = self.headers.iter().copied().flatten().find(|header| header.name == name);
        let value = header.map(|header| header.value.clone().into_text().trim().to_owned());
        value.ok_or_else(|| {
            format!("The header {name} is missing: this webhook takes only signed deliveries.")
        })
    }

    /// Refuses a time that is too far from now, so that a delivery can't be sent again later.
    fn check_time(&self, name: &str, text: &str, window: Duration) -> Result<(), String> {
        /// Seconds since 1970 stay below this until the year 5138; milliseconds passed it in 1973.
        const MILLISECONDS: u64 = 100_000_000_000;
        let Ok(time) = text.parse::<u64>() else {
            return Err(format!("The time in {name} is missing or not a number."));
        };
        let time = if time < MILLISECONDS { time * 1_000 } else { time };
        if u128::from(time.abs_diff(self.now.as_millis())) > window.as_millis() {
            let seconds = window.as_secs();
            return Err(format!("The time in {name} is more than {seconds} s from now."));
        }
        Ok(())
    }
}

impl Algorithm {
    fn sign(self, secret: &[u8], parts: &[&[u8]]) -> hmac::Tag {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, secret));
        parts.iter().for_each(|part| context.update(part));
        context.sign()
    }

    fn is_of(self, secret: &[u8], parts: &[&[u8]], signature: &[u8]) -> bool {
        is_same(self.sign(secret, parts).as_ref(), signature)
    }
}

impl Encoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => BASE64.decode(text).ok(),
            Self::Hex => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let byte = |pair: &[u8]| match pair {
                    [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
                    _ => None,
                };
                text.as_bytes().chunks(2).map(byte).collect()
            }
        }
    }
}

/// Whether two values are the same, found in a time that depends on their lengths alone.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

fn found(name: &str, is_signed: bool) -> Result<(), String> {
    let why = || {
        format!(
            "The signature in {name} doesn't match: it is from another secret or for another body."
        )
    };
    is_signed.then_some(()).ok_or_else(why)
}

#[cfg(test)]
mod tests;
