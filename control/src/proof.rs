//! Proof of work: a puzzle that a visitor's computer solves before a message is taken, if the link
//! asks for it. It costs a visitor a moment, and a flood much computing. `turn/proof.rs` says when
//! it is asked for.
//!
//! The scheme is ALTCHA's, version 2: find the counter by which PBKDF2 derives a key that begins as
//! the challenge says. Control makes a challenge from random bytes and signs it. So it stores
//! nothing about a challenge until its solution has bought a message, and then only that it is
//! used.

use crate::{secret::hex, time::Time};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{hmac, pbkdf2};
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};
use subtle::ConstantTimeEq as _;

/// How many rounds of PBKDF2 one try takes: enough that they are most of a try's work in a browser.
const ROUNDS: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
/// How many tries a challenge takes, at most; half of them on average. That is about a second on a
/// phone.
const TRIES: u32 = 4_000;
/// How many bytes the key has. Clients are told the first half of it.
const KEY_BYTES: usize = 32;
/// How long the solution of a challenge is accepted after the challenge was made.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);
/// How many characters a solution has, at most.
const MAX_SOLUTION: usize = 4_096;
const ALGORITHM: &str = "PBKDF2/SHA-256";

/// How many random bytes a challenge is made from.
pub(crate) const RANDOM_BYTES: usize = 36;

/// Why a message is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("this link takes a message only with a proof of work: solve the challenge")]
    Missing,
    #[error("the proof of work is not a solution in ALTCHA's form")]
    Malformed,
    #[error("the proof of work solves no challenge of this link")]
    Foreign,
    #[error("the proof of work is wrong")]
    Wrong,
    #[error("the challenge has expired")]
    Expired,
    #[error("the challenge was used for another message")]
    Used,
}

/// The key that signs a link's challenges. Visitors must not know it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ProofKey(String);

/// A challenge, as clients get it and send it back.
#[derive(Serialize, Deserialize)]
pub(crate) struct Challenge {
    parameters: Parameters,
    signature: String,
}

/// The parameters of a challenge. Control signs their JSON, so the order of the fields matters:
/// they are sorted by name.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    algorithm: String,
    cost: u32,
    /// In seconds since 1970.
    expires_at: u64,
    key_length: usize,
    key_prefix: String,
    /// The signature of the key in hexadecimal, by which control checks a solution without deriving
    /// the key again.
    key_signature: String,
    nonce: String,
    salt: String,
}

#[derive(Deserialize)]
struct Payload {
    challenge: Challenge,
    solution: Solution,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Solution {
    derived_key: String,
}

impl ProofKey {
    pub(crate) fn new(random: [u8; 32]) -> Self {
        Self(BASE64.encode(random))
    }

    /// Makes a challenge.
    pub(crate) fn challenge(&self, random: &[u8; RANDOM_BYTES], now: Time) -> Challenge {
        let (nonce, rest) = random.split_at(16);
        let (salt, counter) = rest.split_at(16);
        let counter = counter.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        let password = [nonce, &(counter % TRIES).to_be_bytes()].concat();
        let mut key = [0; KEY_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, &password, &mut key);
        let parameters = Parameters {
            algorithm: ALGORITHM.to_owned(),
            cost: ROUNDS.get(),
            expires_at: (now + LIFETIME).as_millis() / 1_000,
            key_length: KEY_BYTES,
            key_prefix: hex(&key[..KEY_BYTES / 2]),
            key_signature: self.sign(&hex(key)),
            nonce: hex(nonce),
            salt: hex(salt),
        };
        Challenge { signature: self.sign(&parameters.signed()), parameters }
    }

