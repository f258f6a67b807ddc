//! Sessions: an attached agent, and the lease by which it holds its turns.

use crate::{
    credential::random_id,
    jid::Folder,
    key::{self, Caller},
    limits::Limits,
    store::Millis,
    transaction::{Decision, Refusal, Tx},
    turn::{self, Turn},
};
use serde::{Deserialize, Serialize};

/// The set of a partition's sessions, scored by when they end without a heartbeat.
pub(crate) const SESSIONS: &str = "sessions";

/// A session's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) folder: Folder,
    pub(crate) name: String,
    /// Whether a person answers, whose name visitors are shown.
    pub(crate) person: bool,
    pub(crate) key: String,
    /// Which of its streams is the newest; only that one speaks for it.
    pub(crate) epoch: u64,
    pub(crate) attached_at: Millis,
    pub(crate) expires_at: Millis,
}

impl Session {
    /// Renews the lease.
    fn renew(&mut self, tx: &mut Tx<'_>, limits: &Limits) -> Decision<()> {
        self.expires_at = tx.now + limits.lease.as_millis() as Millis;
        tx.put(&record(&self.id), self, None)?;
        tx.add(SESSIONS, &self.id, self.expires_at);
        tx.add(present(&self.folder), &self.id, self.expires_at);
        tx.schedule(due(&self.id), self.expires_at);
        Ok(())
    }
}

/// What a session's stream is told by others, as a line of text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Cancel {
        turn: String,
        attempt: u32,
    },
    Lost {
        turn: String,
        attempt: u32,
        why: String,
    },
    /// A newer stream speaks for the session.
    Moved {
        epoch: u64,
    },
}

impl Notice {
    pub(crate) fn cancel(turn: &Turn) -> String {
        format!("cancel {} {}", turn.id, turn.attempt)
    }

    pub(crate) fn lost(turn: &Turn, why: &str) -> String {
        format!("lost {} {} {why}", turn.id, turn.attempt)
    }

    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.splitn(4, ' ');
        let (kind, subject) = (words.next()?, words.next()?.to_owned());
        let mut attempt = || words.next()?.parse().ok();
        match kind {
            "cancel" => Some(Self::Cancel { turn: subject, attempt: attempt()? }),
            "lost" => {
                let attempt = attempt()?;
                let why = words.next().unwrap_or_default().to_owned();
                Some(Self::Lost { turn: subject, attempt, why })
            }
            "moved" => Some(Self::Moved { epoch: subject.parse().ok()? }),
            _ => None,
        }
    }
}

pub(crate) fn record(id: &str) -> String {
    format!("session:{id}")
}

/// The topic of what its stream should know.
pub(crate) fn topic(id: &str) -> String {
    format!("session:{id}")
}

/// The due item of its lease.
pub(crate) fn due(id: &str) -> String {
    format!("session:{id}")
}

/// The set of the turns that it holds.
pub(crate) fn held(id: &str) -> String {
    format!("held:{id}")
}

/// The set of a folder's sessions, scored by when they end without a heartbeat.
pub(crate) fn present(folder: &Folder) -> String {
    format!("present:{folder}")
}

/// Opens a session, or goes on with one that is still alive and this key's.
pub(crate) fn hello(
    tx: &mut Tx<'_>,
    limits: &Limits,
    caller: &Caller,
    folder: &Folder,
    (name, person, resume): (&str, bool, &str),
) -> Decision<Session> {
    check_name(name, person)?;
    if !resume.is_empty()
        && let Some(mut session) = tx.get::<Session>(&record(resume))?
        && session.key == caller.key_id
        && session.folder == *folder
        && tx.now < session.expires_at
    {
        session.epoch += 1;
        session.renew(tx, limits)?;
        tx.publish(topic(&session.id), format!("moved {}", session.epoch));
        return Ok(session);
    }
    let mut session = Session {
        id: random_id(tx.random()),
        folder: folder.clone(),
        name: name.to_owned(),
        person,
        key: caller.key_id.clone(),
        epoch: 1,
        attached_at: tx.now,
        expires_at: 0,
    };
    // Guarded to be new: a commit that comes late must not bring back what has ended since.
    tx.get_unlikely::<Session>(&record(&session.id))?;
    let known = key::folder_record(folder);
    if tx.get::<()>(&known)?.is_none() {
        tx.put(&known, &(), None)?;
    }
    session.renew(tx, limits)?;
    Ok(session)
}

/// A person has a name, since visitors read it; an agent may have one.
pub(crate) fn check_name(name: &str, person: bool) -> Result<(), Refusal> {
    if name.chars().count() > 100 {
        return Err(Refusal::invalid("a name has at most 100 characters"));
    }
    if name.chars().any(char::is_control) {
        return Err(Refusal::invalid("a name has no control characters"));
    }
    if person && name.trim().is_empty() {
        return Err(Refusal::invalid("a person has a name"));
    }
    Ok(())
}

/// The session, if it lives and this stream speaks for it.
pub(crate) fn live(tx: &mut Tx<'_>, id: &str, epoch: u64) -> Decision<Session> {
    let session = tx.get::<Session>(&record(id))?;
    let session = session.filter(|session| session.epoch == epoch && tx.now < session.expires_at);
    session.ok_or(Refusal::SessionOver.into())
}

/// Renews the lease.
pub(crate) fn heartbeat(tx: &mut Tx<'_>, limits: &Limits, id: &str, epoch: u64) -> Decision<()> {
    live(tx, id, epoch)?.renew(tx, limits)
}

/// The agent leaves: its turns go back to the queue at once.
pub(crate) fn goodbye(tx: &mut Tx<'_>, limits: &Limits, id: &str, epoch: u64) -> Decision<()> {
    let session = live(tx, id, epoch)?;
    for turn in held_turns(tx, &session)? {
        let now = tx.now;
        turn::take_back(tx, limits, turn, "the agent left", now)?;
    }
    forget(tx, &session);
    Ok(())
}

/// Ends a session whose lease is over.
pub(crate) fn expire(tx: &mut Tx<'_>, limits: &Limits, id: &str) -> Decision<()> {
    match tx.get::<Session>(&record(id))? {
        None => tx.settle(due(id)),
        Some(session) if tx.now < session.expires_at => tx.schedule(due(id), session.expires_at),
        Some(session) => {
            for turn in held_turns(tx, &session)? {
                let now = tx.now;
                turn::take_away(tx, limits, turn, "its agent was not heard of", now)?;
            }
            forget(tx, &session);
        }
    }
    Ok(())
}

fn held_turns(tx: &mut Tx<'_>, session: &Session) -> Decision<Vec<Turn>> {
    let mut turns = Vec::new();
    let members = tx.members(&held(&session.id), 0..=u64::MAX, u32::MAX)?;
    tx.expect(members.iter().map(|member| turn::record(&member.name)))?;
    for member in members {
        let turn = tx.get::<Turn>(&turn::record(&member.name))?;
        // The set may be older than the record: a turn that has just ended is no longer held.
        turns.extend(turn.filter(|turn| turn.is_held_by(&session.id)));
    }
    Ok(turns)
}

fn forget(tx: &mut Tx<'_>, session: &Session) {
    tx.delete(&record(&session.id));
    tx.delete(&held(&session.id));
    tx.remove(SESSIONS, &session.id);
    tx.remove(present(&session.folder), &session.id);
    tx.settle(due(&session.id));
}
