//! Who a visitor is, as the site says in a signed JWT, and the page that they write from, as the
//! page says without a signature.

mod key;

pub(crate) use key::{KeyText, VisitorKey};

use crate::{ids::TokenId, refusal::Refusal, secret::hex, time::Time};
use jsonwebtoken::{Validation, decode, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, time::Duration};

/// How many bytes a JWT has, at most.
const MAX_JWT: usize = 4_096;
/// How long a JWT is valid, at most: whoever gets hold of one can pose as the visitor until then.
const MAX_LIFETIME: Duration = Duration::from_secs(3_600);
/// How far the clock of the site's server may be from control's.
const LEEWAY: Duration = Duration::from_secs(60);
/// How many characters each text has, at most.
const MAX_ID: usize = 200;
const MAX_NAME: usize = 100;
const MAX_EMAIL: usize = 254;
const MAX_URL: usize = 2_000;
const MAX_TITLE: usize = 300;
const MAX_LANGUAGE: usize = 35;
const MAX_DATA_NAME: usize = 64;
const MAX_DATA_VALUE: usize = 500;
/// How many pieces of data a page may send, at most.
const MAX_DATA: usize = 20;

/// A visitor whom the site has vouched for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Identity {
    /// The site's own name for the visitor, which never changes.
    pub(crate) id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) email: String,
    /// The URL of the page for which the site made the JWT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) page: String,
    /// The other claims, a JSON object; empty if there are none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) claims: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    nbf: Option<u64>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    page: String,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Identity {
    /// Checks the JWT of a visitor of this link with the link's keys.
    ///
    /// # Errors
    /// [`Refusal::IdentityInvalid`], which says what is wrong.
    pub(crate) fn verify(
        jwt: &str,
        keys: &[KeyText],
        link: &TokenId,
        now: Time,
    ) -> Result<Self, Refusal> {
        if jwt.len() > MAX_JWT {
            return Err(invalid(format!("it has more than {MAX_JWT} bytes")));
        }
        let mut refusal = invalid("the link has no key to check it with");
        for key in keys {
            match Self::verify_with(jwt, key, link, now) {
                Ok(identity) => return Ok(identity),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn verify_with(jwt: &str, key: &KeyText, link: &TokenId, now: Time) -> Result<Self, Refusal> {
        // The key alone decides which algorithm is allowed.
        let mut validation = Validation::new(key.algorithm.into());
        // Control's clock may differ from the system's: the times are checked below.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["aud"]);
        validation.set_audience(&[link.as_str()]);
        let decoded = decode::<Claims>(jwt, key.decoding_key(), &validation);
        let claims = decoded.map_err(|error| invalid(explain(error.kind(), link)))?.claims;
        let (now, leeway) = (now.as_millis() / 1_000, LEEWAY.as_secs());
        if claims.exp.saturating_add(leeway) <= now {
            return Err(invalid("it has expired"));
        }
        if claims.exp > now + MAX_LIFETIME.as_secs() + leeway {
            return Err(invalid("its `exp` is more than an hour away"));
        }
        if claims.nbf.is_some_and(|nbf| nbf > now + leeway) {
            return Err(invalid("it is not valid yet: `nbf` is in the future"));
        }
        claims.into_identity()
    }

    /// Returns the name under which the visitor's conversations are listed.
    pub(crate) fn hash(id: &str) -> String {
        hex(&Sha256::digest(id)[..16])
    }

    /// Returns how many bytes the identity takes in a turn.
    pub(crate) fn size(&self) -> usize {
        let Self { id, name, email, page, claims } = self;
        [id, name, email, page, claims].map(String::len).iter().sum()
    }
}

impl Claims {
    fn into_identity(self) -> Result<Identity, Refusal> {
        let Self { sub: id, name, email, page, mut others, .. } = self;
        let texts = [
            ("sub", &id, MAX_ID),
            ("name", &name, MAX_NAME),
            ("email", &email, MAX_EMAIL),
            ("page", &page, MAX_URL),
        ];
        for (claim, text, most) in texts {
            if text.chars().count() > most || text.chars().any(char::is_control) {
                let why = format!("`{claim}` must be one line of at most {most} characters");
                return Err(invalid(why));
            }
        }
        if id.is_empty() {
            return Err(invalid("`sub` is empty"));
        }
        // These claims are about the JWT, not about the visitor.
        for claim in ["aud", "iat", "iss", "jti"] {
            others.remove(claim);
        }
        let claims =
            if others.is_empty() { String::new() } else { Value::from(others).to_string() };
        Ok(Identity { id, name, email, page, claims })
    }
}

fn explain(error: &ErrorKind, link: &TokenId) -> String {
    match error {
        ErrorKind::InvalidSignature => "its signature is wrong".to_owned(),
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "it is signed with another algorithm than the link's key is for".to_owned()
        }
        ErrorKind::InvalidAudience => format!("it is for another link: `aud` is not {link}"),
        ErrorKind::MissingRequiredClaim(claim) => format!("it has no `{claim}`"),
        ErrorKind::Json(error) => format!("it is malformed: {error}"),
        _ => "it is not a JWT".to_owned(),
    }
}

fn invalid(why: impl std::fmt::Display) -> Refusal {
    Refusal::IdentityInvalid(format!("the visitor's JWT was refused: {why}"))
}

/// The page from which a visitor writes, as the page itself says. Nobody vouches for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Page {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) title: String,
    /// The page's language, such as `de`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) language: String,
    /// Further data from the site's script.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) data: BTreeMap<String, String>,
}

impl Page {
    /// Checks the lengths.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if something is too long.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let Self { url, title, language, data } = self;
        let texts = [
            ("url", url, MAX_URL),
            ("title", title, MAX_TITLE),
            ("language", language, MAX_LANGUAGE),
        ];
        for (name, text, most) in texts {
            if text.chars().count() > most {
                return Err(Refusal::invalid(format!(
                    "a page's {name} has at most {most} characters"
                )));
            }
        }
        let fits = |(name, value): (&String, &String)| {
            name.chars().count() <= MAX_DATA_NAME && value.chars().count() <= MAX_DATA_VALUE
        };
        if data.len() > MAX_DATA || !data.iter().all(fits) {
            return Err(Refusal::invalid(format!(
                "a page's data are at most {MAX_DATA} texts of at most {MAX_DATA_VALUE} characters, \
                 with names of at most {MAX_DATA_NAME}"
            )));
        }
        Ok(())
    }

    /// Returns the size of the page in a turn, in bytes.
    pub(crate) fn size(&self) -> usize {
        let Self { url, title, language, data } = self;
        let data = data.iter().map(|(name, value)| name.len() + value.len());
        url.len() + title.len() + language.len() + data.sum::<usize>()
    }
}
