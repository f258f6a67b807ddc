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
        while self.0.len() > MAX_OBSERVED
            || self.0.iter().map(|(_, bytes)| bytes).sum::<usize>() > OBSERVED_BYTES
        {
            self.0.remove(0);
        }
    }

    pub(crate) fn take(&mut self) -> impl Iterator<Item = String> {
        std::mem::take(&mut self.0)
            .into_iter()
            .map(|(turn, _)| turn)
    }
}
