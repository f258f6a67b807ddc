//! Event streams: one turn's reply, or everything in a conversation.
//!
//! A stream has no task of its own: the connection polls it. A reader that reads nothing is not
//! polled, its subscription gets no more credit, and the listener closes its connection in the end.

mod html;
mod sse;

use crate::{
    address::Visitor,
    control::{End, Subscription, Target, Update},
    document::FrameDocument,
    gateway::Gateway,
    last_event_id::LastEventId,
    link::{ConversationId, Link, TurnId, WantsHtml},
    problem::Problem,
    streams::OpenStream,
};
use arizuko_proto::{
    public_id,
    telemetry::traces,
    v1::{self as pb, ErrorReason, frame::Body as FrameBody},
};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use html::Html;
use http::StatusCode;
use std::{convert::Infallible, fmt::Write as _, sync::Arc};
use tokio::time::{Instant, sleep_until};
use tracing::field::Empty;

/// How many bytes of ready events to send in one chunk, about.
const CHUNK_BYTES: usize = 16 * 1024;

/// GET `/chat/{token}/{turn}/sse` and `/hook/{token}/{turn}/sse`
pub(crate) async fn turn(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    TurnId(turn): TurnId,
    last_event_id: LastEventId,
    wants_html: WantsHtml,
    Visitor(address): Visitor,
) -> Result<Response, Problem> {
    let permit = gateway.streams.open(address)?;
    open(gateway, link, Target::TurnId(turn), last_event_id, wants_html, permit).await
}

/// GET `/chat/{token}/c/{conversation}/sse`
pub(crate) async fn conversation(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    ConversationId(conversation): ConversationId,
    last_event_id: LastEventId,
    wants_html: WantsHtml,
    Visitor(address): Visitor,
) -> Result<Response, Problem> {
    let permit = gateway.streams.open(address)?;
    let target = Target::Conversation(conversation);
    open(gateway, link, target, last_event_id, wants_html, permit).await
}

/// Answers with the stream of `target`, from the frame after the last event id on.
pub(crate) async fn open(
    gateway: Arc<Gateway>,
    link: Link,
    target: Target,
    LastEventId(cursor): LastEventId,
    WantsHtml(html): WantsHtml,
    permit: OpenStream,
) -> Result<Response, Problem> {
    let of_turn = matches!(target, Target::TurnId(_));
    let opened = gateway.control.subscribe(link.access(), target, cursor).await;
    let subscription = match opened.map_err(Problem::from) {
        Ok(Some(subscription)) => subscription,
        // The reader has all frames. This status stops an EventSource.
        Ok(None) => return Ok(StatusCode::NO_CONTENT.into_response()),
        // An EventSource gives up on any status but 200.
        Err(problem) if problem.is_outage() => {
            gateway.metrics.refused(problem.reason());
            return Ok(come_back_later());
        }
        Err(problem) => return Err(problem),
    };
    let reader = Reader {
        comment_due: Instant::now() + gateway.options.serving.heartbeat,
        html: html.then(|| Html::new(gateway.clone(), link.access())),
        subscription,
        of_turn,
        progress: Progress::Opening,
        gateway,
        _permit: permit,
    };
    let chunks = stream::unfold(reader, |mut reader| async {
        let chunk = reader.chunk().await?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), reader))
    });
    Ok(sse::response(Body::from_stream(chunks)))
}

/// Answers an outage: a stream that ends at once and asks its reader to reconnect.
pub(crate) fn come_back_later() -> Response {
    let mut text = String::new();
    sse::write_retry_later(&mut text);
    sse::response(text.into())
}

/// The reader of one stream.
struct Reader {
    subscription: Subscription,
    of_turn: bool,
    html: Option<Html>,
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

impl Reader {
    /// Returns the next part of the stream, or `None` at its end.
    async fn chunk(&mut self) -> Option<String> {
        let mut out = String::new();
        match self.progress {
            Progress::Opening => {
                sse::write_start(&mut out);
                self.progress = Progress::Reading;
                return Some(out);
            }
            Progress::Reading => {}
            Progress::Over => return None,
        }
        let html_due = self.html.as_ref().and_then(Html::due);
        tokio::select! {
            biased;
            () = self.gateway.stopping.cancelled() => {
                sse::write_retry_later(&mut out);
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
            () = at(html_due) => {}
            () = sleep_until(self.comment_due) => {
                sse::write_comment(&mut out);
                self.comment_due = Instant::now() + self.gateway.options.serving.heartbeat;
            }
        }
        if let Some(html) = &mut self.html {
            // Boxed, because it is rare, and every idle stream would hold space for it.
            Box::pin(html.write_due(&mut out)).await;
        }
        Some(out)
    }

    async fn write(&mut self, update: Update, out: &mut String) {
        match update {
            Update::Frame(frame) => self.write_frame(&frame, out).await,
            Update::Reset(reason) => {
                if let Some(html) = &mut self.html {
                    html.reset();
                }
                // An empty id makes the reader forget its cursor.
                out.push_str("id:\n");
                sse::write_event(out, "reset", &serde_json::json!({ "reason": reason }));
            }
            Update::End(end) => {
                match end {
                    End::Over => {}
                    End::Revoked => sse::write_event(out, "revoked", &serde_json::json!({})),
                    End::Outage => {
                        self.gateway.metrics.refused(ErrorReason::Unavailable.word());
                        sse::write_retry_later(out);
                    }
                }
                self.progress = Progress::Over;
            }
        }
    }

    async fn write_frame(&mut self, frame: &pb::Frame, out: &mut String) {
        let Some(document) = FrameDocument::new(frame) else {
            return;
        };
        let is_user = matches!(frame.body, Some(FrameBody::User(_)));
        if self.of_turn && is_user {
            return;
        }
        // The page gets the whole message before it hears that the turn is over.
        if let (Some(html), Some(FrameBody::TurnDone(_))) = (&mut self.html, &frame.body) {
            Box::pin(html.finish(&frame.turn_id, out)).await;
        }
        let _ = writeln!(out, "id: {}", document.id);
        sse::write_event(out, document.event, &document.data);
        if let Some(html) = &mut self.html {
            // Boxed, because it may call control, and every idle stream would hold space for that.
            Box::pin(html.read(frame, out)).await;
        }
        if let Some(FrameBody::TurnDone(done)) = &frame.body {
            trace_end(&frame.turn_id, &done.traceparent);
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
