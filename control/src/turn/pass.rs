//! A turn goes from one folder to another: its agent hands it off, or nobody answers in time.
//! What was said stays.

use super::{
    COULD_NOT_ANSWER, End, Input, Progress, Status, Turn, end_turn, input, leave_queue, make_ready,
    record,
    reply::{Hold, held},
};
use crate::{
    conversation::{self, Conversation, Handed, check_handover},
    frame::Body,
    jid::Folder,
    limits::Limits,
    session::{self, Notice},
    store::Millis,
    transaction::{Decision, Refusal, Tx},
};

/// How often a turn may be handed on: agents that hand it to one another would do so for ever.
const MAX_PASSES: u32 = 20;

/// What an agent says when it hands its turn off.
#[derive(Clone, Debug)]
pub(crate) struct Handoff {
    /// `None`: back to the folder that the route named.
    pub(crate) to: Option<Folder>,
    /// For the next one.
    pub(crate) note: String,
    /// Whether the conversation's later messages go there too.
    pub(crate) conversation: bool,
}

/// Hands the turn to another folder, if all frames before this one, number `seq`, are stored.
pub(crate) fn hand_off(
    tx: &mut Tx<'_>,
    limits: &Limits,
    hold: Hold<'_>,
    seq: u64,
    handoff: &Handoff,
) -> Decision<Progress> {
    let turn = match held(tx, hold)? {
        Ok(turn) => turn,
        Err(progress) => return Ok(progress),
    };
    if seq != turn.next_seq {
        return Ok(Progress::Stored { next_seq: turn.next_seq, finished: false });
    }
    check_handover(&turn.folder, handoff.to.as_ref(), &handoff.note)?;
    let to = handoff.to.as_ref().unwrap_or(&turn.home).clone();
    let id = conversation::record(&turn.conversation);
    let Some(mut conversation) = tx.get::<Conversation>(&id)? else {
        return Ok(Progress::Ended);
    };
    if handoff.conversation {
        conversation.assign(tx, handoff.to.as_ref());
        redirect(tx, limits, &mut conversation, &turn.id)?;
    }
    if turn.passes >= MAX_PASSES {
        let end = End {
            status: Status::Failed,
            error: COULD_NOT_ANSWER,
            detail: "it was handed on too often",
            by_agent: false,
        };
        conversation.put(tx, limits)?;
        end_turn(tx, limits, turn, end)?;
        return Ok(Progress::Ended);
    }
    let handed =
        Handed { folder: turn.folder.clone(), note: handoff.note.clone(), escalated: false };
    pass(tx, limits, turn, &mut conversation, (to, handed))?;
    conversation.put(tx, limits)?;
    Ok(Progress::Lost("it was handed off"))
}

/// Whether a step of the turn's escalation is due.
pub(super) fn escalation_is_due(turn: &Turn, now: Millis) -> bool {
    let is_past = |at: Option<Millis>| at.is_some_and(|at| now >= at);
    is_past(turn.unfinished_until) || (!turn.spoke && is_past(turn.silent_until))
}

/// Takes the next step of the turn's escalation.
pub(super) fn escalate(tx: &mut Tx<'_>, limits: &Limits, mut turn: Turn) -> Decision<()> {
    let steps = tx.get::<Input>(&input(&turn.id))?;
    let steps = steps.map(|input| input.route.steps).unwrap_or_default();
    let step = steps.get(turn.step);
    turn.step += 1;
    let next = steps.get(turn.step);
    await_step(&mut turn, next);
    let id = conversation::record(&turn.conversation);
    let conversation = tx.get::<Conversation>(&id)?;
    let (Some(step), Some(mut conversation)) = (step, conversation) else {
        turn.schedule(tx);
        return turn.put(tx, limits);
    };
    // It may have been handed there already: then nobody need be fetched.
    if step.to == turn.folder {
        turn.schedule(tx);
        return turn.put(tx, limits);
    }
    if !step.say.is_empty() {
        let message = Body::Message {
            id: format!("{}.escalation.{}", turn.id, turn.step),
            content: step.say.clone(),
            by: None,
        };
        turn.append(tx, &mut conversation, message)?;
    }
    let handed = Handed { folder: turn.folder.clone(), note: String::new(), escalated: true };
    pass(tx, limits, turn, &mut conversation, (step.to.clone(), handed))?;
    conversation.put(tx, limits)
}

/// Sets the times of the step that comes next.
pub(super) fn await_step(turn: &mut Turn, step: Option<&crate::route::Step>) {
    let taken = turn.created_at;
    let at = |after: Option<Millis>| after.map(|after| taken + after);
    turn.silence = step.and_then(|step| step.after);
    turn.silent_until = at(turn.silence);
    turn.unfinished_until = at(step.and_then(|step| step.unfinished_after));
}

/// Brings the turns that wait in a conversation to whom it is assigned now, all but `except`.
/// The caller puts the conversation.
pub(crate) fn redirect(
    tx: &mut Tx<'_>,
    limits: &Limits,
    conversation: &mut Conversation,
    except: &str,
) -> Decision<()> {
    let open = conversation.open.clone();
    tx.expect(open.iter().map(|id| record(id)))?;
    for (place, id) in open.iter().enumerate().filter(|(_, id)| *id != except) {
        let turn = tx.get::<Turn>(&record(id))?;
        let Some(mut turn) = turn.filter(|turn| turn.status == Status::Queued) else {
            continue;
        };
        let to = conversation.assigned.as_ref().unwrap_or(&turn.home);
        let note = conversation.handed.take();
        if *to == turn.folder && note.is_none() {
            continue;
        }
        if *to != turn.folder {
            leave_queue(tx, &turn);
            turn.folder = to.clone();
            turn.spoke = false;
            if place == 0 {
                make_ready(tx, &turn, tx.now);
            }
        }
        turn.handed = note.or(turn.handed);
        turn.put(tx, limits)?;
    }
    Ok(())
}

/// Moves a turn to another folder's queue. The caller puts the conversation.
fn pass(
    tx: &mut Tx<'_>,
    limits: &Limits,
    mut turn: Turn,
    conversation: &mut Conversation,
    (to, handed): (Folder, Handed),
) -> Decision<()> {
    let (event, why) = match handed.escalated {
        true => ("escalated", format!("to {to}: no answer came in time")),
        false => ("handed off", format!("to {to}")),
    };
    turn.tell(tx, event, &why)?;
    if let Some(session) = turn.session.take() {
        tx.remove(session::held(&session), &turn.id);
        // An agent that hands it off is answered; one that loses it has to be told.
        if handed.escalated {
            tx.publish(session::topic(&session), Notice::lost(&turn, event));
        }
    }
    leave_queue(tx, &turn);
    tx.publish(super::ready_topic(&turn.folder), "passed");
    turn.folder = to;
    turn.handed = Some(handed);
    turn.passes += 1;
    turn.status = Status::Queued;
    turn.person = None;
    turn.spoke = false;
    turn.keep = true;
    turn.strikes = 0;
    turn.accept_by = None;
    if conversation.open.first() == Some(&turn.id) {
        make_ready(tx, &turn, tx.now);
    }
    turn.schedule(tx);
    turn.put(tx, limits)
}

impl Handoff {
    pub(crate) fn new(folder: &str, note: String, conversation: bool) -> Result<Self, Refusal> {
        let to = (!folder.is_empty()).then(|| Folder::parse(folder));
        Ok(Self { to: to.transpose()?, note, conversation })
    }
}