    /// Returns the nonce of the challenge that `proof` solves.
    ///
    /// # Errors
    /// `proof` is not a solution, or its challenge can't be accepted now.
    pub(crate) fn solved(&self, proof: &str, now: Time) -> Result<String, Fault> {
        let json = if proof.len() <= MAX_SOLUTION { BASE64.decode(proof).ok() } else { None };
        let payload = json.and_then(|json| serde_json::from_slice(&json).ok());
        let Payload { challenge, solution } = payload.ok_or(Fault::Malformed)?;
        let Challenge { parameters, signature } = challenge;
        if !self.has_signed(&parameters.signed(), &signature) {
            return Err(Fault::Foreign);
        }
        if now.as_millis() / 1_000 >= parameters.expires_at {
            return Err(Fault::Expired);
        }
        if !self.has_signed(&solution.derived_key, &parameters.key_signature) {
            return Err(Fault::Wrong);
        }
        Ok(parameters.nonce)
    }

    fn sign(&self, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        hex(hmac::sign(&key, text.as_bytes()))
    }

    fn has_signed(&self, text: &str, signature: &str) -> bool {
        self.sign(text).as_bytes().ct_eq(signature.as_bytes()).into()
    }
}

impl std::fmt::Debug for ProofKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ProofKey(…)")
    }
}

impl Parameters {
    fn signed(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Time = Time::from_millis(1_000_000_000_000);

    /// Solves a challenge as ALTCHA describes it.
    fn solve(challenge: &Challenge) -> Value {
        let Challenge { parameters, .. } = challenge;
        let bytes = |hex: &str| -> Vec<u8> {
            let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
            digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
        };
        let (nonce, salt) = (bytes(&parameters.nonce), bytes(&parameters.salt));
        let rounds = NonZeroU32::new(parameters.cost).unwrap();
        let mut key = vec![0; parameters.key_length];
        for counter in 0_u32..TRIES {
            let password = [&nonce[..], &counter.to_be_bytes()].concat();
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, &password, &mut key);
            if hex(&key).starts_with(&parameters.key_prefix) {
                let solution = json!({"counter": counter, "derivedKey": hex(&key), "time": 1.5});
                return json!({"challenge": challenge, "solution": solution});
            }
        }
        panic!("there is no solution");
    }

    fn send(payload: &Value) -> String {
        BASE64.encode(payload.to_string())
    }

    #[test]
    fn a_solution_is_good_for_its_link_until_the_challenge_expires() {
        let (key, other) = (ProofKey::new([1; 32]), ProofKey::new([2; 32]));
        let mut random = [7; RANDOM_BYTES];
        random[32..].copy_from_slice(&(TRIES - 1).to_be_bytes());
        let payload = solve(&key.challenge(&random, NOW));
        assert_eq!(payload["solution"]["counter"], TRIES - 1);
        let proof = send(&payload);
        assert_eq!(key.solved(&proof, NOW), Ok("07".repeat(16)));
        assert_eq!(key.solved(&proof, NOW + Duration::from_secs(599)), Ok("07".repeat(16)));
        assert_eq!(key.solved(&proof, NOW + LIFETIME), Err(Fault::Expired));
        assert_eq!(other.solved(&proof, NOW), Err(Fault::Foreign));
    }

    #[test]
    fn what_control_did_not_sign_is_refused() {
        let key = ProofKey::new([1; 32]);
        let payload = solve(&key.challenge(&[0; RANDOM_BYTES], NOW));
        let changed = |pointer: &str, value: Value| {
            let mut payload = payload.clone();
            *payload.pointer_mut(pointer).unwrap() = value;
            key.solved(&send(&payload), NOW)
        };
        let parameters = "/challenge/parameters";
        for (name, value) in
            [("expiresAt", json!(u64::MAX)), ("nonce", json!("00")), ("keySignature", json!(""))]
        {
            assert_eq!(changed(&format!("{parameters}/{name}"), value), Err(Fault::Foreign));
        }
        assert_eq!(changed("/challenge/signature", json!("")), Err(Fault::Foreign));
        assert_eq!(changed("/solution/derivedKey", json!("00".repeat(32))), Err(Fault::Wrong));
        assert_eq!(changed("/solution", json!(1)), Err(Fault::Malformed));
        for malformed in ["x", "e30=", &"A".repeat(MAX_SOLUTION + 4)] {
            assert_eq!(key.solved(malformed, NOW), Err(Fault::Malformed), "{malformed}");
        }
    }
}
