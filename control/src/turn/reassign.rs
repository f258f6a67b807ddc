//! Assigns conversations to folders, and finds those that a folder may act on.

use super::{Turn, journal::What};
use crate::{
    audit::{self, Event},
    conversation::{Conversation, Handoff},
    ids::{ConversationId, TurnId},
    jid::FolderName,
    names, queue,
    refusal::Refusal,
    session,
    token::Token,
    transaction::{Decision, Record as _, Tracked, Tx},
};
use arizuko_proto::public_id;

/// How many characters a note to the next agent has, at most.
const MAX_NOTE: usize = 4_000;

/// Returns a conversation and its live token, if the conversation is with the folder, or the folder
/// is to answer one of its open turns.
///
/// # Errors
/// [`Refusal::NotFound`] otherwise: nobody learns that another folder's conversation exists.
pub(crate) fn of_folder(
    tx: &mut Tx<'_>,
    folder: &FolderName,
    id: &ConversationId,
) -> Decision<(Tracked<Conversation>, Token)> {
    let unknown = Refusal::NotFound("conversation");
    let Some(conversation) = tx.get_tracked::<Conversation>(id)? else {
        return Err(unknown.into());
    };
    let token = tx.get::<Token>(&conversation.token)?;
    let Some(token) = token.filter(|token| token.is_live(tx.now)) else {
        return Err(unknown.into());
    };
    if conversation.is_with(folder, &token) || has_turn(tx, &conversation, folder)? {
        return Ok((conversation, token));
    }
    Err(unknown.into())
}

/// Whether the folder is to answer an open turn of the conversation.
fn has_turn(tx: &mut Tx<'_>, conversation: &Conversation, folder: &FolderName) -> Decision<bool> {
    tx.expect(conversation.open.iter().map(Turn::name))?;
    for id in &conversation.open {
        if tx.get::<Turn>(id)?.is_some_and(|turn| turn.place.folder == *folder) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Who is to answer a conversation from now on.
pub(crate) struct Assignment<'a> {
    /// The folder; `None` for the one that the route names.
    pub(crate) to: Option<&'a FolderName>,
    /// For the agent that answers next.
    pub(crate) note: &'a str,
    /// The person of the folder who gets the conversation. Empty: the holder stays, or is removed
    /// if the folder changes.
    pub(crate) holder: &'a str,
}

/// Assigns a conversation to a folder, or back to its route. The conversation's queued turns move
/// with it. [`of_folder`] says which conversations `folder` has. Returns the new folder if nobody
/// is attached to it.
pub(crate) fn reassign(
    tx: &mut Tx<'_>,
    folder: &FolderName,
    id: &ConversationId,
    assignment: &Assignment<'_>,
) -> Decision<Option<FolderName>> {
    let Assignment { to, note, holder } = *assignment;
    session::check_name(holder, !holder.is_empty())?;
    let (mut conversation, token) = of_folder(tx, folder, id)?;
    check(folder, to, note)?;
    // A person who takes a conversation from a colleague hands nothing off.
    let is_handoff = conversation.assigned.as_ref() != to || !note.is_empty();
    assign(tx, &mut conversation, to);
    match to {
        Some(to) if !holder.is_empty() => hold(tx, &mut conversation, to, holder),
        None if !holder.is_empty() => {
            return Err(Refusal::invalid("to is missing: a person needs a folder").into());
        }
        _ => {}
    }
    if is_handoff {
        conversation.handoff =
            Some(Handoff { from: folder.clone(), note: note.to_owned(), escalated: false });
    }
    move_waiting(tx, &mut conversation, None)?;
    conversation.store(tx, id)?;
    let unattended = match to {
        Some(to) if queue::is_unattended(tx, to)? => Some(to.clone()),
        _ => None,
    };
    let to = to.map_or("its route", FolderName::as_str);
    audit::tell(
        tx,
        Event {
            event: "assigned".to_owned(),
            folder: folder.to_string(),
            jid: token.jid,
            conversation: public_id::conversation(id.as_str()),
            detail: format!("to {to}"),
            ..Event::default()
        },
    )?;
    Ok(unattended)
}

/// Assigns a conversation to a folder from its next message on. If `to` is `None`, its route
/// decides again.
pub(super) fn assign(
    tx: &mut Tx<'_>,
    conversation: &mut Tracked<Conversation>,
    to: Option<&FolderName>,
) {
    if conversation.assigned.as_ref() == to {
        return;
    }
    if let Some(before) = &conversation.assigned {
        tx.remove(&names::assigned(before), &conversation.id);
        queue::wake(tx, before);
    }
    if let Some(to) = to {
        tx.add(&names::assigned(to), &conversation.id, tx.now);
        queue::wake(tx, to);
    }
    conversation.assigned = to.cloned();
    conversation.holder = None;
}

/// Makes a person of the folder the holder of a conversation that is assigned to it.
pub(super) fn hold(
    tx: &mut Tx<'_>,
    conversation: &mut Tracked<Conversation>,
    folder: &FolderName,
    name: &str,
) {
    conversation.holder = Some(name.to_owned());
    queue::wake(tx, folder);
}

/// Moves the turns that wait in a conversation, except `except`, to the folder that the
/// conversation is assigned to, or to their home folders if there is none. The first of them gets
/// the conversation's handoff.
pub(super) fn move_waiting(
    tx: &mut Tx<'_>,
    conversation: &mut Tracked<Conversation>,
    except: Option<&TurnId>,
) -> Decision<()> {
    let waiting: Vec<TurnId> =
        conversation.open.iter().filter(|id| Some(*id) != except).cloned().collect();
    tx.expect(waiting.iter().map(Turn::name))?;
    for id in waiting {
        let turn = tx.get_tracked::<Turn>(&id)?;
        let Some(mut turn) = turn.filter(|turn| turn.is_queued()) else {
            continue;
        };
        let from = turn.place.folder.clone();
        let to = conversation.assigned.as_ref().unwrap_or(&turn.place.home).clone();
        if to != from {
            queue::leave(tx, &turn);
            turn.place.folder = to.clone();
            turn.back_at = None;
            turn.place.spoke = false;
            if conversation.is_first(&id) {
                queue::enter(tx, &turn);
            }
        }
        if conversation.handoff.is_some()
            && let Some(handoff) = conversation.handoff.take()
        {
            turn.receive(tx, handoff)?;
        } else if to != from {
            turn.note(tx, from, What::Assigned { to, note: String::new() })?;
        }
        turn.store(tx, &id)?;
    }
    Ok(())
}

/// Checks a handoff or a reassignment: it stays within the root folder, and its note is short.
///
/// # Errors
/// [`Refusal::Invalid`] otherwise.
pub(super) fn check(from: &FolderName, to: Option<&FolderName>, note: &str) -> Result<(), Refusal> {
    if let Some(to) = to.filter(|to| to.root() != from.root()) {
        return Err(Refusal::invalid(format!(
            "{to} is not within {}: turns and conversations stay in their root folder",
            from.root()
        )));
    }
    if note.chars().count() > MAX_NOTE {
        return Err(Refusal::invalid(format!("a note has at most {MAX_NOTE} characters")));
    }
    Ok(())
}
