//! Whose a conversation is: its link's folder's, the one that answered last, or the one that it was
//! handed to.

use super::{Conversation, record};
use crate::{
    audit::{self, Event},
    jid::Folder,
    limits::Limits,
    token::{self, Token},
    transaction::{Decision, Refusal, Tx},
    turn::{self, Turn},
};
use serde::{Deserialize, Serialize};

const MAX_NOTE: usize = 4_000;

/// From whom a turn, or a conversation, comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handed {
    pub(crate) folder: Folder,
    pub(crate) note: String,
    /// It was not given, but taken because no answer came.
    pub(crate) escalated: bool,
}

/// The conversation, and its token, if both are alive and with the caller's folder.
pub(crate) fn of_folder(
    tx: &mut Tx<'_>,
    folder: &Folder,
    id: &str,
) -> Decision<(Conversation, Token)> {
    let unknown = Refusal::NotFound("conversation");
    let Some(conversation) = tx.get::<Conversation>(&record(id))? else {
        return Err(unknown.into());
    };
    let token = tx.get::<Token>(&token::record(&conversation.token))?;
    let Some(token) = token.filter(|token| token.is_live(tx.now)) else {
        return Err(unknown.into());
    };
    if conversation.is_with(folder, &token) || has_turn(tx, &conversation, folder)? {
        return Ok((conversation, token));
    }
    Err(unknown.into())
}

/// Whether an open turn of the conversation is the folder's to answer.
fn has_turn(tx: &mut Tx<'_>, conversation: &Conversation, folder: &Folder) -> Decision<bool> {
    tx.expect(conversation.open.iter().map(|id| turn::record(id)))?;
    for id in &conversation.open {
        if tx.get::<Turn>(&turn::record(id))?.is_some_and(|turn| turn.folder == *folder) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Says whose a conversation is from now on; see [`Conversation::assign`].
pub(crate) fn hand_over(
    tx: &mut Tx<'_>,
    limits: &Limits,
    (folder, id): (&Folder, &str),
    to: Option<&Folder>,
    note: &str,
) -> Decision<()> {
    let (mut conversation, token) = of_folder(tx, folder, id)?;
    check_handover(folder, to, note)?;
    conversation.assign(tx, to);
    conversation.handed =
        Some(Handed { folder: folder.clone(), note: note.to_owned(), escalated: false });
    turn::redirect(tx, limits, &mut conversation, "")?;
    conversation.put(tx, limits)?;
    let to = to.map_or("its route", Folder::as_str);
    audit::tell(
        tx,
        Event {
            event: "assigned".to_owned(),
            folder: folder.to_string(),
            jid: token.jid,
            conversation: conversation.id,
            detail: format!("to {to}"),
            ..Event::default()
        },
    )
}

/// Refuses to hand anything out of its root folder.
pub(crate) fn check_handover(
    from: &Folder,
    to: Option<&Folder>,
    note: &str,
) -> Result<(), Refusal> {
    if let Some(to) = to.filter(|to| to.root() != from.root()) {
        return Err(Refusal::invalid(format!(
            "{to} is not within {}: what is handed over stays in its root folder",
            from.root()
        )));
    }
    if note.chars().count() > MAX_NOTE {
        return Err(Refusal::invalid(format!("a note has at most {MAX_NOTE} characters")));
    }
    Ok(())
}
