//! Seals secrets that control must read again: those that sign webhooks' deliveries and control's
//! own events, and the keys that check visitors' JWTs.

use anyhow::anyhow;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};

/// How many bytes the operator's key has, at least.
pub(crate) const MIN_LENGTH: usize = 32;
/// The text with which the key for this purpose is derived from the operator's key.
const PURPOSE: &[u8] = b"arizuko: secrets of webhooks, 1";

/// The random bytes of one sealing, which no other sealing may use.
pub(crate) type Once = [u8; NONCE_LEN];

/// The key that seals, derived from the one in the operator's settings.
pub(crate) struct Sealer(LessSafeKey);

impl Sealer {
    /// Derives the key from the one in the settings.
    ///
    /// # Errors
    /// No cause is known: a derived key always fits.
    pub(crate) fn new(key: &str) -> anyhow::Result<Self> {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), PURPOSE);
        let key = UnboundKey::new(&AES_256_GCM, derived.as_ref());
        Ok(Self(LessSafeKey::new(key.map_err(|_| anyhow!("the sealing key doesn't fit"))?)))
    }

    /// Seals a secret, so that it opens for the record with this id alone.
    pub(crate) fn seal(&self, secret: &str, id: &str, once: Once) -> Option<String> {
        let mut sealed = secret.as_bytes().to_vec();
        let (nonce, id) = (Nonce::assume_unique_for_key(once), Aad::from(id));
        self.0.seal_in_place_append_tag(nonce, id, &mut sealed).ok()?;
        Some(BASE64.encode([&once[..], &sealed].concat()))
    }

    /// Opens a sealed secret; `None` if it was sealed with another key or for another record.
    pub(crate) fn open(&self, sealed: &str, id: &str) -> Option<Vec<u8>> {
        let sealed = BASE64.decode(sealed).ok()?;
        let (once, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let (nonce, id) = (Nonce::assume_unique_for_key(*once), Aad::from(id));
        let mut rest = rest.to_vec();
        Some(self.0.open_in_place(nonce, id, &mut rest).ok()?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_with_its_key_for_its_record_alone() {
        let [key, other] = ["a", "b"].map(|text| Sealer::new(&text.repeat(32)).unwrap());
        let [one, two] = ["tok_1", "tok_2"];
        let sealed = key.seal("the secret", one, [7; NONCE_LEN]).unwrap();
        assert!(!sealed.contains("secret"));
        assert_eq!(key.open(&sealed, one).unwrap(), b"the secret");
        assert_eq!((key.open(&sealed, two), other.open(&sealed, one)), (None, None));
        assert_eq!((key.open("", one), key.open("AAAA", one)), (None, None));
    }
}
