//! Streams of what happens in a turn or conversation, in the protocol that a [`View`] writes.
//!
//! A stream has no task of its own: the connection polls it. If the client reads nothing, the
//! stream is not polled, its subscription gets no more credit, and the listener closes the
//! connection in the end.

use crate::{
    control::{End, Subscription, Update},
    gateway::Gateway,
    sse,
    streams::OpenStream,
};
use arizuko_proto::{
    public_id,
    telemetry::traces,
    v1::{self as pb, ErrorReason, frame::Body as FrameBody},
};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use std::{convert::Infallible, ops::ControlFlow, sync::Arc};
use tokio::time::{Instant, sleep_until};
use tracing::field::Empty;

/// About how many bytes of ready events to send in one chunk.
const CHUNK_BYTES: usize = 16 * 1024;

/// Writes a stream in the words of one protocol.
pub(crate) trait View: Send + 'static {
    /// Writes the start of the stream.
    fn begin(&mut self, out: &mut String);

    /// Writes a frame. Breaks if nothing follows it.
    fn frame(
        &mut self,
        frame: &pb::Frame,
        out: &mut String,
    ) -> impl Future<Output = ControlFlow<()>> + Send;

    /// Writes that the reader's cursor is not in the log, for this reason, and that a replay from
    /// the start follows. Breaks if nothing follows.
    fn reset(&mut self, reason: &str, out: &mut String) -> ControlFlow<()>;

    /// Writes why the stream ends, unless a frame has said so.
    fn end(&mut self, end: &End, out: &mut String);

    /// Returns when to call [`write_due`](Self::write_due).
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Writes what is due without a frame. Called at the end of every chunk but the first.
    fn write_due(&mut self, _: &mut String) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// Answers with the frames of a subscription as `view` writes them.
pub(crate) fn respond(
    gateway: Arc<Gateway>,
    subscription: Subscription,
    view: impl View,
    permit: OpenStream,
) -> Response {
    let reader = Reader {
        comment_due: Instant::now() + gateway.options.serving.heartbeat,
        view,
        subscription,
        progress: Progress::Opening,
        gateway,
        _permit: permit,
    };
    let chunks = stream::unfold(reader, |mut reader| async {
        let chunk = reader.chunk().await?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), reader))
    });
    sse::response(Body::from_stream(chunks))
}

/// The reader of one stream.
struct Reader<V> {
    subscription: Subscription,
    view: V,
    /// When to send the next comment. `--heartbeat` is the interval.
    comment_due: Instant,
    progress: Progress,
    gateway: Arc<Gateway>,
    _permit: OpenStream,
}

enum Progress {
    Opening,
    Reading,
    Over,
}

impl<V: View> Reader<V> {
    /// Returns the next part of the stream, or `None` at its end.
    async fn chunk(&mut self) -> Option<String> {
        let mut out = String::new();
        match self.progress {
            Progress::Opening => {
                self.view.begin(&mut out);
                self.progress = Progress::Reading;
                return Some(out);
            }
            Progress::Reading => {}
            Progress::Over => return None,
        }
        let view_due = self.view.due();
        tokio::select! {
            biased;
            () = self.gateway.stopping.cancelled() => {
                self.view.end(&End::Outage, &mut out);
                self.progress = Progress::Over;
            }
            update = self.subscription.next() => {
                self.write(update, &mut out).await;
                while out.len() < CHUNK_BYTES && matches!(self.progress, Progress::Reading) {
                    let Some(update) = self.subscription.next().now_or_never() else {
                        break;
                    };
                    self.write(update, &mut out).await;
                }
            }
            () = at(view_due) => {}
            () = sleep_until(self.comment_due) => {
                sse::write_comment(&mut out);
                self.comment_due = Instant::now() + self.gateway.options.serving.heartbeat;
            }
        }
        self.view.write_due(&mut out).await;
        Some(out)
    }

    async fn write(&mut self, update: Update, out: &mut String) {
        let flow = match update {
            Update::Frame(frame) => {
                let flow = self.view.frame(&frame, out).await;
                if let Some(FrameBody::TurnDone(done)) = &frame.body {
                    trace_end(&frame.turn_id, &done.traceparent);
                }
                flow
            }
            Update::Reset(reason) => self.view.reset(&reason, out),
            Update::End(end) => {
                if let End::Outage = end {
                    self.gateway.metrics.refused(ErrorReason::Unavailable.word());
                }
                self.view.end(&end, out);
                ControlFlow::Break(())
            }
        };
        if flow.is_break() {
            self.progress = Progress::Over;
        }
    }
}

/// Adds a span to the turn's trace for the delivery of the last frame to a reader.
fn trace_end(turn: &str, traceparent: &str) {
    if traceparent.is_empty() {
        return;
    }
    let turn = public_id::turn(turn);
    let span = tracing::debug_span!(
        "delivered",
        otel.kind = Empty,
        otel.name = Empty,
        turn,
        trace = Empty,
    );
    traces::follow(&span, "producer", "deliver the last frame", traceparent);
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
