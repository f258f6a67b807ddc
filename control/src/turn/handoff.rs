//! Moves a turn from one folder to another: its agent hands it off, or a step of its escalation is
//! due. The visitor keeps the messages so far.

use super::{
    Turn,
    end::{COULD_NOT_ANSWER, Ending, end},
    exchange::Exchange,
    input::Input,
    journal::What,
    reassign,
    reply::{Ack, Attempt},
};
use crate::{
    conversation::Handoff,
    events::Kind,
    frame::{Body, Outcome},
    jid::FolderName,
    queue,
    transaction::{Decision, Tracked, Tx},
};

/// A turn that has moved this often ends as failed when it is handed off again, so that two agents
/// cannot move it back and forth for ever.
const MAX_MOVES: u32 = 20;

/// An agent's request to hand off its turn.
#[derive(Clone, Debug)]
pub(crate) struct HandoffOrder {
    /// The folder to move to; `None` for the turn's home folder.
    pub(crate) to: Option<FolderName>,
    /// A text for the next agent.
    pub(crate) note: String,
    /// Whether the conversation is reassigned, too.
    pub(crate) conversation: bool,
}

/// Hands the turn off to another folder, if `seq` is the number that the attempt's next frame would
/// have. Ends the turn as failed if it has moved [`MAX_MOVES`] times.
pub(crate) fn hand_off(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    seq: u64,
    order: &HandoffOrder,
) -> Decision<Ack> {
    let turn = match attempt.turn(tx)? {
        Ok(turn) => turn,
        Err(ack) => return Ok(ack),
    };
    reassign::check(&turn.place.folder, order.to.as_ref(), &order.note)?;
    let Some(mut exchange) = Exchange::of(tx, turn)? else {
        return Ok(Ack::Ended);
    };
    let next_seq = exchange.frames.progress.next_seq;
    if seq != next_seq {
        return Ok(Ack::Stored { next_seq, finished: false });
    }
    let Exchange { turn, conversation, .. } = &mut exchange;
    if order.conversation {
        reassign::assign(tx, conversation, order.to.as_ref());
        reassign::move_waiting(tx, conversation, Some(&turn.id))?;
    }
    if turn.place.moves >= MAX_MOVES {
        let detail = "it was handed off too often";
        let ending = Ending { outcome: Outcome::Failed, error: COULD_NOT_ANSWER, detail };
        end(tx, exchange, &ending)?;
        return Ok(Ack::Ended);
    }
    let to = order.to.as_ref().unwrap_or(&turn.place.home).clone();
    let from = turn.place.folder.clone();
    let handoff = Handoff { from, note: order.note.clone(), escalated: false };
    let is_unattended = move_to(tx, exchange, to.clone(), handoff)?;
    Ok(Ack::HandedOff { unattended: is_unattended.then_some(to) })
}

/// Takes the next step of the turn's escalation.
pub(super) fn escalate(tx: &mut Tx<'_>, mut turn: Tracked<Turn>) -> Decision<()> {
    let steps = tx.get::<Input>(&turn.id)?.map(|input| input.plan.steps).unwrap_or_default();
    let step = steps.get(turn.escalation.step);
    turn.escalation.step += 1;
    let next = steps.get(turn.escalation.step);
    turn.await_step(next);
    // If the step's folder has the turn already, the turn stays there.
    let Some(step) = step.filter(|step| step.to != turn.place.folder) else {
        turn.schedule(tx);
        return turn.store(tx, &turn.id);
    };
    let Some(mut exchange) = Exchange::of(tx, turn)? else {
        return Ok(());
    };
    if !step.say.is_empty() {
        let id = format!("{}.escalation.{}", exchange.turn.id, exchange.turn.escalation.step);
        let message = Body::Message { id, content: step.say.clone(), by: None };
        exchange.frames.append(tx, message)?;
    }
    let from = exchange.turn.place.folder.clone();
    let handoff = Handoff { from, note: String::new(), escalated: true };
    move_to(tx, exchange, step.to.clone(), handoff).map(drop)
}

/// Moves a turn to another folder's queue. Returns whether nobody is attached to that folder.
fn move_to(
    tx: &mut Tx<'_>,
    mut exchange: Exchange,
    to: FolderName,
    handoff: Handoff,
) -> Decision<bool> {
    let is_unattended = queue::is_unattended(tx, &to)?;
    let nobody = match is_unattended {
        true => ", where nobody is attached",
        false => "",
    };
    let (event, why) = match handoff.escalated {
        true => ("escalated", format!("to {to}{nobody}: no answer came in time")),
        false => ("handed off", format!("to {to}{nobody}")),
    };
    let Exchange { turn, conversation, .. } = &mut exchange;
    turn.tell(tx, event, &why)?;
    if handoff.escalated {
        turn.add_event(tx, Kind::Escalated, &[("to", to.as_str())])?;
    }
    let what = match (to.clone(), handoff.note.clone()) {
        (to, _) if handoff.escalated => What::Escalated { to },
        (to, note) => What::HandedOff { to, note },
    };
    turn.note(tx, handoff.from.clone(), what)?;
    // An agent that hands the turn off gets an answer. An agent that loses the turn to an
    // escalation gets a notice.
    let notice = handoff.escalated.then(|| turn.lost(event));
    turn.leave_running(tx, notice);
    queue::leave(tx, turn);
    queue::wake(tx, &turn.place.folder);
    turn.place.folder = to;
    turn.back_at = None;
    turn.place.handoff = Some(handoff);
    turn.place.moves += 1;
    turn.place.spoke = false;
    turn.keep = true;
    turn.strikes = 0;
    if conversation.is_first(&turn.id) {
        queue::enter(tx, turn);
    }
    turn.schedule(tx);
    exchange.store(tx)?;
    Ok(is_unattended)
}
