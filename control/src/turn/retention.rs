//! Deletes conversations, and their messages and frames when they are past retention.

use super::{Turn, exchange::delete_records, observe, quota};
use crate::{
    conversation::{self, Conversation, Head},
    events::{self, Happened, Kind},
    folder_settings::kept,
    identity::Identity,
    ids::{ConversationId, TurnId},
    names::{self, Due},
    queue,
    time::Time,
    token::Token,
    transaction::{Decision, Record as _, Tracked, Tx},
};
use std::time::Duration;

/// How many turns one clean-up handles, at most, in each of its two steps.
const SWEEP: u32 = 100;
/// How long a conversation's next clean-up waits, at least.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it waits at most: control may have been started with other settings by then.
const LOOK_AGAIN: Duration = Duration::from_secs(86_400);

/// Deletes a conversation of the token with all its turns.
///
/// # Errors
/// [`Refusal::NotFound`](crate::refusal::Refusal::NotFound) if the token has no such conversation.
pub(crate) fn delete(tx: &mut Tx<'_>, token: &Token, id: &ConversationId) -> Decision<()> {
    let conversation = conversation::of_token(tx.get(id)?, token)?;
    purge(tx, &conversation, By::Visitor)
}

/// Who deletes a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Visitor,
    Operator,
    /// The clean-up, since the conversation was idle for as long as messages are kept.
    Retention,
}

impl By {
    fn word(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Operator => "operator",
            Self::Retention => "retention",
        }
    }
}

/// Deletes a conversation with all its turns. Sessions that hold some of them get a notice.
pub(super) fn purge(tx: &mut Tx<'_>, conversation: &Conversation, by: By) -> Decision<()> {
    let id = &conversation.id;
    if let Some(folder) = &conversation.assigned {
        tx.remove(&names::assigned(folder), id);
        queue::wake(tx, folder);
    }
    let turns = tx.all_members(&names::turns(id))?;
    tx.expect(conversation.open.iter().map(Turn::name))?;
    for turn in turns {
        let is_open = conversation.open.contains(&turn);
        if is_open && let Some(mut open) = tx.get::<Turn>(&turn)? {
            let notice = open.cancelled();
            open.release(tx, Some(notice));
            if open.attempt == 0 {
                observe::put_back(tx, &open, None)?;
            }
        }
        delete_records(tx, &turn, is_open);
    }
    quota::give_back(tx, conversation, conversation.kept);
    tx.delete_set(&names::turns(id));
    tx.delete_log(names::log(id));
    tx.delete::<Head>(id);
    tx.delete::<Conversation>(id);
    tx.remove(&names::conversations(conversation.with.root()), id);
    if let Some(identity) = &conversation.identity {
        let hash = Identity::hash(&identity.id);
        tx.remove(&names::conversations_of(&conversation.token, &hash), id);
    }
    tx.unschedule(&Due::Conversation(id.clone()));
    tx.publish(names::conversation_topic(id), "deleted");
    events::add(
        tx,
        &Happened {
            kind: Kind::ConversationDeleted,
            folder: &conversation.with,
            token: &conversation.token,
            conversation: id,
            turn: None,
            more: &[("by", by.word())],
        },
    )
}

/// Schedules the clean-up of a conversation in which a turn has ended, unless a clean-up is due
/// before the turn's frames are past retention.
pub(super) fn schedule(tx: &mut Tx<'_>, conversation: &mut Tracked<Conversation>) -> Decision<()> {
    let at = tx.now + kept(tx, &conversation.with)?.frames;
    if conversation.clean_up_at.is_none_or(|due| at < due) {
        conversation.clean_up_at = Some(at);
        tx.schedule(&Due::Conversation(conversation.id.clone()), at);
    }
    Ok(())
}

