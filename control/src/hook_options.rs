//! The options that only webhooks have, as their tokens' records keep them.

use crate::{
    refusal::Refusal,
    signature::{Signature, check_header},
};
use serde::{Deserialize, Serialize};

/// The version of [`HookOptions`] that control writes. A later version fills the fields that are
/// not in this one with their defaults.
const VERSION: u32 = 1;

/// The options that only a webhook has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HookOptions {
    pub(crate) version: u32,
    pub(crate) dedupe: Dedupe,
    /// How the sender signs. `None`: the secret in the URL alone lets a delivery in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signature: Option<Signature>,
}

/// How repeats of a delivery are recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dedupe {
    /// By the headers in which known senders name their deliveries.
    #[default]
    KnownHeaders,
    /// By this header, in lower case.
    Header(String),
    /// By method, path, query and body.
    Body,
}

impl Default for HookOptions {
    fn default() -> Self {
        Self { version: VERSION, dedupe: Dedupe::default(), signature: None }
    }
}

impl HookOptions {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if the name of a header is malformed or too long, or if the scheme is
    /// refused.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if let Some(signature) = &self.signature {
            signature.scheme.check()?;
        }
        match &self.dedupe {
            Dedupe::Header(name) => check_header(name),
            Dedupe::KnownHeaders | Dedupe::Body => Ok(()),
        }
    }
}
