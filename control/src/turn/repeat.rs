//! Recognises a message that came before, by its idempotency key.

use super::Turn;
use crate::{
    ids::TurnId,
    limits::Limits,
    names,
    refusal::Refusal,
    secret::hash,
    time::Time,
    transaction::{Decision, Record, Tx},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many characters an idempotency key has, at most.
const MAX_KEY: usize = 255;

/// How long a repeat is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kept {
    /// 24 hours: for those who repeat a message because no answer came.
    #[default]
    Message,
    /// 72 hours: known senders repeat a delivery for two or three days.
    Delivery,
}

impl Kept {
    fn duration(self) -> Duration {
        let hours = match self {
            Self::Message => 24,
            Self::Delivery => 72,
        };
        Duration::from_secs(hours * 3_600)
    }
}

/// A message's idempotency key, and the content that its repeats must have.
pub(super) struct Key {
    /// The key itself; empty if there is none.
    pub(super) text: String,
    /// The content to compare: a message with the same key and other content is refused.
    pub(super) content: Vec<u8>,
    pub(super) kept: Kept,
}

/// The turn that the message with an idempotency key began.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Repeat {
    turn: TurnId,
    content_hash: String,
    at: Time,
    #[serde(default)]
    kept: Kept,
}

impl Record for Repeat {
    /// The hash of a key together with its scope.
    type Id = str;

    const IS_READ_SOON: bool = false;

    fn name(hash: &str) -> String {
        names::repeat(hash)
    }

    fn lifetime(&self, _: &Limits) -> Option<Duration> {
        Some(self.kept.duration())
    }
}

/// Whether a message came before.
pub(super) enum Repeated {
    Before(Box<Turn>),
    Not(Unrepeated),
}

/// A message that didn't come before. Its key, if it has one, is not stored yet.
pub(super) struct Unrepeated(Option<UnusedKey>);

struct UnusedKey {
    hash: String,
    content_hash: String,
    kept: Kept,
}

impl Repeated {
    /// Looks for the turn of an earlier message with the same key in the same scope. A message with
    /// an empty key is never a repeat.
    ///
    /// # Errors
    /// [`Refusal::IdempotencyMismatch`] if the key came with other content before,
    /// [`Refusal::Invalid`] if the key is too long.
    pub(super) fn find(tx: &mut Tx<'_>, scope: &str, key: &Key) -> Decision<Self> {
        let Key { text, content, kept } = key;
        if text.is_empty() {
            return Ok(Self::Not(Unrepeated(None)));
        }
        if text.chars().count() > MAX_KEY {
            let why = format!("an Idempotency-Key has at most {MAX_KEY} characters");
            return Err(Refusal::Invalid(why).into());
        }
        let (hash, content_hash) = (hash(format!("{scope} {text}")), hash(content));
        let first = tx.get_unlikely::<Repeat>(hash.as_str())?;
        if let Some(first) = first.filter(|first| tx.now <= first.at + first.kept.duration()) {
            if first.content_hash != content_hash {
                return Err(Refusal::IdempotencyMismatch.into());
            }
            if let Some(turn) = tx.get::<Turn>(&first.turn)? {
                return Ok(Self::Before(Box::new(turn)));
            }
        }
        Ok(Self::Not(Unrepeated(Some(UnusedKey { hash, content_hash, kept: *kept }))))
    }
}

impl Unrepeated {
    pub(super) fn remember(self, tx: &mut Tx<'_>, turn: &TurnId) -> Decision<()> {
        let Some(UnusedKey { hash, content_hash, kept }) = self.0 else {
            return Ok(());
        };
        let repeat = Repeat { turn: turn.clone(), content_hash, at: tx.now, kept };
        tx.put(hash.as_str(), &repeat)
    }
}
