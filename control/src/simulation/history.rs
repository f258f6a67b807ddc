//! What happened in a run: a trace for people, and what the judge compares at the end.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// How many readers each conversation has.
pub(super) const READERS: usize = 2;

/// A run's history. Clones share it.
#[derive(Clone)]
pub(super) struct History {
    begun: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    trace: String,
    accepted: Vec<Accepted>,
    /// When the revocation of each revoked token returned.
    revoked: BTreeMap<String, Instant>,
    /// The seqs that the readers of each conversation have had.
    read: BTreeMap<String, [Vec<u64>; READERS]>,
    cancelled: Vec<String>,
    breaches: Vec<String>,
}

/// A message that control has taken.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) token: String,
    pub(super) conversation: String,
    pub(super) turn: String,
    pub(super) text: String,
    /// When the visitor first sent it.
    pub(super) sent: Instant,
}

impl History {
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now(), state: Arc::default() }
    }

    /// Adds a line to the trace.
    pub(super) fn say(&self, line: &str) {
        let at = self.begun.elapsed();
        let _ = writeln!(self.state().trace, "{:>9.3} {line}", at.as_secs_f64());
    }

    /// Notes that a promise was broken.
    pub(super) fn breach(&self, what: &str) {
        self.say(&format!("BREACH: {what}"));
        self.state().breaches.push(what.to_owned());
    }

    pub(super) fn breaches(&self) -> Vec<String> {
        self.state().breaches.clone()
    }

    pub(super) fn accept(&self, accepted: Accepted) {
        self.say(&format!("{:?} is taken as {}", accepted.text, accepted.turn));
        self.state().accepted.push(accepted);
    }

    pub(super) fn accepted(&self) -> Vec<Accepted> {
        self.state().accepted.clone()
    }

    /// Notes that the revocation of a token has returned.
    pub(super) fn revoke(&self, token: &str) {
        self.say(&format!("{token} is revoked"));
        self.state().revoked.insert(token.to_owned(), Instant::now());
    }

    /// Returns when the revocation of a token returned.
    pub(super) fn revoked(&self, token: &str) -> Option<Instant> {
        self.state().revoked.get(token).copied()
    }

    /// Notes that a visitor has asked to cancel a turn.
    pub(super) fn cancel(&self, turn: &str) {
        self.state().cancelled.push(turn.to_owned());
    }

    pub(super) fn may_be_cancelled(&self, turn: &str) -> bool {
        self.state().cancelled.iter().any(|cancelled| cancelled == turn)
    }

    /// Notes that a reader of a conversation has had the frame with this seq.
    pub(super) fn read(&self, conversation: &str, reader: usize, seq: u64) {
        let mut state = self.state();
        let readers = state.read.entry(conversation.to_owned()).or_default();
        readers[reader].push(seq);
    }

    /// Returns the seqs that each reader of a conversation has had, in order.
    pub(super) fn seqs(&self, conversation: &str) -> [Vec<u64>; READERS] {
        self.state().read.get(conversation).cloned().unwrap_or_default()
    }

    pub(super) fn trace(&self) -> String {
        self.state().trace.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
