//! Whether control can serve: its store is open and takes writes.

use crate::{
    control::Control,
    names,
    store::{Batch, Write, waiting::Waiting},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// How long an answer is reused, however many probes come.
const FRESH: Duration = Duration::from_millis(500);
/// How long the store may take to answer a probe's write.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether this control is ready to serve. Probes may ask without a key.
#[derive(Default)]
pub(crate) struct Readiness {
    control: OnceLock<Arc<Control>>,
    /// Says why the store isn't open yet.
    pub(crate) waiting: Waiting,
    last: Mutex<Option<Answer>>,
}

struct Answer {
    at: Instant,
    outcome: Result<(), String>,
}

impl Readiness {
    /// Notes that the store is open.
    pub(crate) fn open(&self, control: Arc<Control>) {
        let _ = self.control.set(control);
    }

    /// Whether control can serve.
    ///
    /// # Errors
    /// A text that says why it can't.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let Some(control) = self.control.get() else {
            return Err(self.waiting.why().unwrap_or_else(|| "control is starting".to_owned()));
        };
        if control.draining.is_cancelled() {
            return Err("control is stopping".to_owned());
        }
        let mut last = self.last.lock().await;
        if let Some(answer) = last.as_ref().filter(|answer| answer.at.elapsed() < FRESH) {
            return answer.outcome.clone();
        }
        let outcome = probe(control).await;
        *last = Some(Answer { at: Instant::now(), outcome: outcome.clone() });
        outcome
    }
}

/// Whether the store takes writes: writes a record that lives for a second.
async fn probe(control: &Control) -> Result<(), String> {
    let store = control.ledger.store();
    let record = names::READY.to_owned();
    let lifetime = Some(Duration::from_secs(1));
    let batch = Batch {
        partition: 0,
        version: 1,
        now: store.now(),
        guards: Vec::new(),
        writes: vec![Write::Put { record, body: "{}".into(), lifetime }],
    };
    let committed = timeout(PATIENCE, store.commit(&batch)).await;
    let committed = committed.map_err(|_| "the store did not answer".to_owned())?;
    committed.map(drop).map_err(|error| error.to_string())
}
