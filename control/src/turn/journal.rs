//! A turn's journal, for operators: what happened to the turn between its beginning and its end. It
//! has the attempts that did not end the turn, and the moves from folder to folder. Most turns have
//! no journal.

use super::Turn;
use crate::{
    ids::KeyId,
    jid::FolderName,
    names,
    time::Time,
    transaction::{Decision, Stop, Tx},
};
use serde::{Deserialize, Serialize};

/// How many entries a journal keeps, at most. The oldest are dropped first.
const MOST: u64 = 100;

/// The delivery of a turn to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// The name that the agent attached with.
    pub(crate) agent: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) person: bool,
    pub(crate) key: KeyId,
    pub(crate) at: Time,
}

/// Something that happened to a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: Time,
    /// The folder that had the turn, or its conversation, until this happened.
    pub(crate) folder: FolderName,
    /// The number of the attempt that ended with this; 0 if the turn was not running.
    #[serde(default)]
    pub(crate) attempt: u32,
    /// How that attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<Delivery>,
    pub(crate) what: What,
}

/// The kind of an entry, with its details.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Requeued { why: String },
    HandedOff { to: FolderName, note: String },
    Escalated { to: FolderName },
    Assigned { to: FolderName, note: String },
}

impl Entry {
    /// Parses an entry of a turn's journal.
    pub(crate) fn parse(entry: &[u8]) -> Result<Self, Stop> {
        let entry = serde_json::from_slice(entry);
        entry.map_err(|error| Stop::Corrupt(format!("an entry of a journal: {error}")))
    }
}

impl Turn {
    /// Adds an entry to the turn's journal. Call it before the turn's state changes, because the
    /// entry names the attempt under way.
    pub(super) fn note(&mut self, tx: &mut Tx<'_>, folder: FolderName, what: What) -> Decision<()> {
        let is_held = self.hold().is_some();
        let entry = Entry {
            at: tx.now,
            folder,
            attempt: if is_held { self.attempt } else { 0 },
            delivery: self.delivery.clone().filter(|_| is_held),
            what,
        };
        let text = serde_json::to_vec(&entry).map_err(|error| Stop::Corrupt(error.to_string()))?;
        self.events += 1;
        let journal = names::journal(&self.id);
        tx.append_entry(journal.clone(), self.events, text.into());
        if self.events > MOST {
            tx.trim(journal, self.events - MOST);
        }
        Ok(())
    }
}
