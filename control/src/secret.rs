//! Secrets, which are shown once: those of tokens, in URLs, and those of callers' keys.
//!
//! A secret is a partition's number and 256 random bits, in base64url; a key's secret begins with a
//! prefix. Only the SHA-256 of a secret is stored. Its record's public id is made from that hash,
//! so one look-up by the secret finds the record, and the id reveals nothing of the secret. A key's
//! later secrets have the key's id before the random bits.

use crate::store::Partition;
use arizuko_proto::public_id;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use sha2::{Digest, Sha256};

/// How many random bytes a secret has.
const SECRET_BYTES: usize = 32;
/// How many bytes of the hash a public id has.
pub(crate) const ID_BYTES: usize = 16;

/// A secret, kept in memory for as long as a call takes.
pub(crate) struct Secret {
    /// The partition of the record that it opens.
    pub(crate) partition: Partition,
    text: String,
    /// The id that a later secret contains, without prefix and partition; `None` for a first
    /// secret.
    named: Option<[u8; ID_BYTES]>,
}

impl Secret {
    /// Mints a secret. `prefix` lets people and scanners recognise its kind.
    pub(crate) fn mint(prefix: &str, partition: Partition, random: [u8; SECRET_BYTES]) -> Self {
        Self { partition, text: format!("{prefix}{}", encode(partition, &random)), named: None }
    }

    /// Wraps a secret that people have chosen. Its record is in partition 0.
    pub(crate) fn chosen(text: &str) -> Self {
        Self { partition: 0, text: text.to_owned(), named: None }
    }

    /// Mints a later secret of the record with this id, which begins with `id_prefix`; `None` if
    /// `id` can't be an id.
    pub(crate) fn mint_another(
        prefix: &str,
        id_prefix: &str,
        id: &str,
        random: [u8; SECRET_BYTES],
    ) -> Option<Self> {
        let (partition, digest) = decode(id.strip_prefix(id_prefix)?)?;
        let named: [u8; ID_BYTES] = digest.try_into().ok()?;
        let text = format!("{prefix}{}", encode(partition, &[&named[..], &random].concat()));
        Some(Self { partition, text, named: Some(named) })
    }

    /// Reads the first secret of a record; `None` for text that can't be one.
    pub(crate) fn parse(prefix: &str, text: &str, partitions: Partition) -> Option<Self> {
        Self::parse_any(prefix, text, partitions).filter(|secret| secret.named.is_none())
    }

    /// Reads the first or a later secret of a record; `None` for text that can't be one.
    pub(crate) fn parse_any(prefix: &str, text: &str, partitions: Partition) -> Option<Self> {
        let (partition, bytes) = decode(text.strip_prefix(prefix)?)?;
        let named = match bytes.len().checked_sub(SECRET_BYTES)? {
            0 => None,
            length => Some(bytes[..length].try_into().ok()?),
        };
        (partition < partitions).then(|| Self { partition, text: text.to_owned(), named })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the form in which the secret is stored.
    pub(crate) fn hash(&self) -> String {
        hash(&self.text)
    }

    /// Returns the public id of the record that the secret opens.
    pub(crate) fn id(&self, prefix: &str) -> String {
        match &self.named {
            Some(id) => format!("{prefix}{}", encode(self.partition, id)),
            None => public_id::of_secret(prefix, self.partition, &self.text),
        }
    }
}

/// Returns the SHA-256 of a text, in hexadecimal.
pub(crate) fn hash(text: impl AsRef<[u8]>) -> String {
    hex(Sha256::digest(text))
}

/// Returns bytes in hexadecimal.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Returns the partition in a public id; `None` for text that can't be one.
pub(crate) fn partition_of_id(prefix: &str, id: &str, partitions: Partition) -> Option<Partition> {
    let (partition, digest) = decode(id.strip_prefix(prefix)?)?;
    (digest.len() == ID_BYTES && partition < partitions).then_some(partition)
}

/// Returns a public id that isn't made from a secret.
pub(crate) fn id_in_partition(prefix: &str, partition: Partition, bytes: &[u8]) -> String {
    format!("{prefix}{}", encode(partition, bytes))
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
        assert_eq!(public_id::token(minted.as_str()), Some(minted.id("tok_")));
        assert!(!minted.id("tok_").contains(&minted.as_str()[4..]));
    }

    #[test]
    fn a_later_secret_leads_to_the_record_of_the_first() {
        let first = Secret::mint("azk_", 7, [3; 32]);
        let later =
            Secret::mint_another("azk_", "key_", &first.id("key_"), [4; 32]).expect("an id");
        let parsed = Secret::parse_any("azk_", later.as_str(), 256).expect("parses");
        assert_eq!((parsed.partition, parsed.id("key_")), (7, first.id("key_")));
        assert_ne!(parsed.hash(), first.hash());
        assert!(Secret::parse("azk_", later.as_str(), 256).is_none());
        let parsed = Secret::parse_any("azk_", first.as_str(), 256).expect("parses");
        assert_eq!(parsed.id("key_"), first.id("key_"));
    }

    #[test]
    fn text_that_is_no_secret_is_refused() {
        let text = Secret::mint("", 300, [3; 32]).as_str().to_owned();
        for bad in ["", "a", "\0", &text, &text[1..], "tok_x", &"A".repeat(1 << 20)] {
            assert!(Secret::parse_any("", bad, 256).is_none(), "{bad}");
        }
    }
}
