//! An agent, or a person, speaks first: a turn that nobody asked for, and that is done at once.

use super::{Status, Turn, end_at_once, repeat::Repeated};
use crate::{
    conversation,
    credential::random_id,
    frame::{Body, Message},
    jid::Folder,
    limits::Limits,
    session,
    transaction::{Decision, Refusal, Tx},
};

/// What is said.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    pub(crate) conversation: String,
    pub(crate) content: String,
    /// The person who says it; empty: the agent.
    pub(crate) name: String,
    /// Empty: none.
    pub(crate) idempotency_key: String,
}

/// Adds a message to a conversation that is with the folder.
pub(crate) fn speak(
    tx: &mut Tx<'_>,
    limits: &Limits,
    folder: &Folder,
    speech: &Speech,
) -> Decision<Turn> {
    session::check_name(&speech.name, !speech.name.is_empty())?;
    if speech.content.trim().is_empty() {
        return Err(Refusal::invalid("the content is empty").into());
    }
    if speech.content.len() > limits.frame_bytes {
        let limit = limits.frame_bytes;
        return Err(Refusal::TooLarge { limit }.into());
    }
    let (mut conversation, token) = conversation::of_folder(tx, folder, &speech.conversation)?;
    let scope = format!("{folder} {}", conversation.id);
    let (key, content) = (&speech.idempotency_key, speech.content.as_bytes());
    let repeat = match Repeated::find(tx, &scope, key, content)? {
        Repeated::Before(turn) => return Ok(*turn),
        Repeated::Not(repeat) => repeat,
    };
    tx.limit_rate(format!("rate:{}", conversation.id), limits.link_rate);

    let id = random_id(tx.random());
    // Guarded to be new: a commit that comes late finds what it did.
    if let Some(turn) = tx.get_unlikely::<Turn>(&super::record(&id))? {
        return Ok(turn);
    }
    let mut turn = Turn {
        unasked: true,
        sender: String::new(),
        ..Turn::new(tx, limits, &token, (id, &conversation), folder.clone())
    };
    let by = (!speech.name.is_empty()).then(|| speech.name.clone());
    let message =
        Message { id: format!("{}.1", turn.id), content: speech.content.clone(), at: tx.now, by };
    let Message { id, content, by, .. } = message.clone();
    turn.append(tx, &mut conversation, Body::Message { id, content, by })?;
    turn.first_seq = conversation.head;
    let end = (Status::Done, vec![message]);
    end_at_once(tx, limits, &mut turn, &mut conversation, end)?;
    tx.add(conversation::turns(&conversation.id), &turn.id, turn.first_seq);
    conversation.active_at = tx.now;
    conversation.put(tx, limits)?;
    turn.put(tx, limits)?;
    repeat.remember(tx, &turn.id)?;
    turn.tell(tx, "spoke", "")?;
    Ok(turn)
}
