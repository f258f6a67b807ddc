//! What operators can see: the audit log, and the events of `tail`.

use crate::{
    jid::Folder,
    store::Millis,
    transaction::{Decision, Stop, Tx},
};
use serde::{Deserialize, Serialize};

/// The set that holds a partition's audit log, scored by time.
pub(crate) const AUDIT: &str = "audit";
/// The topic that a partition's events are published on.
pub(crate) const TAIL: &str = "tail";

/// One change that somebody made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: Millis,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) folder: String,
    pub(crate) subject: String,
    pub(crate) detail: String,
    /// Makes two entries of one moment two members.
    nonce: u64,
}

/// One thing that happened.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    pub(crate) at: Millis,
    pub(crate) event: String,
    pub(crate) folder: String,
    pub(crate) jid: String,
    pub(crate) conversation: String,
    pub(crate) turn: String,
    pub(crate) detail: String,
}

/// Writes into the audit log, and tells who tails.
pub(crate) fn note(
    tx: &mut Tx<'_>,
    actor: &str,
    action: &str,
    folder: &str,
    (subject, detail): (&str, &str),
) -> Decision<()> {
    let entry = Entry {
        at: tx.now,
        actor: actor.to_owned(),
        action: action.to_owned(),
        folder: folder.to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_owned(),
        nonce: u64::from_le_bytes(tx.random()),
    };
    let text = serde_json::to_string(&entry).map_err(|error| Stop::Corrupt(error.to_string()))?;
    tx.add(AUDIT, text, tx.now);
    let (event, folder) = (entry.action, entry.folder);
    let detail = format!("{subject} {detail}");
    tell(tx, Event { event, folder, detail, ..Event::default() })
}

/// Tells who tails.
pub(crate) fn tell(tx: &mut Tx<'_>, event: Event) -> Decision<()> {
    let event = Event { at: tx.now, ..event };
    let text = serde_json::to_string(&event).map_err(|error| Stop::Corrupt(error.to_string()))?;
    tx.publish(TAIL.to_owned(), text);
    Ok(())
}

/// Whether something in `folder` belongs to a view of `above`; no `above`: of everything.
pub(crate) fn in_view(folder: &str, above: Option<&Folder>) -> bool {
    above.is_none_or(|above| Folder::parse(folder).is_ok_and(|folder| folder.is_within(above)))
}
