//! Who holds a turn: it is handed to a session, and taken back from one.

use super::{
    COULD_NOT_ANSWER, End, Status, Turn, end_turn, leave_queue, make_ready, ready, record, redirect,
};
use crate::{
    conversation::{self, Conversation},
    frame::Body,
    limits::Limits,
    session::{self, Session},
    store::Millis,
    transaction::{Decision, Tx},
};

/// How many waiting turns a claim looks at, should the first not be there any more.
const CANDIDATES: u32 = 4;

/// Hands the turn that has waited longest of the session's folder to it.
pub(crate) fn claim(
    tx: &mut Tx<'_>,
    limits: &Limits,
    (session, epoch): (&str, u64),
) -> Decision<Option<Turn>> {
    let holder = session::live(tx, session, epoch)?;
    let queue = ready(&holder.folder);
    for member in tx.members(&queue, 0..=tx.now, CANDIDATES)? {
        let turn = tx.get::<Turn>(&record(&member.name))?;
        // It may have gone to another folder since the set was read.
        let waits = |turn: &Turn| turn.status == Status::Queued && turn.folder == holder.folder;
        let Some(turn) = turn.filter(waits) else {
            tx.remove(&queue, &member.name);
            continue;
        };
        return give(tx, limits, &holder, turn).map(Some);
    }
    Ok(None)
}

/// Hands one turn to the session of its choice, if it still waits in the session's folder.
/// `assign`: the conversation is the folder's from now on.
pub(crate) fn claim_this(
    tx: &mut Tx<'_>,
    limits: &Limits,
    (session, epoch): (&str, u64),
    id: &str,
    assign: bool,
) -> Decision<Option<Turn>> {
    let holder = session::live(tx, session, epoch)?;
    let turn = tx.get::<Turn>(&record(id))?;
    let waits = |turn: &Turn| turn.status == Status::Queued && turn.folder == holder.folder;
    let Some(turn) = turn.filter(waits) else {
        return Ok(None);
    };
    let conversation = tx.get::<Conversation>(&conversation::record(&turn.conversation))?;
    // One turn of a conversation at a time.
    let is_first = |c: &Conversation| c.open.first().is_some_and(|first| first == id);
    let Some(mut conversation) = conversation.filter(is_first) else {
        return Ok(None);
    };
    if assign {
        conversation.assign(tx, Some(&holder.folder));
        redirect(tx, limits, &mut conversation, &turn.id)?;
        conversation.put(tx, limits)?;
    }
    give(tx, limits, &holder, turn).map(Some)
}

/// Hands a queued turn to a session.
fn give(tx: &mut Tx<'_>, limits: &Limits, holder: &Session, mut turn: Turn) -> Decision<Turn> {
    turn.attempt += 1;
    turn.status = Status::Running;
    turn.session = Some(holder.id.clone());
    turn.person = holder.person.then(|| holder.name.clone());
    turn.next_seq = 1;
    turn.accept_by = Some(tx.now + limits.accept_timeout.as_millis() as Millis);
    leave_queue(tx, &turn);
    tx.add(session::held(&holder.id), &turn.id, tx.now);
    turn.schedule(tx);
    if (turn.attempt > 1 || turn.keep)
        && let Some(mut conversation) =
            tx.get::<Conversation>(&conversation::record(&turn.conversation))?
    {
        let restart = Body::Restart { attempt: turn.attempt, keep: turn.keep };
        turn.append(tx, &mut conversation, restart)?;
        conversation.put(tx, limits)?;
        turn.keep = false;
    }
    turn.put(tx, limits)?;
    // Changed by every claim, so that the end of the session misses none.
    tx.put(&session::record(&holder.id), holder, None)?;
    turn.tell(tx, "claimed", &holder.name)?;
    Ok(turn)
}

/// Takes a running turn from an agent that lost it: to the queue, from `at` on, or after too many such losses to
/// its end.
pub(crate) fn take_away(
    tx: &mut Tx<'_>,
    limits: &Limits,
    mut turn: Turn,
    why: &str,
    at: Millis,
) -> Decision<()> {
    turn.strikes += 1;
    if turn.strikes >= limits.attempts {
        let end =
            End { status: Status::Failed, error: COULD_NOT_ANSWER, detail: why, by_agent: false };
        return end_turn(tx, limits, turn, end).map(drop);
    }
    take_back(tx, limits, turn, why, at)
}

/// Takes a running turn back to the queue, to be handed out from `at` on.
pub(crate) fn take_back(
    tx: &mut Tx<'_>,
    limits: &Limits,
    mut turn: Turn,
    why: &str,
    at: Millis,
) -> Decision<()> {
    if let Some(session) = turn.session.take() {
        tx.remove(session::held(&session), &turn.id);
        tx.publish(session::topic(&session), session::Notice::lost(&turn, why));
    }
    turn.status = Status::Queued;
    // What a person said is not said again by another.
    turn.keep |= turn.person.take().is_some();
    turn.accept_by = None;
    if turn.spoke {
        // The folder has as long again before somebody else is asked.
        turn.spoke = false;
        turn.silent_until = turn.silence.map(|silence| tx.now + silence);
    }
    turn.schedule(tx);
    make_ready(tx, &turn, at);
    turn.put(tx, limits)?;
    turn.tell(tx, "taken back", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        jid::Folder,
        store::{Found, Member, Order, Read, Record},
        token::{Options, Token},
        transaction::Known,
    };
    use serde::Serialize;

    #[derive(clap::Parser)]
    struct Defaults {
        #[command(flatten)]
        limits: Limits,
    }

    #[test]
    fn a_turn_that_has_just_gone_elsewhere_is_not_handed_out() {
        let limits = <Defaults as clap::Parser>::parse_from(["test"]).limits;
        let folder = |name| Folder::parse(name).expect("a folder");
        let (before, after) = (folder("acme"), folder("acme/people"));
        let token = Token {
            id: "tok_x".to_owned(),
            hash: String::new(),
            kind: crate::token::Kind::Chat,
            jid: "web:acme".to_owned(),
            folder: before.clone(),
            source: None,
            suffix: None,
            owner: before.clone(),
            options: Options::default(),
            created_at: 0,
            created_by: String::new(),
            expires_at: None,
            revoked_at: None,
        };
        let session = Session {
            id: "s".to_owned(),
            folder: before.clone(),
            name: String::new(),
            person: false,
            key: String::new(),
            epoch: 1,
            attached_at: 0,
            expires_at: 100,
        };
        let nothing = Known::default();
        let begun = Tx::new(&nothing, 5, [0; 32]);
        let conversation = Conversation::new("c".to_owned(), &token, 5);
        let place = ("t".to_owned(), &conversation);
        let turn = Turn::new(&begun, &limits, &token, place, after);

        // The set is as it was before the turn went to the other folder.
        let queue = Read::Set {
            set: ready(&before),
            min: 0,
            max: 5,
            limit: CANDIDATES,
            order: Order::LowestFirst,
        };
        let waiting = Member { name: turn.id.clone(), score: 5 };
        let known = Known(
            [
                (queue, Found::Set(vec![waiting])),
                stored(session::record("s"), &session),
                stored(record(&turn.id), &turn),
            ]
            .into(),
        );
        let mut tx = Tx::new(&known, 5, [0; 32]);
        let claimed = claim(&mut tx, &limits, ("s", 1)).expect("all is known");
        assert_eq!(claimed, None);
    }

    fn stored(name: String, value: &impl Serialize) -> (Read, Found) {
        let body = serde_json::to_string(value).expect("it is JSON");
        let record = Record { version: 1, body };
        (Read::Record(name), Found::Record(Some(record)))
    }
}
