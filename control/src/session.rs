//! Sessions: attached agents, and the leases by which they hold their turns.

use crate::{
    audit::{self, Change},
    ids::{KeyId, SessionId, TurnId},
    jid::FolderName,
    key::{Caller, Role},
    known_folders,
    names::{self, Due},
    refusal::Refusal,
    time::Time,
    transaction::{Decision, Record, Tx},
};
use arizuko_proto::public_id;
use serde::{Deserialize, Serialize};

/// How many characters an agent's or a person's name has, at most.
const MAX_NAME: usize = 100;

/// An attached agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) folder: FolderName,
    pub(crate) name: String,
    /// Whether a person answers. Visitors see a person's name.
    pub(crate) person: bool,
    pub(crate) key: KeyId,
    /// How many turns the agent takes at a time, as it said when it attached.
    #[serde(default)]
    pub(crate) credit: u32,
    /// The number of the session's newest stream. Only that stream speaks for the session.
    pub(crate) epoch: u64,
    pub(crate) attached_at: Time,
    pub(crate) expires_at: Time,
}

impl Record for Session {
    type Id = SessionId;

    fn name(id: &SessionId) -> String {
        names::session(id)
    }
}

impl Session {
    /// Returns the session's id with the number of its newest stream. That stream's commands carry
    /// both.
    pub(crate) fn speaker(&self) -> Speaker {
        Speaker { session: self.id.clone(), epoch: self.epoch }
    }

    /// Renews the lease.
    fn renew(&mut self, tx: &mut Tx<'_>) -> Decision<()> {
        self.expires_at = tx.now + tx.limits.lease;
        tx.put(&self.id, self)?;
        tx.add(&names::sessions(), &self.id, self.expires_at);
        tx.add(&names::present(&self.folder), &self.id, self.expires_at);
        tx.schedule(&Due::Session(self.id.clone()), self.expires_at);
        Ok(())
    }

    /// Writes the record again as it is, which gives it a new version. A commit that ends the
    /// session reads the set of its turns, so it must conflict with a delivery that adds a turn.
    pub(crate) fn touch(&self, tx: &mut Tx<'_>) -> Decision<()> {
        tx.put(&self.id, self)
    }

    /// Deletes the session. Its turns must have been requeued before.
    pub(crate) fn forget(&self, tx: &mut Tx<'_>) {
        tx.delete::<Self>(&self.id);
        tx.delete_set(&names::held(&self.id));
        tx.remove(&names::sessions(), &self.id);
        tx.remove(&names::key_sessions(&self.key), &self.id);
        tx.remove(&names::present(&self.folder), &self.id);
        tx.unschedule(&Due::Session(self.id.clone()));
    }
}

/// A session and the number of the stream that speaks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Speaker {
    pub(crate) session: SessionId,
    pub(crate) epoch: u64,
}

impl Speaker {
    /// Returns the session, if it lives and this stream speaks for it.
    ///
    /// # Errors
    /// [`Refusal::SessionOver`] otherwise.
    pub(crate) fn session(&self, tx: &mut Tx<'_>) -> Decision<Session> {
        self.live_session(tx)?.ok_or(Refusal::SessionOver.into())
    }

    /// Returns the session, if it lives and this stream speaks for it.
    pub(crate) fn live_session(&self, tx: &mut Tx<'_>) -> Decision<Option<Session>> {
        let session = tx.get::<Session>(&self.session)?;
        let mine = |session: &Session| session.epoch == self.epoch && tx.now < session.expires_at;
        Ok(session.filter(mine))
    }
}

/// Renews the lease of each session that lives and for which the speaker speaks. Returns for each
/// speaker whether that was so.
pub(crate) fn renew(tx: &mut Tx<'_>, speakers: &[Speaker]) -> Decision<Vec<bool>> {
    tx.expect(speakers.iter().map(|speaker| Session::name(&speaker.session)))?;
    let renewing = speakers.iter().map(|speaker| {
        let session = speaker.live_session(tx)?;
        session.map(|mut session| session.renew(tx)).transpose().map(|renewed| renewed.is_some())
    });
    renewing.collect()
}

