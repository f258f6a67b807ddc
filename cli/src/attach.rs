//! The agent's side of Attach: a session that takes turns and streams replies, and that outlives
//! the streams it runs over. The handler sees a turn and a [`Reply`], and nothing of all that.
//!
//! `ledger.rs` is what the session knows, and `held.rs` what it knows of one turn, both without any
//! I/O; `stream.rs` carries it over one stream of gRPC; `reply.rs` makes frames of what a handler
//! writes. `person.rs` is a session whose turns a person chooses, and `speech.rs` what is done to a
//! conversation without a turn.

mod held;
mod ledger;
pub(crate) mod person;
mod reply;
pub(crate) mod speech;
mod stream;

pub(crate) use self::{
    held::Ending,
    reply::{Failure, Gone, Reply, check_handoff, folder},
};
pub(crate) use arizuko_proto::v1::Turn;

use self::{
    held::{Hold, Work},
    ledger::Ledger,
    person::Told,
    stream::Ended,
};
use crate::control::Control;
use arizuko_proto::telemetry::traces;
use futures_util::FutureExt as _;
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, SemaphorePermit, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, Span, field::Empty};

const BACKOFF: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(2);

/// What to attach as.
pub(crate) struct Settings {
    /// The folder whose turns are wanted; empty: the key's.
    pub(crate) folder: String,
    /// What operators see.
    pub(crate) name: String,
    /// How many turns are taken at a time.
    pub(crate) concurrency: u32,
    /// How many earlier messages each turn should carry.
    pub(crate) history: u32,
    /// Told once the session stands.
    pub(crate) attached: Arc<Notify>,
    /// Ends the session: turns under way are cancelled and handed back.
    pub(crate) stop: CancellationToken,
}

/// What the tasks of a session share.
pub(crate) struct Session {
    settings: Settings,
    ledger: Mutex<Ledger>,
    changed: watch::Sender<()>,
    /// The person, if it is one's.
    person: Option<mpsc::UnboundedSender<Told>>,
}

impl Session {
    fn new(settings: Settings, person: Option<mpsc::UnboundedSender<Told>>) -> Arc<Self> {
        Arc::new(Self {
            ledger: Mutex::new(Ledger::new(&settings, person.is_some())),
            changed: watch::Sender::new(()),
            settings,
            person,
        })
    }

    /// Asks for a turn that waits, and for its conversation's later ones.
    pub(crate) fn claim(&self, turn_id: &str) {
        self.update(|ledger| ledger.claim(turn_id));
    }

    fn tell(&self, told: Told) {
        if let Some(person) = &self.person {
            // Whoever is gone need not be told.
            let _ = person.send(told);
        }
    }

    /// Changes the ledger and wakes the stream that has to tell of it.
    fn update<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let result = change(&mut self.ledger());
        self.changed.send_replace(());
        result
    }

    /// No change to the ledger can panic halfway, so that a poisoned lock is as good as any.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes turns until `settings.stop`, and attaches again for as long as it takes. It gives up only
/// when control refuses what no repeat can change: the key, the folder, the protocol.
pub(crate) async fn run<H, F>(
    control: &Control,
    settings: Settings,
    handler: H,
) -> anyhow::Result<()>
where
    H: Fn(Turn, Reply) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    serve(&Session::new(settings, None), control, handler).await
}

async fn serve<H, F>(session: &Arc<Session>, control: &Control, handler: H) -> anyhow::Result<()>
where
    H: Fn(Turn, Reply) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let Settings { attached, stop, .. } = &session.settings;
    let tasks = TaskTracker::new();
    let begin = |turn: Turn, work: Work| {
        let span = span(&turn);
        let turn = Turn {
            // What the handler calls goes on from here.
            traceparent: traces::traceparent(&span).unwrap_or(turn.traceparent),
            ..turn
        };
        let answering = answer(Arc::clone(session), turn, work, handler.clone());
        tasks.spawn(answering.instrument(span));
    };

    let mut delay = BACKOFF.start;
    let mut connected = None;
    let outcome = loop {
        let channel = match connected.take() {
            Some(channel) => Ok(channel),
            None => tokio::select! {
                channel = control.connect() => channel,
                () = stop.cancelled() => break Ok(()),
            },
        };
        let problem = match channel {
            Err(problem) => problem,
            Ok(channel) => {
                let on_welcome = || {
                    delay = BACKOFF.start;
                    attached.notify_one();
                    session.tell(Told::Attached);
                };
                match stream::carry(session, control, channel, stop, on_welcome, &begin).await {
                    Ended::Stopped => break Ok(()),
                    Ended::Moved(channel) => {
                        connected = Some(channel);
                        continue;
                    }
                    Ended::Refused(status) => break Err(control.explain(status)),
                    Ended::Broken(status) => control.explain(status),
                }
            }
        };
        // Once for each outage, not for each try.
        if delay == BACKOFF.start {
            tracing::warn!("{problem:#} (trying until it answers)");
            session.tell(Told::Outage(format!("{problem:#}")));
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(delay)) => delay = (delay * 2).min(BACKOFF.end),
            () = stop.cancelled() => break Ok(()),
        }
    };
    // Without a stream nobody wants what is still being worked on.
    session.update(Ledger::stop);
    tasks.close();
    tasks.wait().await;
    outcome
}

/// The span of one turn's work, in the turn's trace.
fn span(turn: &Turn) -> Span {
    // Failures are told with it, so that it is there whatever level is logged.
    let span = tracing::error_span!(
        "turn",
        otel.kind = Empty,
        otel.name = Empty,
        turn = turn.turn_id,
        attempt = turn.attempt,
        conversation = turn.conversation,
        trace = Empty,
    );
    traces::follow(&span, "consumer", "answer the turn", &turn.traceparent);
    span
}

/// Works on one turn, from its beginning until control has all of the reply or wants none of it.
async fn answer<H, F>(session: Arc<Session>, turn: Turn, work: Work, handler: H)
where
    H: Fn(Turn, Reply) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    let hold = Hold::of(&turn);
    let (reply, mut frames) = reply::channel(&work);
    let record = async {
        while let Some(frame) = frames.next().await {
            // Backpressure: the handler waits until control has stored enough of what came before.
            let room = tokio::select! {
                room = work.window.acquire_many(held::permits(&frame)) => room,
                () = work.cancelled.cancelled() => break,
            };
            // What it takes comes back when the frame is stored. It is never closed.
            let _ = room.map(SemaphorePermit::forget);
            if session.update(|ledger| ledger.push(&hold, frame)).is_err() {
                break;
            }
        }
        // From here on the handler's writes fail.
        drop(frames);
    };
    let handled = AssertUnwindSafe(handler(turn, reply)).catch_unwind();
    let (handled, ()) = tokio::join!(handled, record);
    let outcome = handled.unwrap_or_else(|_| Err(Failure::new("the agent's handler panicked")));
    session.update(|ledger| ledger.finish(&hold, outcome));
}

/// Half of the delay for certain and half by chance, so that not all come back at once.
pub(crate) fn jittered(delay: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    delay / 2 + (delay / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}
