//! One of the person's folders, with the session that claims its turns.

use crate::{
    attach::{PersonEvent, Session, Settings, follow::Followed, person::session, speech::Speaker},
    control::Control,
};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How many earlier messages are shown with a claimed turn, at most.
const HISTORY: u32 = 50;

pub(super) struct Place {
    pub(super) folder: String,
    pub(super) session: Arc<Session>,
    /// Makes the calls that need no turn.
    pub(super) speaker: Arc<Speaker>,
    pub(super) control: Arc<Control>,
    events: Events,
}

/// The events of places, each with the number of the place.
pub(super) type Events = mpsc::UnboundedSender<(usize, Event)>;

/// An event that a person should know of.
pub(super) enum Event {
    /// An event of a place's session.
    Session(PersonEvent),
    /// News of a conversation that the person follows.
    Followed(String, Box<Followed>),
}

impl Place {
    /// Prepares the session of `folder`, which sends its events to `events`, each with `number`.
    pub(super) fn new(
        folder: String,
        name: &str,
        number: usize,
        control: &Arc<Control>,
        stop: CancellationToken,
        events: Events,
    ) -> Self {
        let settings = Settings {
            folder: folder.clone(),
            name: name.into(),
            concurrency: 0,
            history: HISTORY,
            attached: Arc::default(),
            stop,
        };
        let (person, mut heard) = mpsc::unbounded_channel();
        let to_person = events.clone();
        tokio::spawn(async move {
            while let Some(event) = heard.recv().await {
                // An error says that the person has left.
                if to_person.send((number, Event::Session(event))).is_err() {
                    return;
                }
            }
        });
        let speaker = Arc::new(Speaker::new(Arc::clone(control), folder.clone()));
        let control = Arc::clone(control);
        Self { folder, session: session(settings, person), speaker, control, events }
    }

    /// Follows a conversation, until the returned handle is dropped.
    pub(super) fn follow(&self, number: usize, conversation: String) -> AbortOnDropHandle<()> {
        let (speaker, events) = (Arc::clone(&self.speaker), self.events.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let heard = |heard| {
                // An error says that the person has left.
                let _ =
                    events.send((number, Event::Followed(conversation.clone(), Box::new(heard))));
            };
            speaker.follow(&conversation, heard).await;
        }))
    }
}
