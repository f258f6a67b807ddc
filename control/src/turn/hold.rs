//! Delivers turns to sessions, and requeues turns that their sessions lose or reject.

use super::{
    Hold, State, Turn,
    end::{COULD_NOT_ANSWER, Ending, LINK_ENDED, cancel, end},
    exchange::Exchange,
    frames::FrameWriter,
    journal::{Delivery, What},
    observe, reassign,
};
use crate::{
    conversation::Conversation,
    frame::{Body, Outcome},
    ids::TurnId,
    jid::FolderName,
    names, queue,
    session::{Session, Speaker},
    time::Time,
    token::Token,
    transaction::{Decision, Record as _, Tracked, Tx},
};

/// How many turns of a queue a claim looks at beyond those that it may deliver, because some may no
/// longer wait.
const SPARE: u32 = 3;

/// The result of a claim.
#[derive(Debug, Default)]
pub(crate) struct Claimed {
    /// The turns that the claim delivered, each with the speaker of the session that got it.
    pub(crate) turns: Vec<(Speaker, Turn)>,
    /// Sessions that are over, or that another stream speaks for.
    pub(crate) over: Vec<Speaker>,
    /// Whether more turns may wait in the queue.
    pub(crate) may_be_more: bool,
}

/// Delivers the first turns in a folder's queue, each to the next of `speakers`. A speaker that is
/// listed several times gets as many turns, at most.
pub(crate) fn claim(
    tx: &mut Tx<'_>,
    folder: &FolderName,
    speakers: &[Speaker],
) -> Decision<Claimed> {
    let queue = names::queue(folder);
    let looked_at = u32::try_from(speakers.len()).unwrap_or(u32::MAX).saturating_add(SPARE);
    let candidates = tx.members(&queue, 0..=u64::MAX, looked_at)?;
    let may_be_more = candidates.len() as u64 == u64::from(looked_at);
    let mut claimed = Claimed { may_be_more, ..Claimed::default() };
    if candidates.is_empty() {
        return Ok(claimed);
    }
    let sessions = speakers.iter().map(|speaker| Session::name(&speaker.session));
    tx.expect(sessions.chain(candidates.iter().map(|(id, _)| Turn::name(id))))?;
    let mut waiting = speakers.iter();
    for (id, _) in candidates {
        let turn = tx.get_tracked::<Turn>(&id)?;
        // The set may be older than the record: the turn may no longer wait in this folder.
        let Some(turn) = turn.filter(|turn| turn.waits_for(folder)) else {
            tx.remove(&queue, &id);
            continue;
        };
        if link_has_ended(tx, &turn)? {
            cancel(tx, &id, LINK_ENDED)?;
            continue;
        }
        let Some((speaker, session)) = next_session(tx, &mut waiting, &mut claimed.over)? else {
            claimed.may_be_more = true;
            break;
        };
        claimed.turns.push((speaker, deliver(tx, &session, turn)?));
    }
    Ok(claimed)
}

/// Returns the next speaker whose session is live. Adds the speakers before it to `over`.
fn next_session<'a>(
    tx: &mut Tx<'_>,
    waiting: &mut impl Iterator<Item = &'a Speaker>,
    over: &mut Vec<Speaker>,
) -> Decision<Option<(Speaker, Session)>> {
    for speaker in waiting {
        match speaker.live_session(tx)? {
            Some(session) => return Ok(Some((speaker.clone(), session))),
            None => over.push(speaker.clone()),
        }
    }
    Ok(None)
}

/// Whether the turn's link was revoked or has expired. A link's turns are cancelled after its end,
/// some in each commit. No agent may get a turn that is still to be cancelled.
fn link_has_ended(tx: &mut Tx<'_>, turn: &Turn) -> Decision<bool> {
    let token = tx.get::<Token>(&turn.origin.token)?;
    Ok(!token.is_some_and(|token| token.is_live(tx.now)))
}

/// What a person chose.
pub(crate) struct Choice {
    pub(crate) turn: TurnId,
    /// Whether to assign its conversation to the person's folder, too.
    pub(crate) assign: bool,
    /// Whether to take it from another session of that folder.
    pub(crate) take: bool,
}

