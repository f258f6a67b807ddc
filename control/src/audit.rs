//! The audit log, and the events that `tail` shows to operators.

use crate::{
    jid::FolderName,
    names,
    time::Time,
    transaction::{Decision, Stop, Tx},
};
use serde::{Deserialize, Serialize};

/// An entry of the audit log: a change that somebody made, a call that was refused, or a
/// conversation that an operator has read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: Time,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) folder: String,
    pub(crate) subject: String,
    pub(crate) detail: String,
    /// Random, so that two equal changes in one millisecond are two members of the set.
    pub(crate) nonce: u64,
}

/// What to note in the audit log: mostly a change; see [`Entry`].
pub(crate) struct Change<'a> {
    /// The id of the key that did this, or `control`.
    pub(crate) actor: &'a str,
    /// For example `token.issue`.
    pub(crate) action: &'a str,
    /// The folder that the change belongs to; empty if it belongs to none.
    pub(crate) folder: &'a str,
    /// What this is about, by its id, prefix, folder or JID. For a refused call, the method.
    pub(crate) subject: &'a str,
    /// Details for people.
    pub(crate) detail: &'a str,
}

/// Something that happened, for `tail` subscribers.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    pub(crate) at: Time,
    pub(crate) event: String,
    pub(crate) folder: String,
    pub(crate) jid: String,
    pub(crate) conversation: String,
    pub(crate) turn: String,
    pub(crate) detail: String,
}

/// Adds a change to the audit log, and publishes it to `tail` subscribers.
pub(crate) fn note(tx: &mut Tx<'_>, change: &Change<'_>) -> Decision<()> {
    let Change { actor, action, folder, subject, detail } = *change;
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
    tx.add(&names::audit(), &text, tx.now);
    let (event, folder) = (entry.action, entry.folder);
    let detail = format!("{subject} {detail}");
    tell(tx, Event { event, folder, detail, ..Event::default() })
}

/// Publishes an event to `tail` subscribers.
pub(crate) fn tell(tx: &mut Tx<'_>, event: Event) -> Decision<()> {
    let event = Event { at: tx.now, ..event };
    let text = serde_json::to_string(&event).map_err(|error| Stop::Corrupt(error.to_string()))?;
    tx.publish(names::TAIL.to_owned(), text);
    Ok(())
}

/// Whether `folder` is `above` or a folder below it; always true if `above` is `None`.
pub(crate) fn in_view(folder: &str, above: Option<&FolderName>) -> bool {
    above.is_none_or(|above| FolderName::parse(folder).is_ok_and(|folder| folder.is_within(above)))
}
