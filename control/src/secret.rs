//! Secrets that are shown once: tokens in URLs, and callers' keys.
//!
//! A secret is a partition's number and 256 random bits, in base64url. Only its SHA-256 is stored.
//! Its public id is made from that hash, so one lookup by the secret finds the record, and the id
//! reveals nothing of the secret.

use crate::store::Partition;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Random bytes in a secret.
const SECRET_BYTES: usize = 32;
/// Bytes of the hash in a public id.
const ID_BYTES: usize = 16;

/// A secret, kept in memory for as long as a call takes.
pub(crate) struct Secret {
    /// The partition of the record that it opens.
    pub(crate) partition: Partition,
    text: String,
}

impl Secret {
    /// Mints a secret. `prefix` lets people and scanners recognise its kind.
    pub(crate) fn mint(prefix: &str, partition: Partition, random: [u8; SECRET_BYTES]) -> Self {
        Self { partition, text: format!("{prefix}{}", encode(partition, &random)) }
    }

    /// Reads a secret; `None` for text that can't be one.
    pub(crate) fn parse(prefix: &str, text: &str, partitions: Partition) -> Option<Self> {
        let (partition, random) = decode(text.strip_prefix(prefix)?)?;
        let fits = random.len() == SECRET_BYTES && partition < partitions;
        fits.then(|| Self { partition, text: text.to_owned() })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The form in which the secret is stored.
    pub(crate) fn hash(&self) -> String {
        hash(&self.text)
    }

    /// The public id of what the secret opens.
    pub(crate) fn id(&self, prefix: &str) -> String {
        let digest = Sha256::digest(&self.text);
        format!("{prefix}{}", encode(self.partition, &digest[..ID_BYTES]))
    }
}

/// SHA-256, in hexadecimal.
pub(crate) fn hash(text: impl AsRef<[u8]>) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The partition in a public id; `None` for text that can't be one.
pub(crate) fn partition_of_id(prefix: &str, id: &str, partitions: Partition) -> Option<Partition> {
    let (partition, digest) = decode(id.strip_prefix(prefix)?)?;
    (digest.len() == ID_BYTES && partition < partitions).then_some(partition)
}

fn encode(partition: Partition, bytes: &[u8]) -> String {
    BASE64.encode([&partition.to_be_bytes(), bytes].concat())
}

fn decode(text: &str) -> Option<(Partition, Vec<u8>)> {
    let bytes = BASE64.decode(text).ok()?;
    let (partition, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*partition), rest.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_leads_to_its_record_and_an_id_does_not_lead_back() {
        let minted = Secret::mint("", 7, [3; 32]);
        let parsed = Secret::parse("", minted.as_str(), 256).expect("parses");
        assert_eq!(parsed.partition, 7);
        assert_eq!(parsed.id("tok_"), minted.id("tok_"));
        assert_eq!(partition_of_id("tok_", &minted.id("tok_"), 256), Some(7));
        assert!(!minted.id("tok_").contains(&minted.as_str()[4..]));
    }

    #[test]
    fn text_that_is_no_secret_is_refused() {
        let text = Secret::mint("", 300, [3; 32]).as_str().to_owned();
        for bad in ["", "a", "\0", &text, &text[1..], "tok_x", &"A".repeat(1 << 20)] {
            assert!(Secret::parse("", bad, 256).is_none(), "{bad}");
        }
    }
}
