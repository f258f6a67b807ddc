//! How a webhook's sender signs, in the form in which the token's record says it.

mod check;
mod handshake;

pub(crate) use check::{Signed, verify};
pub(crate) use handshake::answer;

use crate::refusal::Refusal;
use base64::{
    alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Serialize};
use std::{ops::RangeInclusive, time::Duration};

/// Base64 as senders write it, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// How far a signed time may be from the time of control's clock, unless the link says otherwise.
pub(crate) const WINDOW: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(86_400);
/// How many secrets a sender may have at a time.
const MAX_SECRETS: usize = 2;
const SECRET_BYTES: RangeInclusive<usize> = 8..=512;
/// How many characters the name of a header has, at most.
const MAX_HEADER: usize = 64;
const MAX_PREFIX: usize = 64;
const MAX_SIGNED: usize = 200;

/// How a sender signs, and the secrets that it signs with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signature {
    pub(crate) scheme: Scheme,
    /// The new secret and, during a rotation, the old one.
    pub(crate) sealed_secrets: Vec<String>,
}

/// A way to sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scheme {
    Github,
    Gitlab,
    Stripe,
    Slack,
    Linear,
    Shopify,
    Twilio,
    Standard,
    Discord,
    Hmac(HmacScheme),
}

/// A way to sign by HMAC, with the signature in a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HmacScheme {
    /// The name of the signature's header, in lower case.
    pub(crate) header: String,
    #[serde(default)]
    pub(crate) algorithm: Algorithm,
    #[serde(default)]
    pub(crate) encoding: Encoding,
    #[serde(default)]
    pub(crate) prefix: String,
    /// What is signed: text with `{body}`, `{timestamp}`, `{method}` and `{url}`.
    pub(crate) signed: String,
    /// The name of the header with the signed time, in lower case.
    #[serde(default)]
    pub(crate) timestamp_header: Option<String>,
    #[serde(with = "crate::time::stored")]
    pub(crate) window: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Algorithm {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Encoding {
    #[default]
    Hex,
    Base64,
}

impl Scheme {
    /// Checks a scheme that a caller describes.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if a field is malformed or out of range, or fields contradict each
    /// other.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Hmac(scheme) => scheme.check(),
            _ => Ok(()),
        }
    }

    /// Checks the secrets that a caller gives.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if they are too few or too many, or one can't be a secret of this
    /// sender.
    pub(crate) fn check_secrets(&self, secrets: &[String]) -> Result<(), Refusal> {
        if !(1..=MAX_SECRETS).contains(&secrets.len()) {
            return Err(Refusal::invalid("a webhook that checks signatures has 1 or 2 secrets"));
        }
        for secret in secrets {
            if !SECRET_BYTES.contains(&secret.len()) {
                return Err(Refusal::invalid("a sender's secret has 8 to 512 bytes"));
            }
            if *self == Self::Standard && check::standard_key(secret.as_bytes()).is_none() {
                let why = "a secret of Standard Webhooks is whsec_ and Base64";
                return Err(Refusal::invalid(why));
            }
            if *self == Self::Discord && check::public_key(secret.as_bytes()).is_none() {
                let why = "Discord's public key has 64 hexadecimal digits";
                return Err(Refusal::invalid(why));
            }
        }
        Ok(())
    }
}

impl HmacScheme {
    fn check(&self) -> Result<(), Refusal> {
        let Self { header, prefix, signed, timestamp_header, window, .. } = self;
        check_header(header)?;
        timestamp_header.iter().try_for_each(|name| check_header(name))?;
        if prefix.len() > MAX_PREFIX || signed.len() > MAX_SIGNED {
            return Err(Refusal::invalid(format!(
                "a prefix has at most {MAX_PREFIX} bytes, and the text that says what is signed at \
                 most {MAX_SIGNED}"
            )));
        }
        let known = ["{body}", "{timestamp}", "{method}", "{url}"];
        let rest = known.iter().fold(signed.clone(), |rest, name| rest.replace(name, ""));
        if !signed.contains("{body}") || rest.contains(['{', '}']) {
            let why =
                "what is signed must have {body}, and may have {timestamp}, {method} and {url}";
            return Err(Refusal::invalid(why));
        }
        if signed.contains("{timestamp}") != timestamp_header.is_some() {
            return Err(Refusal::invalid(
                "name the header of the time if {timestamp} is signed, and only then",
            ));
        }
        if !(Duration::from_secs(1)..=DAY).contains(window) {
            return Err(Refusal::invalid("a window is from 1 second to 1 day"));
        }
        Ok(())
    }
}

/// Checks the name of a header.
pub(crate) fn check_header(name: &str) -> Result<(), Refusal> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=MAX_HEADER).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(Refusal::invalid(format!("a header's name looks like X-Event-Id, not {name:?}")))
}