/// Deletes the messages and frames of a conversation that are past retention, and schedules the
/// next clean-up. Deletes the whole conversation if it has been idle for as long as messages are
/// kept.
pub(crate) fn clean_up(tx: &mut Tx<'_>, id: &ConversationId) -> Decision<()> {
    let Some(mut conversation) = tx.get_tracked::<Conversation>(id)? else {
        tx.unschedule(&Due::Conversation(id.clone()));
        return Ok(());
    };
    let kept = kept(tx, &conversation.with)?;
    // The end of an open turn makes the conversation active again.
    let is_idle = conversation.open.is_empty();
    let idle_until = is_idle.then(|| conversation.active_at + kept.messages);
    if idle_until.is_some_and(|until| tx.now >= until) {
        return purge(tx, &conversation, By::Retention);
    }
    // Trims the frames first, because a message is deleted only after its frames.
    let frames = trim_frames(tx, &mut conversation, kept.frames)?;
    let messages = delete_messages(tx, &mut conversation, kept.messages)?;
    let next = idle_until.into_iter().chain(frames).chain(messages).min();
    let again = next.unwrap_or(tx.now + LOOK_AGAIN);
    let again = again.clamp(tx.now + PAUSE, tx.now + LOOK_AGAIN);
    conversation.clean_up_at = Some(again);
    conversation.store(tx, id)?;
    tx.schedule(&Due::Conversation(id.clone()), again);
    Ok(())
}

/// Deletes turns whose frames are trimmed and whose messages are past retention; returns when to
/// look again.
fn delete_messages(
    tx: &mut Tx<'_>,
    conversation: &mut Tracked<Conversation>,
    kept: Duration,
) -> Decision<Option<Time>> {
    let set = names::turns(&conversation.id);
    let members = tx.members(&set, 0..=conversation.trimmed, SWEEP)?;
    tx.expect(members.iter().map(|(id, _)| Turn::name(id)))?;
    // If the sweep is full, the next one deletes the rest.
    let is_full = members.len() == SWEEP as usize;
    let mut next = is_full.then_some(tx.now);
    let mut freed = 0;
    for (id, _) in &members {
        let turn = tx.get::<Turn>(id)?;
        let kept_until = ended_at(turn.as_ref()).map(|at| at + kept);
        if let Some(until) = kept_until.filter(|until| *until > tx.now) {
            next = Some(until);
            break;
        }
        freed += turn.map_or(0, |turn| turn.kept);
        delete_records(tx, id, false);
        tx.remove(&set, id);
    }
    if freed > 0 {
        conversation.kept = conversation.kept.saturating_sub(freed);
        quota::give_back(tx, conversation, freed);
    }
    Ok(next)
}

/// Trims the log before the first turn whose frames are still kept; returns when to look again.
fn trim_frames(
    tx: &mut Tx<'_>,
    conversation: &mut Tracked<Conversation>,
    kept: Duration,
) -> Decision<Option<Time>> {
    let trimmed = conversation.trimmed;
    let set = names::turns(&conversation.id);
    let members: Vec<(TurnId, u64)> = tx.members(&set, trimmed + 1..=u64::MAX, SWEEP + 1)?;
    tx.expect(members.iter().map(|(id, _)| Turn::name(id)))?;
    let (mut through, mut again) = (trimmed, None);
    for (index, (id, first_seq)) in members.iter().enumerate() {
        let turn = tx.get::<Turn>(id)?;
        // An open turn is never trimmed; its end schedules another clean-up.
        let is_open = turn.as_ref().is_some_and(Turn::is_open);
        let kept_until = ended_at(turn.as_ref()).map(|at| at + kept);
        let kept_until = kept_until.filter(|until| *until > tx.now);
        let is_full = index == SWEEP as usize;
        if is_open || kept_until.is_some() || is_full {
            // Turns overlap in the log: this turn's message can lie between an earlier turn's
            // frames.
            through = through.min(first_seq - 1);
            again = kept_until.or((is_full && !is_open).then_some(tx.now));
            break;
        }
        let last_seq = turn.as_ref().and_then(Turn::end).map_or(*first_seq, |end| end.last_seq);
        through = through.max(last_seq);
    }
    if through > trimmed {
        conversation.trimmed = through;
        tx.trim(names::log(&conversation.id), through);
    }
    Ok(again)
}

fn ended_at(turn: Option<&Turn>) -> Option<Time> {
    turn.and_then(Turn::end).map(|end| end.at)
}
