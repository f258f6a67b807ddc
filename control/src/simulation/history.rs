//! What happened in a run: a trace for people, and what the judge compares at the end.

use super::linear::{Call, Did};
use std::{
    collections::{BTreeMap, BTreeSet},
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
pub(super) struct State {
    trace: String,
    /// How many steps were counted.
    steps: u64,
    pub(super) accepted: Vec<Accepted>,
    /// The calls that changed or saw the state of each link, by its token.
    pub(super) calls: BTreeMap<String, Vec<Call>>,
    /// The links that are revoked.
    pub(super) revoked: BTreeSet<String>,
    /// The links that have refused a message because the budget of the second day was spent.
    pub(super) spent: BTreeSet<String>,
    /// The seqs that the readers of each conversation have had.
    pub(super) read: BTreeMap<String, [Vec<u64>; READERS]>,
    pub(super) cancelled: BTreeSet<String>,
    /// The conversations whose deletion was asked for.
    pub(super) deleted: BTreeSet<String>,
    /// The conversations whose deletion has returned.
    pub(super) gone: BTreeSet<String>,
    /// The folder to which each conversation was assigned first, and the step of that assignment.
    pub(super) assigned: BTreeMap<String, (String, u64)>,
    pub(super) delivered: BTreeMap<(String, u32), Delivered>,
    /// The attempts that were handed off, and the folders that they were handed off to.
    pub(super) handed_off: BTreeMap<(String, u32), String>,
    breaches: Vec<String>,
}

/// A message that control has taken.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) token: String,
    pub(super) conversation: String,
    pub(super) turn: String,
    pub(super) text: String,
    /// The id of a webhook's delivery; empty for a visitor's message.
    pub(super) delivery: String,
    /// Whether control said that the message had come before.
    pub(super) repeated: bool,
    /// The step at which it was first sent.
    pub(super) sent: u64,
}

/// To whom an attempt was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) folder: String,
    pub(super) session: String,
    pub(super) at: Instant,
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

    /// Counts a step. Returns its number.
    pub(super) fn step(&self) -> u64 {
        let mut state = self.state();
        state.steps += 1;
        state.steps
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

    /// Notes that a call on a link, which began at step `begun`, has returned.
    pub(super) fn call(&self, token: &str, did: Did, begun: u64) {
        let returned = self.step();
        let call = Call { did, begun, returned };
        self.state().calls.entry(token.to_owned()).or_default().push(call);
    }

    pub(super) fn is_revoked(&self, token: &str) -> bool {
        self.state().revoked.contains(token)
    }

    /// Notes that a reader of a conversation has had the frame with this seq.
    pub(super) fn read(&self, conversation: &str, reader: usize, seq: u64) {
        let mut state = self.state();
        let readers = state.read.entry(conversation.to_owned()).or_default();
        readers[reader].push(seq);
    }

    /// Notes that an attempt was delivered. It can be delivered to the same session again.
    pub(super) fn deliver(&self, turn: &str, attempt: u32, delivered: Delivered) {
        let key = (turn.to_owned(), attempt);
        let before = self.state().delivered.insert(key, delivered.clone());
        if before.is_some_and(|before| before.session != delivered.session) {
            self.breach(&format!("attempt {attempt} of {turn} is delivered to two sessions"));
        }
    }

    /// Notes that from now on a conversation is a folder's.
    pub(super) fn assign(&self, conversation: &str, folder: &str) {
        self.say(&format!("{conversation} is assigned to {folder}"));
        let step = self.step();
        let assigned = (folder.to_owned(), step);
        self.state().assigned.entry(conversation.to_owned()).or_insert(assigned);
    }

    pub(super) fn trace(&self) -> String {
        self.state().trace.clone()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
