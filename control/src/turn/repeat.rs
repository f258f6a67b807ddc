//! Whether a message came before, by its idempotency key.

use super::Turn;
use crate::{
    credential::hash,
    store::Millis,
    transaction::{Decision, Refusal, Tx},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a repeat is recognised by its idempotency key.
const KEEP_KEYS: Duration = Duration::from_secs(86_400);

/// Remembers which turn an idempotency key made.
#[derive(Debug, Serialize, Deserialize)]
struct Repeat {
    turn: String,
    content_hash: String,
    at: Millis,
}

/// Whether a message came before, by its idempotency key.
pub(super) enum Repeated {
    Before(Box<Turn>),
    Not(Unrepeated),
}

/// A message that didn't come before: its key, if it has one, is still to be remembered.
pub(super) struct Unrepeated(Option<(String, String)>);

impl Repeated {
    pub(super) fn find(tx: &mut Tx<'_>, scope: &str, key: &str, content: &[u8]) -> Decision<Self> {
        if key.is_empty() {
            return Ok(Self::Not(Unrepeated(None)));
        }
        if key.chars().count() > 255 {
            let why = "an Idempotency-Key has at most 255 characters";
            return Err(Refusal::invalid(why).into());
        }
        let record = format!("repeat:{}", hash(format!("{scope} {key}")));
        let content_hash = hash(content);
        let first = tx.get_unlikely::<Repeat>(&record)?;
        let first = first.filter(|first| tx.now <= first.at + (KEEP_KEYS.as_millis() as Millis));
        if let Some(first) = first {
            if first.content_hash != content_hash {
                return Err(Refusal::IdempotencyMismatch.into());
            }
            if let Some(turn) = tx.get(&super::record(&first.turn))? {
                return Ok(Self::Before(Box::new(turn)));
            }
        }
        Ok(Self::Not(Unrepeated(Some((record, content_hash)))))
    }
}

impl Unrepeated {
    pub(super) fn remember(self, tx: &mut Tx<'_>, turn: &str) -> Decision<()> {
        let Some((record, content_hash)) = self.0 else {
            return Ok(());
        };
        let (turn, at) = (turn.to_owned(), tx.now);
        let repeat = Repeat { turn, content_hash, at };
        tx.put(&record, &repeat, Some(KEEP_KEYS))
    }
}
