//! What is kept of a conversation, and for how long.

use super::{Conversation, assigned, due, log, of_token, record, topic, turns};
use crate::{
    limits::Limits,
    store::Millis,
    token::Token,
    transaction::{Decision, Tx},
    turn::{self, Turn},
};

/// How many turns one clean-up looks at.
const SWEEP: u32 = 100;

/// Deletes a conversation with all its turns; those under way are cancelled.
pub(crate) fn delete(tx: &mut Tx<'_>, limits: &Limits, token: &Token, id: &str) -> Decision<()> {
    let conversation = of_token(tx.get(&record(id))?, token)?;
    purge(tx, limits, &conversation)
}

fn purge(tx: &mut Tx<'_>, limits: &Limits, conversation: &Conversation) -> Decision<()> {
    if let Some(folder) = &conversation.assigned {
        tx.remove(assigned(folder), &conversation.id);
        tx.publish(turn::ready_topic(folder), "assigned");
    }
    let members = tx.members(&turns(&conversation.id), 0..=u64::MAX, u32::MAX)?;
    tx.expect(conversation.open.iter().map(|id| turn::record(id)))?;
    for member in members {
        if conversation.open.contains(&member.name)
            && let Some(turn) = tx.get::<Turn>(&turn::record(&member.name))?
        {
            turn::release(tx, &turn, true);
            if turn.attempt == 0 {
                turn::give_back(tx, limits, &turn, None)?;
            }
        }
        drop_turn(tx, &member.name);
    }
    tx.delete(&turns(&conversation.id));
    tx.delete(&log(&conversation.id));
    tx.delete(&record(&conversation.id));
    tx.settle(due(&conversation.id));
    tx.publish(topic(&conversation.id), "deleted");
    Ok(())
}

fn drop_turn(tx: &mut Tx<'_>, id: &str) {
    for name in [turn::record, turn::input, turn::reply] {
        tx.delete(&name(id));
    }
}

/// Drops what is past retention, and says when to look again.
pub(crate) fn clean_up(tx: &mut Tx<'_>, limits: &Limits, id: &str) -> Decision<()> {
    let Some(mut conversation) = tx.get::<Conversation>(&record(id))? else {
        tx.settle(due(id));
        return Ok(());
    };
    let (now, idle_until) = (tx.now, conversation.active_at + limits.messages_kept());
    if conversation.open.is_empty() && now >= idle_until {
        return purge(tx, limits, &conversation);
    }
    let messages = drop_messages(tx, limits, &conversation)?;
    let frames = drop_frames(tx, limits, &mut conversation)?;
    // Never at once again: what one sweep leaves is for the next second.
    let again = idle_until.min(messages).min(frames).max(now + 1_000);
    conversation.clean_up_at = Some(again);
    conversation.put(tx, limits)?;
    tx.schedule(due(id), again);
    Ok(())
}

/// Drops turns whose messages are past retention; returns when the next one is.
fn drop_messages(
    tx: &mut Tx<'_>,
    limits: &Limits,
    conversation: &Conversation,
) -> Decision<Millis> {
    let set = turns(&conversation.id);
    let members = tx.members(&set, 0..=conversation.trimmed, SWEEP)?;
    tx.expect(members.iter().map(|member| turn::record(&member.name)))?;
    for member in members {
        let turn = tx.get::<Turn>(&turn::record(&member.name))?;
        let until = turn.and_then(|turn| turn.ended_at).map(|at| at + limits.messages_kept());
        if let Some(until) = until.filter(|until| *until > tx.now) {
            return Ok(until);
        }
        drop_turn(tx, &member.name);
        tx.remove(&set, &member.name);
    }
    // A full sweep leaves the rest to the next one.
    let full = members.len() == SWEEP as usize;
    Ok(if full { tx.now } else { tx.now + limits.frames_kept() })
}

/// Trims the log before the first turn whose frames are still kept; returns when they are not.
fn drop_frames(
    tx: &mut Tx<'_>,
    limits: &Limits,
    conversation: &mut Conversation,
) -> Decision<Millis> {
    let from = conversation.trimmed + 1;
    let members = tx.members(&turns(&conversation.id), from..=u64::MAX, SWEEP + 1)?;
    tx.expect(members.iter().map(|member| turn::record(&member.name)))?;
    let (mut through, mut again) = (conversation.trimmed, tx.now + limits.frames_kept());
    for (index, member) in members.iter().enumerate() {
        let turn = tx.get::<Turn>(&turn::record(&member.name))?;
        let until = match &turn {
            // An open turn is never trimmed.
            Some(turn) if turn.status.is_open() => Some(again),
            turn => {
                turn.as_ref().and_then(|turn| turn.ended_at).map(|at| at + limits.frames_kept())
            }
        };
        let kept = until.filter(|until| *until > tx.now);
        if kept.is_some() || index == SWEEP as usize {
            // Turns overlap in the log: a later one's message stands among this one's frames.
            through = through.min(member.score - 1);
            again = kept.unwrap_or(tx.now);
            break;
        }
        through = through.max(turn.map_or(member.score, |turn| turn.last_seq));
    }
    if through > conversation.trimmed {
        conversation.trimmed = through;
        tx.trim(log(&conversation.id), through);
    }
    Ok(again)
}

/// Makes sure that a clean-up comes. The caller puts the conversation.
pub(crate) fn schedule_clean_up(tx: &mut Tx<'_>, limits: &Limits, conversation: &mut Conversation) {
    if conversation.clean_up_at.is_none() {
        let at = tx.now + limits.frames_kept();
        conversation.clean_up_at = Some(at);
        tx.schedule(due(&conversation.id), at);
    }
}
