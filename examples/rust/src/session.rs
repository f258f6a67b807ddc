//! The state that the tasks of one session share.

use super::{ledger::Ledger, outcome::Ending, reply::Reply};
use arizuko_proto::v1::{Hello, Inbox, Turn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// The settings of a session: its folder, its name, how much it takes, and when it stops.
pub struct Settings {
    /// The folder whose turns are wanted; empty: the key's folder.
    pub folder: String,
    /// The name that operators see.
    pub name: String,
    /// How many turns the session takes at a time.
    pub concurrency: u32,
    /// How many earlier messages each turn should carry, at most.
    pub history: u32,
    /// Notified each time control has welcomed the session.
    pub attached: Arc<Notify>,
    /// Ends the session: turns whose reply is not complete are cancelled and rejected.
    pub stop: CancellationToken,
}

/// An event of a person's session that the person should know about.
pub enum PersonEvent {
    /// Control has welcomed the session, for the first time or again.
    Attached,
    /// Control is out of reach, for this reason. The session keeps trying.
    Outage(String),
    /// Which turns wait, and which conversations are assigned to the folder.
    Inbox(Inbox),
    /// A claimed turn, to be answered with the pen.
    Turn(Box<Turn>, Pen),
    /// The claim of this turn came too late: the turn was no longer in the queue.
    TooLate(String),
    /// This turn has ended, or is no longer this session's.
    Ended(String, Ending),
}

/// A person's means to answer one turn and to end it. If this is dropped, the turn does not end: it
/// goes back to the queue when the session ends.
pub struct Pen {
    /// Writes to the visitor.
    pub reply: Reply,
    pub(super) done: oneshot::Sender<()>,
}

impl Pen {
    /// Ends the turn.
    pub fn put_down(self) {
        // An error says that nobody wants the reply any more, which `PersonEvent::Ended` says too.
        let _ = self.done.send(());
    }
}

/// A session, as its tasks share it.
pub struct Session {
    pub(super) settings: Settings,
    pub(super) changed: watch::Sender<()>,
    ledger: Mutex<Ledger>,
    person: Option<mpsc::UnboundedSender<PersonEvent>>,
}

impl Session {
    pub(super) fn new(
        settings: Settings,
        person: Option<mpsc::UnboundedSender<PersonEvent>>,
    ) -> Arc<Self> {
        let greeting = Hello {
            folder: settings.folder.clone(),
            name: settings.name.clone(),
            history: settings.history,
            person: person.is_some(),
            ..Hello::default()
        };
        Arc::new(Self {
            ledger: Mutex::new(Ledger::new(greeting, settings.concurrency)),
            changed: watch::Sender::new(()),
            settings,
            person,
        })
    }

    /// Claims a queued turn, and with it the conversation's later turns.
    pub fn claim(&self, turn_id: &str) {
        self.update(|ledger| ledger.claim(turn_id, false));
    }

    /// Claims a turn even if another session of the folder holds it.
    pub fn take(&self, turn_id: &str) {
        self.update(|ledger| ledger.claim(turn_id, true));
    }

    /// Tells the person, if the session is a person's.
    pub(super) fn tell(&self, event: PersonEvent) {
        if let Some(person) = &self.person {
            // An error says that the person has left.
            let _ = person.send(event);
        }
    }

    /// Changes the ledger, and wakes the stream that tells control about the change.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let result = change(&mut self.ledger());
        self.changed.send_replace(());
        result
    }

    /// Locks the ledger. A change that panics leaves it consistent, so a poisoned lock can be used.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