/// Delivers the turn that a person chose. Returns `None` if the turn is not in their folder, if
/// another session holds it and it is not to be taken, if another turn of the conversation comes
/// first, or if the link has ended.
pub(crate) fn claim_chosen(
    tx: &mut Tx<'_>,
    speaker: &Speaker,
    choice: &Choice,
) -> Decision<Option<Turn>> {
    let Choice { turn: id, assign, take } = choice;
    let session = speaker.session(tx)?;
    let is_to_be_had = |turn: &Tracked<Turn>| match &turn.state {
        // A claim that is repeated doesn't take the turn from its own session.
        State::Running(hold) => *take && session.person && hold.session != session.id,
        State::Queued | State::Ended(_) => turn.is_queued(),
    };
    let turn = tx.get_tracked::<Turn>(id)?;
    let turn = turn.filter(|turn| turn.place.folder == session.folder && is_to_be_had(turn));
    let Some(mut turn) = turn else {
        return Ok(None);
    };
    if link_has_ended(tx, &turn)? {
        cancel(tx, id, LINK_ENDED)?;
        return Ok(None);
    }
    let conversation = tx.get_tracked::<Conversation>(&turn.conversation)?;
    // Only the first open turn of a conversation may run.
    let Some(mut conversation) = conversation.filter(|conversation| conversation.is_first(id))
    else {
        return Ok(None);
    };
    if turn.hold().is_some() {
        take_away(tx, &mut turn, &format!("{} has taken it", session.name))?;
    }
    if *assign {
        reassign::assign(tx, &mut conversation, Some(&session.folder));
        if session.person {
            reassign::hold(tx, &mut conversation, &session.folder, &session.name);
        }
        reassign::move_waiting(tx, &mut conversation, Some(&turn.id))?;
        conversation.store(tx, &turn.conversation)?;
    }
    deliver(tx, &session, turn).map(Some)
}

/// Delivers a queued turn to a session, as a new attempt.
fn deliver(tx: &mut Tx<'_>, session: &Session, mut turn: Tracked<Turn>) -> Decision<Turn> {
    turn.attempt += 1;
    turn.state = State::Running(Hold {
        session: session.id.clone(),
        person: session.person.then(|| session.name.clone()),
        accept_by: Some(tx.now + tx.limits.accept_timeout),
    });
    turn.delivery = Some(Delivery {
        agent: session.name.clone(),
        person: session.person,
        key: session.key.clone(),
        at: tx.now,
    });
    if session.person {
        observe::add_for_person(tx, &turn)?;
        // Colleagues see who holds the turn.
        queue::wake(tx, &session.folder);
    }
    turn.back_at = None;
    queue::leave(tx, &turn);
    tx.add(&names::held(&session.id), &turn.id, tx.now);
    turn.schedule(tx);
    if (turn.attempt > 1 || turn.keep)
        && let Some(mut frames) = FrameWriter::open(tx, &turn)?
    {
        frames.progress.next_seq = 1;
        frames.append(tx, Body::Restart { attempt: turn.attempt, keep: turn.keep })?;
        frames.store(tx, true)?;
        turn.keep = false;
    }
    turn.store(tx, &turn.id)?;
    session.touch(tx)?;
    turn.tell(tx, "claimed", &session.name)?;
    Ok(turn.into_inner())
}

/// Requeues a turn that its agent has lost, or ends it as failed if agents have lost it too often.
pub(super) fn requeue_with_strike(
    tx: &mut Tx<'_>,
    mut turn: Tracked<Turn>,
    why: &str,
    at: Time,
) -> Decision<()> {
    turn.strikes += 1;
    if turn.strikes < tx.limits.attempts {
        return requeue(tx, turn, why, at);
    }
    let Some(exchange) = Exchange::of(tx, turn)? else {
        return Ok(());
    };
    let ending = Ending { outcome: Outcome::Failed, error: COULD_NOT_ANSWER, detail: why };
    end(tx, exchange, &ending).map(drop)
}

