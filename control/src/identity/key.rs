//! The keys that check visitors' JWTs, and the algorithms that they are for.

use crate::refusal::Refusal;
use jsonwebtoken::{
    DecodingKey,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    errors::ErrorKind,
    signature::{self, Verifier},
};
use ring::{
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use std::{ops::RangeInclusive, sync::Once};
use x509_cert::{
    der::{Decode as _, asn1::ObjectIdentifier},
    spki::SubjectPublicKeyInfoRef,
};

/// How many keys a link has, at most: the new one and, during a change, the old one.
const MAX_KEYS: usize = 2;
/// How many bytes a secret has. The least is the length of its signatures.
const SECRET_BYTES: RangeInclusive<usize> = 32..=512;
const MAX_PEM: usize = 4_096;
/// How many bytes a public RSA key of 2,048 bits has.
const MIN_RSA_BYTES: usize = 270;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const EDWARDS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// How a site signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    #[serde(rename = "HS256")]
    Hmac,
    #[serde(rename = "RS256")]
    Rsa,
    #[serde(rename = "ES256")]
    Ecdsa,
    #[serde(rename = "EdDSA")]
    Ed25519,
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hmac => Self::HS256,
            Algorithm::Rsa => Self::RS256,
            Algorithm::Ecdsa => Self::ES256,
            Algorithm::Ed25519 => Self::EdDSA,
        }
    }
}

impl Algorithm {
    /// Returns the algorithm's name in the header of a JWT.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hmac => "HS256",
            Self::Rsa => "RS256",
            Self::Ecdsa => "ES256",
            Self::Ed25519 => "EdDSA",
        }
    }
}

/// A key as a link's record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VisitorKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) sealed: String,
}

/// A key, and the algorithm that it is for.
pub(crate) struct KeyText {
    pub(crate) algorithm: Algorithm,
    /// A secret, or a public key in PEM.
    text: String,
    /// The parsed key, with which signatures are checked.
    key: DecodingKey,
}

impl KeyText {
    /// Recognises the keys that a caller gives: public keys in PEM, or secrets.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if they are too many, or one is too weak or of an unknown kind.
    pub(crate) fn parse_all(keys: Vec<String>) -> Result<Vec<Self>, Refusal> {
        if keys.len() > MAX_KEYS {
            return Err(Refusal::invalid("a link has at most 2 visitor keys"));
        }
        keys.into_iter().map(Self::parse).collect()
    }

    /// Recognises a key.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if it is too weak or of an unknown kind.
    pub(crate) fn parse(text: String) -> Result<Self, Refusal> {
        if text.contains("-----BEGIN") {
            let found = (text.len() <= MAX_PEM).then(|| public_key(&text)).flatten();
            let (algorithm, key) = found.ok_or_else(|| {
                let why = "a visitor key in PEM is a PUBLIC KEY: P-256, Ed25519, or RSA of 2048 bits or more";
                Refusal::invalid(why)
            })?;
            return Ok(Self { algorithm, text, key });
        }
        let key = DecodingKey::from_secret(text.as_bytes()).ok();
        let key = key.filter(|_| SECRET_BYTES.contains(&text.len())).ok_or_else(|| {
            Refusal::invalid("a visitor key is a secret of 32 to 512 bytes, or a public key in PEM")
        })?;
        Ok(Self { algorithm: Algorithm::Hmac, text, key })
    }

    /// Returns the key as it was given, to be sealed.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// Returns the key for [`jsonwebtoken::decode`].
    pub(super) fn decoding_key(&self) -> &DecodingKey {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            // An error means that a provider is installed already, and only this function installs
            // one.
            let _ = PROVIDER.install_default();
        });
        &self.key
    }
}

/// Reads a public key, and which algorithm it is for.
fn public_key(pem: &str) -> Option<(Algorithm, DecodingKey)> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
    let info = SubjectPublicKeyInfoRef::from_der(&der).ok()?;
    let key = info.subject_public_key.as_bytes()?;
    match info.algorithm.oid {
        RSA if key.len() >= MIN_RSA_BYTES => Some((Algorithm::Rsa, DecodingKey::from_rsa_der(key))),
        EC if info.algorithm.parameters_oid() == Ok(P256) => {
            Some((Algorithm::Ecdsa, DecodingKey::from_ec_der(key)))
        }
        EDWARDS => Some((Algorithm::Ed25519, DecodingKey::from_ed_der(key))),
        _ => None,
    }
}

/// The cryptography for `jsonwebtoken`, done by `ring` like all of ours. It signs nothing.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(Ring { algorithm: *algorithm, key: key.try_get_as_bytes()?.to_vec() }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Ring {
    algorithm: jsonwebtoken::Algorithm,
    key: Vec<u8>,
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let by: &dyn VerificationAlgorithm = match self.algorithm {
            jsonwebtoken::Algorithm::HS256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
                return hmac::verify(&key, message, signature).map_err(|_| signature::Error::new());
            }
            jsonwebtoken::Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
            jsonwebtoken::Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
            jsonwebtoken::Algorithm::EdDSA => &ED25519,
            _ => return Err(signature::Error::new()),
        };
        let checked = UnparsedPublicKey::new(by, &self.key).verify(message, signature);
        checked.map_err(|_| signature::Error::new())
    }
}
