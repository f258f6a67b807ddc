//! Serves a session: opens one stream after another, and runs a handler for each turn.

use super::{
    active_turn::{self, Hold, Work},
    control::{Control, ControlError},
    ledger::Ledger,
    outcome::Failure,
    reply::{self, Reply},
    session::{PersonEvent, Session, Settings},
    stream::{self, StreamEnd},
};
use arizuko_proto::{client::Backoff, public_id, telemetry::traces, v1::Turn};
use futures_util::FutureExt as _;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{sync::SemaphorePermit, time::sleep};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span, field::Empty};

/// How long to wait before the next stream: at first, and at most.
const RECONNECT: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(2);

/// Takes turns until `settings.stop` is cancelled. Reconnects whenever the stream breaks.
///
/// # Errors
///
/// Control refuses the key, the folder or the protocol, and would refuse a retry, too.
pub async fn run<H, F>(
    control: &Control,
    settings: Settings,
    handler: H,
) -> Result<(), ControlError>
where
    H: Fn(Turn, Reply) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    serve(&Session::new(settings, None), control, handler).await
}

/// Does what [`run`] does, with a session that other tasks use, too.
pub(super) async fn serve<H, F>(
    session: &Arc<Session>,
    control: &Control,
    handler: H,
) -> Result<(), ControlError>
where
    H: Fn(Turn, Reply) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let tasks = TaskTracker::new();
    let begin = |turn: Turn, work: Work| {
        let span = span(&turn);
        let turn = Turn {
            // The calls that the handler makes continue this trace.
            traceparent: traces::traceparent(&span).unwrap_or(turn.traceparent),
            ..turn
        };
        let answering = answer(Arc::clone(session), turn, work, handler.clone());
        tasks.spawn(answering.instrument(span));
    };
    let outcome = stay_attached(session, control, &begin).await;
    // Without a stream, nobody gets the replies that are still being made.
    session.update(Ledger::stop);
    tasks.close();
    tasks.wait().await;
    outcome
}

/// Carries the session over one stream after another, until its `stop` or a refusal.
async fn stay_attached(
    session: &Arc<Session>,
    control: &Control,
    begin: &impl Fn(Turn, Work),
) -> Result<(), ControlError> {
    let Settings { attached, stop, .. } = &session.settings;
    let mut backoff = Backoff::new(RECONNECT);
    let mut is_outage_told = false;
    let mut moved_to = None;
    loop {
        let channel = match moved_to.take() {
            Some(channel) => Ok(channel),
            None => tokio::select! {
                channel = control.connect() => channel,
                () = stop.cancelled() => return Ok(()),
            },
        };
        let problem = match channel {
            Err(problem) => problem,
            Ok(channel) => {
                let on_welcome = || {
                    backoff.reset();
                    is_outage_told = false;
                    attached.notify_one();
                    session.tell(PersonEvent::Attached);
                };
                match stream::carry(session, control, channel, on_welcome, begin).await {
                    StreamEnd::Stopped => return Ok(()),
                    StreamEnd::Moved(channel) => {
                        moved_to = Some(channel);
                        continue;
                    }
                    StreamEnd::Refused(status) => return Err(control.explain(status)),
                    StreamEnd::Broken(status) => control.explain(status),
                }
            }
        };
        if !is_outage_told {
            is_outage_told = true;
            tracing::warn!("{problem} (trying until it answers)");
            session.tell(PersonEvent::Outage(problem.to_string()));
        }
        tokio::select! {
            () = sleep(backoff.wait()) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Opens the span of one turn's work, in the turn's trace.
fn span(turn: &Turn) -> Span {
    // At the level of errors, so that no filter drops the span: every log message about the turn
    // has its fields.
    let span = tracing::error_span!(
        "turn",
        otel.kind = Empty,
        otel.name = Empty,
        turn = public_id::turn(&turn.turn_id),
        attempt = turn.attempt,
        conversation = public_id::conversation(&turn.conversation),
        trace = Empty,
    );
    traces::follow(&span, "consumer", "answer the turn", &turn.traceparent);
    span
}

/// Runs the handler of one turn and adds the frames of its reply to the session.
async fn answer<H, F>(session: Arc<Session>, turn: Turn, work: Work, handler: H)
where
    H: Fn(Turn, Reply) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    let hold = Hold::of(&turn);
    let (reply, mut frames) = reply::channel(&work, &turn.folder);
    let record = async {
        while let Some(frame) = frames.next().await {
            // Backpressure: the handler waits until control has acknowledged enough.
            let room = tokio::select! {
                room = work.window.acquire_many(active_turn::permits(&frame)) => room,
                () = work.cancelled.cancelled() => break,
            };
            // Control's acknowledgement gives the room back. The semaphore is never closed.
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