/// What an agent says about itself when it attaches.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) folder: FolderName,
    pub(crate) name: String,
    pub(crate) person: bool,
    /// How many turns the agent takes at a time.
    pub(crate) credit: u32,
    /// The session to resume, if there is one.
    pub(crate) resume: Option<SessionId>,
}

/// Resumes the session that the agent names, if its lease still runs and its key and folder are the
/// same. Otherwise opens a new session.
pub(crate) fn open(tx: &mut Tx<'_>, caller: &Caller, hello: &Hello) -> Decision<Session> {
    check_name(&hello.name, hello.person)?;
    if let Some(resume) = &hello.resume
        && let Some(mut session) = tx.get::<Session>(resume)?
        && session.key == caller.key_id
        && session.folder == hello.folder
        && tx.now < session.expires_at
    {
        session.epoch += 1;
        session.credit = hello.credit;
        session.renew(tx)?;
        Notice::Moved { epoch: session.epoch }.publish(tx, &session.id);
        return Ok(session);
    }
    let mut session = Session {
        id: SessionId::new(tx.random()),
        folder: hello.folder.clone(),
        name: hello.name.clone(),
        person: hello.person,
        key: caller.key_id.clone(),
        credit: hello.credit,
        epoch: 1,
        attached_at: tx.now,
        expires_at: tx.now,
    };
    // Commits only if there is no such record. So a repeat of this commit conflicts, and doesn't
    // overwrite what the session has become.
    tx.get_unlikely::<Session>(&session.id)?;
    known_folders::add(tx, &hello.folder)?;
    let most = tx.limits.owners.key_sessions;
    let refusal = Refusal::LimitReached(format!("the key has {most} sessions"));
    tx.add_bounded(&names::key_sessions(&session.key), &session.id, most, refusal);
    if caller.role == Role::Operator {
        note_operator(tx, &session)?;
    }
    session.renew(tx)?;
    Ok(session)
}

/// Notes in the audit log that an operator attaches to the folder, and so reads its conversations.
fn note_operator(tx: &mut Tx<'_>, session: &Session) -> Decision<()> {
    let folder = session.folder.as_str();
    let detail = format!("{} {}", public_id::session(session.id.as_str()), session.name);
    let (actor, action) = (session.key.as_str(), "conversation.attach");
    audit::note(tx, &Change { actor, action, folder, subject: folder, detail: detail.trim_end() })
}

/// Checks the name of an agent, which may be empty, or of a person, which visitors read.
///
/// # Errors
/// [`Refusal::Invalid`] if it is too long or has control characters, or if a person's is blank.
pub(crate) fn check_name(name: &str, person: bool) -> Result<(), Refusal> {
    if name.chars().count() > MAX_NAME {
        return Err(Refusal::invalid(format!("a name has at most {MAX_NAME} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Refusal::invalid("a name cannot have control characters"));
    }
    if person && name.trim().is_empty() {
        return Err(Refusal::invalid("a person needs a name"));
    }
    Ok(())
}

/// A notice to the stream that speaks for a session.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Notice {
    /// The turn has ended.
    Cancel { turn: TurnId, attempt: u32 },
    /// The session no longer holds the turn.
    Lost { turn: TurnId, attempt: u32, why: String },
    /// A newer stream speaks for the session.
    Moved { epoch: u64 },
}

impl Notice {
    pub(crate) fn publish(&self, tx: &mut Tx<'_>, session: &SessionId) {
        // A notice of strings and numbers always serialises.
        let line = serde_json::to_vec(self).unwrap_or_default();
        tx.publish(names::session_topic(session), line);
    }

    /// Reads a notice; `None` for one that this control doesn't know.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}
