//! Adds a message that an agent or a person sends without being asked, as a turn that is done at
//! once.

use super::{
    Turn,
    end::end_new,
    exchange::Exchange,
    frames::FrameWriter,
    quota, reassign,
    repeat::{Kept, Key, Repeated},
};
use crate::{
    conversation::Head,
    frame::{Body, Message, Outcome},
    ids::{ConversationId, TurnId},
    jid::FolderName,
    limits::Rate,
    names,
    refusal::Refusal,
    session,
    transaction::{Decision, Tracked, Tx},
};

/// A message that an agent or a person sends without being asked.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    pub(crate) conversation: ConversationId,
    pub(crate) content: String,
    /// The name of the person who sends it; empty if an agent does.
    pub(crate) name: String,
    /// Empty if there is none.
    pub(crate) idempotency_key: String,
    /// Whether to refuse it while somebody holds a turn of the conversation.
    pub(crate) unless_held: bool,
}

/// Adds a message to a conversation that the folder has: [`reassign::of_folder`] says which. A
/// repeat returns the first turn.
pub(crate) fn speak(tx: &mut Tx<'_>, folder: &FolderName, speech: &Speech) -> Decision<Turn> {
    session::check_name(&speech.name, !speech.name.is_empty())?;
    if speech.content.trim().is_empty() {
        return Err(Refusal::invalid("the content is empty").into());
    }
    let limit = tx.limits.frame_bytes;
    if speech.content.len() > limit {
        return Err(Refusal::TooLarge { limit }.into());
    }
    let (conversation, token) = reassign::of_folder(tx, folder, &speech.conversation)?;
    let scope = format!("{folder} {}", conversation.id);
    let key = Key {
        text: speech.idempotency_key.clone(),
        content: speech.content.clone().into_bytes(),
        kept: Kept::Message,
    };
    let repeat = match Repeated::find(tx, &scope, &key)? {
        Repeated::Before(turn) => return Ok(*turn),
        Repeated::Not(repeat) => repeat,
    };
    // Only the first open turn can run.
    if speech.unless_held
        && let Some(first) = conversation.open.first()
        && let Some(turn) = tx.get::<Turn>(first)?
        && let Some(by) = turn.holder()
    {
        return Err(Refusal::TurnHeld { by: by.to_owned() }.into());
    }
    let rate = Rate::per_minute(tx.limits.speech_rate, None);
    tx.limit_rate(names::speech_rate(&conversation.id), rate);

    let id = TurnId::new(tx.new_id());
    // Commits only if there is no such turn. A commit that is sent twice finds the turn that it
    // made.
    if let Some(turn) = tx.get_unlikely::<Turn>(&id)? {
        return Ok(turn);
    }
    let head = tx.get_tracked::<Head>(&conversation.id)?;
    let head = head.unwrap_or_else(|| Tracked::new(Head::default()));
    let mut frames = FrameWriter::begin(id.clone(), conversation.id.clone(), head);
    let (within, deadline) = (conversation.id.clone(), tx.now + tx.limits.turn_deadline);
    let mut turn = Turn::begin(id, within, &token, folder.clone(), tx.now, deadline);
    turn.origin.unasked = true;
    turn.origin.sender = String::new();
    let message = Message {
        id: format!("{}.1", turn.id),
        content: speech.content.clone(),
        at: tx.now,
        by: (!speech.name.is_empty()).then(|| speech.name.clone()),
    };
    let Message { id, content, by, .. } = message.clone();
    turn.first_seq = frames.append(tx, Body::Message { id, content, by })?;
    tx.add(&names::turns(&conversation.id), &turn.id, turn.first_seq);
    repeat.remember(tx, &turn.id)?;
    let mut exchange = Exchange { turn: Tracked::new(turn), conversation, frames };
    exchange.conversation.last = Some(exchange.turn.id.clone());
    exchange.conversation.touch(tx);
    quota::charge(tx, &mut exchange, 0);
    end_new(tx, &mut exchange, Outcome::Done, vec![message])?;
    exchange.turn.tell(tx, "spoke", "")?;
    exchange.store(tx)
}
