//! The limits that a link can have of its own, in place of control's.

use crate::{limits::Rate, refusal::Refusal};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const MAX_BURST: u32 = 100_000;
const MAX_OPEN_TURNS: u32 = 10_000;
const MAX_TURNS_PER_DAY: u32 = 10_000_000;
const MAX_TOKENS_PER_DAY: u64 = 1_000_000_000_000;
const DAY: Duration = Duration::from_secs(86_400);

/// A link's own limits. `rate`, `burst` and `max_open_turns` are for each visitor of a chat link,
/// or for a webhook as a whole; if `rate` or `max_open_turns` is `None`, control's limit applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LinkLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<MessageRate>,
    /// `None`: as many messages as in one period of `rate`, or control's limit if there is no
    /// `rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) burst: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_open_turns: Option<u32>,
    /// When a visitor's message needs a proof of work; `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proof_of_work: Option<ProofOfWork>,
    /// How many turns may begin in a day, of all visitors together, and of each; `None`: any
    /// number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) turns_per_day: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) visitor_turns_per_day: Option<u32>,
    /// How many model tokens the turns of a day may use together; `None`: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokens_per_day: Option<u64>,
}

/// When a chat link asks for a proof of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProofOfWork {
    /// Always.
    On,
    /// While the link is near its limits.
    Auto,
}

/// A limit of `count` messages in each `per`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageRate {
    pub(crate) count: u32,
    #[serde(with = "crate::time::stored")]
    pub(crate) per: Duration,
}

impl LinkLimits {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks that each limit is in range.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a limit that is not.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if let Some(rate) = &self.rate {
            if !(Duration::from_secs(1)..=DAY).contains(&rate.per) {
                return Err(Refusal::invalid("the period of a rate must be 1 second to 1 day"));
            }
            if rate.count == 0 || Rate::from(rate).interval().is_none() {
                return Err(Refusal::invalid(
                    "a rate is at least 1 message and at most 1000 a second",
                ));
            }
        }
        in_range("a burst", self.burst, MAX_BURST)?;
        in_range("max_open_turns", self.max_open_turns, MAX_OPEN_TURNS)?;
        in_range("turns_per_day", self.turns_per_day, MAX_TURNS_PER_DAY)?;
        in_range("visitor_turns_per_day", self.visitor_turns_per_day, MAX_TURNS_PER_DAY)?;
        in_range("tokens_per_day", self.tokens_per_day, MAX_TOKENS_PER_DAY)
    }

    /// Returns the link's own rate, or else `default`; with the link's own burst, if it has one.
    pub(crate) fn rate_or(&self, default: Rate) -> Rate {
        let rate = self.rate.as_ref().map_or(default, Rate::from);
        Rate { burst: self.burst.unwrap_or(rate.burst), ..rate }
    }
}

/// Checks that a limit is in range, if it is set.
fn in_range<N: Into<u64>>(what: &str, value: Option<N>, most: N) -> Result<(), Refusal> {
    let most = most.into();
    match value.map(Into::into) {
        Some(value) if !(1..=most).contains(&value) => {
            Err(Refusal::invalid(format!("{what} is from 1 to {most}, not {value}")))
        }
        _ => Ok(()),
    }
}

impl From<&MessageRate> for Rate {
    fn from(&MessageRate { count, per }: &MessageRate) -> Self {
        Self { count, per, burst: count }
    }
}
