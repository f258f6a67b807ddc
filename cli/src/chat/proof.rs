//! The proof of work that some links ask for: a solution of an ALTCHA challenge.

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::pbkdf2;
use serde::Deserialize;
use serde_json::{Value, json};
use std::num::NonZeroU32;

/// The only algorithm that this solves; control asks for no other.
const ALGORITHM: &str = "PBKDF2/SHA-256";
/// How many rounds a try may take, and how many tries there are at most: far more than control asks
/// for, but a limit on what another server can ask for.
const MOST_ROUNDS: u32 = 100_000;
const MOST_TRIES: u32 = 100_000;
/// How many bytes the key may have.
const MOST_KEY_BYTES: usize = 64;

/// The refusal of a message that lacks a proof of work.
#[derive(Debug, thiserror::Error)]
#[error("this link asks for a proof of work")]
pub(super) struct Unproven {
    /// The challenge as it came.
    pub(super) challenge: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    algorithm: String,
    cost: NonZeroU32,
    key_length: usize,
    key_prefix: String,
    nonce: String,
    salt: String,
}

impl Unproven {
    /// Solves the challenge. Returns what to send along with the message.
    pub(super) async fn solve(self) -> anyhow::Result<String> {
        tokio::task::spawn_blocking(move || solve(&self.challenge)).await?
    }
}

fn solve(challenge: &Value) -> anyhow::Result<String> {
    let parameters = Parameters::deserialize(&challenge["parameters"]);
    let Parameters { algorithm, cost, key_length, key_prefix, nonce, salt } =
        parameters.context("the link's proof of work is of an unknown form")?;
    if algorithm != ALGORITHM || cost.get() > MOST_ROUNDS || key_length > MOST_KEY_BYTES {
        bail!("the link's proof of work is of an unknown kind, or takes too long");
    }
    let (salt, nonce) = (bytes(&salt)?, bytes(&nonce)?);
    let mut key = vec![0; key_length];
    for counter in 0..MOST_TRIES {
        let password = [&nonce[..], &counter.to_be_bytes()].concat();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, cost, &salt, &password, &mut key);
        let derived_key = hex(&key);
        if derived_key.starts_with(&key_prefix) {
            let solution = json!({"counter": counter, "derivedKey": derived_key});
            let payload = json!({"challenge": challenge, "solution": solution});
            return Ok(BASE64_STANDARD.encode(payload.to_string()));
        }
    }
    bail!("the link's proof of work was not solved in {MOST_TRIES} tries");
}

fn bytes(hex: &str) -> anyhow::Result<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2).map(|digits| Ok(std::str::from_utf8(digits)?));
    digits.map(|digits: anyhow::Result<&str>| Ok(u8::from_str_radix(digits?, 16)?)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
