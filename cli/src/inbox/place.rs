//! One of the person's folders, with the session that claims its turns.

use crate::{
    attach::{PersonEvent, Session, Settings, person::session, speech::Speaker},
    control::Control,
};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many earlier messages are shown with a claimed turn, at most.
const HISTORY: u32 = 50;

pub(super) struct Place {
    pub(super) folder: String,
    pub(super) session: Arc<Session>,
    /// Makes the calls that need no turn.
    pub(super) speaker: Speaker,
}

impl Place {
    /// Prepares the session of `folder`, which sends its events to `events`, each with `number`.
    pub(super) fn new(
        folder: String,
        name: &str,
        number: usize,
        control: &Arc<Control>,
        stop: CancellationToken,
        events: mpsc::UnboundedSender<(usize, PersonEvent)>,
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
        tokio::spawn(async move {
            while let Some(event) = heard.recv().await {
                // An error says that the person has left.
                if events.send((number, event)).is_err() {
                    return;
                }
            }
        });
        let speaker = Speaker::new(Arc::clone(control), folder.clone());
        Self { folder, session: session(settings, person), speaker }
    }
}
