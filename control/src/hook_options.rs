//! The options that only webhooks have, as their tokens' records keep them.

use crate::{
    hook_filter::{self, Filter},
    refusal::Refusal,
    signature::{Signature, check_header},
};
use serde::{Deserialize, Serialize};
use std::{ops::RangeInclusive, time::Duration};

/// The version of [`HookOptions`] that control writes. A later version fills the fields that are
/// not in this one with their defaults.
const VERSION: u32 = 1;

/// How long a delivery may wait: less than the 60 s after which many proxies give up.
const WAITS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(50);

/// The options that only a webhook has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HookOptions {
    pub(crate) version: u32,
    pub(crate) dedupe: Dedupe,
    /// How the sender signs. `None`: the secret in the URL alone lets a delivery in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signature: Option<Signature>,
    /// How long a delivery waits for the agent's response. `None`: it is answered at once.
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::time::stored::option")]
    pub(crate) wait: Option<Duration>,
    /// What a delivery must have to make a turn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) only: Vec<Filter>,
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
        Self {
            version: VERSION,
            dedupe: Dedupe::default(),
            signature: None,
            wait: None,
            only: Vec::new(),
        }
    }
}

impl HookOptions {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if the name of a header is malformed or too long, if the scheme or a
    /// filter is refused, or if the wait is too short or too long.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if let Some(signature) = &self.signature {
            signature.scheme.check()?;
        }
        if self.wait.is_some_and(|wait| !WAITS.contains(&wait)) {
            return Err(Refusal::invalid("a webhook waits from 1 second to 50 seconds"));
        }
        hook_filter::check(&self.only)?;
        match &self.dedupe {
            Dedupe::Header(name) => check_header(name),
            Dedupe::KnownHeaders | Dedupe::Body => Ok(()),
        }
    }
}
