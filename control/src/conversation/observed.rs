//! Messages that no agent was asked to answer, and that go with the next one.

use serde::{Deserialize, Serialize};

/// How many observed messages, and how many bytes of them, one turn carries as context.
const MAX_OBSERVED: usize = 100;
const OBSERVED_BYTES: usize = 1 << 20;

/// Turns whose messages wait to be context, each with its message's bytes, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Observed(Vec<(String, usize)>);

impl Observed {
    /// Adds one; of too many the oldest are let go.
    pub(crate) fn push(&mut self, turn: &str, bytes: usize) {
        self.0.push((turn.to_owned(), bytes));
        let size = |waiting: &[(String, usize)]| waiting.iter().map(|(_, b)| b).sum::<usize>();
        while self.0.len() > 1 && (self.0.len() > MAX_OBSERVED || size(&self.0) > OBSERVED_BYTES) {
            self.0.remove(0);
        }
    }

    /// Adds older ones.
    pub(crate) fn put_before(&mut self, older: Self) {
        for (turn, bytes) in std::mem::replace(self, older).0 {
            self.push(&turn, bytes);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn turns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(turn, _)| turn.as_str())
    }
}
