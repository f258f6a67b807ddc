//! Adds people's notes to conversations.

use super::reassign;
use crate::{
    conversation::Note,
    ids::ConversationId,
    jid::FolderName,
    names,
    refusal::Refusal,
    session,
    transaction::{Decision, Tx},
};

/// How many characters a note has, at most.
const MAX_TEXT: usize = 1_000;
/// How many notes a conversation keeps, at most. They are in its record, which every message reads.
/// The oldest are dropped first.
const MOST: usize = 20;

/// Adds a note to a conversation that the folder has: [`reassign::of_folder`] says which. A repeat
/// of the last note adds nothing.
pub(crate) fn add(
    tx: &mut Tx<'_>,
    folder: &FolderName,
    id: &ConversationId,
    by: &str,
    text: &str,
) -> Decision<()> {
    session::check_name(by, true)?;
    if text.trim().is_empty() || text.chars().count() > MAX_TEXT {
        return Err(Refusal::invalid(format!("a note has 1 to {MAX_TEXT} characters")).into());
    }
    let (mut conversation, _) = reassign::of_folder(tx, folder, id)?;
    let notes = &mut conversation.notes;
    if notes.last().is_some_and(|last| last.by == by && last.text == text) {
        return Ok(());
    }
    notes.push(Note { at: tx.now, by: by.to_owned(), text: text.to_owned() });
    let surplus = notes.len().saturating_sub(MOST);
    notes.drain(..surplus);
    conversation.store(tx, id)?;
    // Those who follow the conversation read it again.
    tx.publish(names::conversation_topic(id), "noted");
    Ok(())
}