/// Puts a running turn back into its folder's queue at the time `at`, or at once if that is past.
pub(super) fn requeue(
    tx: &mut Tx<'_>,
    mut turn: Tracked<Turn>,
    why: &str,
    at: Time,
) -> Decision<()> {
    take_away(tx, &mut turn, why)?;
    turn.await_first_frame_again(tx.now);
    if at > tx.now {
        turn.back_at = Some(at);
    } else {
        queue::enter_again(tx, &turn);
    }
    turn.schedule(tx);
    turn.store(tx, &turn.id)?;
    turn.tell(tx, "requeued", why)
}

/// Takes a running turn from its session, which is told why.
fn take_away(tx: &mut Tx<'_>, turn: &mut Tracked<Turn>, why: &str) -> Decision<()> {
    let notice = turn.lost(why);
    let folder = turn.place.folder.clone();
    turn.note(tx, folder, What::Requeued { why: why.to_owned() })?;
    let hold = turn.leave_running(tx, Some(notice));
    // The visitor keeps what a person has said: the next agent must not say it again.
    turn.keep |= hold.is_some_and(|hold| hold.person.is_some());
    Ok(())
}

/// Puts a turn into its folder's queue again, when its wait outside the queue is over.
pub(super) fn bring_back(tx: &mut Tx<'_>, mut turn: Tracked<Turn>) -> Decision<()> {
    turn.back_at = None;
    queue::enter_again(tx, &turn);
    turn.schedule(tx);
    turn.store(tx, &turn.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{ConversationId, KeyId, SessionId, TokenId},
        limits::Limits,
        store::{self, Found, Member, Order, Read},
        token::{Kind, Options},
        transaction::{Known, Record},
    };

    #[test]
    fn a_turn_that_has_just_moved_to_another_folder_is_not_delivered() {
        let limits = Limits::defaults();
        let folder = |name| FolderName::parse(name).expect("a folder");
        let (before, after) = (folder("acme"), folder("acme/people"));
        let token = Token {
            id: TokenId::from("tok_x".to_owned()),
            hash: String::new(),
            kind: Kind::Chat,
            jid: "web:acme".to_owned(),
            folder: before.clone(),
            source: None,
            suffix: None,
            owner: before.clone(),
            options: Options::default(),
            proof_key: None,
            created_at: Time::default(),
            created_by: KeyId::from("key_x".to_owned()),
            by_operator: false,
            expires_at: None,
            revoked_at: None,
            kept: 0,
        };
        let session = Session {
            id: SessionId::from("s".to_owned()),
            folder: before.clone(),
            name: String::new(),
            person: false,
            key: KeyId::from("key_x".to_owned()),
            credit: 0,
            epoch: 1,
            attached_at: Time::default(),
            expires_at: Time::from_millis(100),
        };
        let now = Time::from_millis(5);
        let (id, conversation) = (TurnId::new([1; 18]), ConversationId::new([2; 18]));
        let turn = Turn::begin(id, conversation, &token, after, now, now);

        // The set is as it was before the turn moved to the other folder.
        let queue = Read::Set {
            set: names::queue(&before).name,
            min: 0,
            max: u64::MAX,
            limit: 1 + SPARE,
            order: Order::LowestFirst,
        };
        let waiting = Member { name: turn.id.to_string(), score: 5 };
        let stored = [stored(&session.id, &session), stored(&turn.id, &turn)];
        let mut known = Known::default();
        known.extend(stored.into_iter().chain([(queue, Found::Set(vec![waiting]))]));
        let mut tx = Tx::new(&known, &limits, now, [0; 32]);
        let speakers = [session.speaker()];
        let claimed = claim(&mut tx, &before, &speakers).expect("everything is known");
        assert!(claimed.turns.is_empty() && claimed.over.is_empty() && !claimed.may_be_more);
    }

    fn stored<T: Record>(id: &T::Id, value: &T) -> (Read, Found) {
        let body = serde_json::to_string(value).expect("a record is JSON");
        let record = store::Record { version: 1, body: body.into() };
        (Read::Record(T::name(id)), Found::Record(Some(record)))
    }
}
