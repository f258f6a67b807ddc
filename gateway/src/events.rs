//! Event streams: a turn's reply, or all of a conversation.
//!
//! A stream has no task of its own: the connection polls it. A reader that takes nothing is not
//! polled, its subscription gets no more credit, and in the end the listener closes its connection.

mod html;

use crate::{
    Gateway,
    address::OpenStream,
    control::{self, End, Subscription, Target},
    document,
    link::{ConversationId, Link, Parameters, TurnId},
    problem::Problem,
};
use arizuko_proto::{
    telemetry::traces,
    v1::{self as pb, frame::Body as FrameBody},
};
use axum::{
    body::Body,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use html::Html;
use http::{HeaderName, StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, fmt::Write as _, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};
use tracing::field::Empty;

/// How long a reader waits before it comes back, as long as all is well.
const RETRY: Duration = Duration::from_secs(2);
/// Up to how much longer when it isn't, so that not all come back at once.
const SPREAD: Duration = Duration::from_secs(4);
/// Events that are ready are sent together up to about this many bytes.
const CHUNK: usize = 16 * 1024;

/// What an event stream is asked for.
#[derive(Default)]
pub(crate) struct Asked {
    /// The last frame that the reader has.
    cursor: Option<pb::Cursor>,
    /// For our own page: Markdown comes rendered as well.
    html: bool,
}

impl FromRequestParts<Arc<Gateway>> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Query {
            last_event_id: Option<String>,
            html: Option<String>,
        }
        let Parameters(query) = Parameters::<Query>::from_request_parts(parts, gateway).await?;
        let header = parts.headers.get("last-event-id").map(|id| id.as_bytes());
        let query_id = query.last_event_id.as_deref().map(str::as_bytes);
        let id = [header, query_id].into_iter().flatten().find(|id| !id.is_empty());
        Ok(Self {
            cursor: id.map(|id| document::parse_cursor(str::from_utf8(id).unwrap_or_default())),
            html: query.html.as_deref() == Some("1"),
        })
    }
}

/// GET `/chat/{token}/{turn}/sse` and the same under `/hook`.
pub(crate) async fn turn(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    TurnId(turn): TurnId,
    asked: Asked,
    permit: OpenStream,
) -> Result<Response, Problem> {
    open(gateway, link, Target::TurnId(turn), asked, permit).await
}

/// GET `/chat/{token}/c/{conversation}/sse`.
pub(crate) async fn conversation(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    ConversationId(conversation): ConversationId,
    asked: Asked,
    permit: OpenStream,
) -> Result<Response, Problem> {
    open(gateway, link, Target::Conversation(conversation), asked, permit).await
}

/// Answers with a stream of `target`, or with what keeps it from beginning.
pub(crate) async fn open(
    gateway: Arc<Gateway>,
    link: Link,
    target: Target,
    Asked { cursor, html }: Asked,
    permit: OpenStream,
) -> Result<Response, Problem> {
    let of_turn = matches!(target, Target::TurnId(_));
    let opened = Subscription::open(&gateway.control, link.access(), target, cursor).await;
    let subscription = match opened.map_err(Problem::from) {
        Ok(Some(subscription)) => subscription,
        // It has everything. This is what stops an EventSource.
        Ok(None) => return Ok(StatusCode::NO_CONTENT.into_response()),
        // It would give up on any other status.
        Err(problem) if problem.is_outage() => {
            gateway.metrics.refused(problem.reason());
            return Ok(come_back());
        }
        Err(problem) => return Err(problem),
    };
    let reader = Reader {
        heartbeat: Instant::now() + gateway.options.heartbeat,
        html: html.then(|| Html::new(gateway.control.clone(), link)),
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
    Ok(event_stream(Body::from_stream(chunks)))
}

/// A stream that ends at once and asks its reader to come back: the answer to an outage.
pub(crate) fn come_back() -> Response {
    let mut text = String::new();
    retry_later(&mut text);
    event_stream(text.into())
}

fn event_stream(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        // Or nginx would keep events back until it has a few kilobytes.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

struct Reader {
    subscription: Subscription,
    of_turn: bool,
    html: Option<Html>,
    heartbeat: Instant,
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
    /// What goes out next. None: that was all.
    async fn chunk(&mut self) -> Option<String> {
        let mut out = String::new();
        match self.progress {
            Progress::Opening => {
                let _ = write!(out, "retry: {}\n: welcome\n\n", RETRY.as_millis());
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
                retry_later(&mut out);
                self.progress = Progress::Over;
            }
            event = self.subscription.next() => {
                self.write(event, &mut out).await;
                while out.len() < CHUNK && matches!(self.progress, Progress::Reading) {
                    let Some(event) = self.subscription.next().now_or_never() else {
                        break;
                    };
                    self.write(event, &mut out).await;
                }
            }
            () = at(html_due) => {}
            () = sleep_until(self.heartbeat) => {
                out.push_str(":\n\n");
                self.heartbeat = Instant::now() + self.gateway.options.heartbeat;
            }
        }
        if let Some(html) = &mut self.html {
            html.write_due(&mut out);
        }
        Some(out)
    }

    async fn write(&mut self, event: control::Event, out: &mut String) {
        match event {
            control::Event::Frame(frame) => self.write_frame(&frame, out).await,
            control::Event::Reset(reason) => {
                if let Some(html) = &mut self.html {
                    html.reset();
                }
                // An empty id makes the reader forget its cursor.
                out.push_str("id:\n");
                write_event(out, "reset", &serde_json::json!({ "reason": reason }));
            }
            control::Event::End(end) => {
                match end {
                    End::Over => {}
                    End::Revoked => write_event(out, "revoked", &serde_json::json!({})),
                    End::Outage => {
                        self.gateway.metrics.refused("UNAVAILABLE");
                        retry_later(out);
                    }
                }
                self.progress = Progress::Over;
            }
        }
    }

    async fn write_frame(&mut self, frame: &pb::Frame, out: &mut String) {
        let Some(event) = document::Event::new(frame) else {
            return;
        };
        let is_user = matches!(frame.body, Some(FrameBody::User(_)));
        if self.of_turn && is_user {
            return;
        }
        // The page should have all of a message when it hears that the turn is over.
        if let (Some(html), Some(FrameBody::TurnDone(_))) = (&mut self.html, &frame.body) {
            html.finish(&frame.turn_id, out);
        }
        let _ = writeln!(out, "id: {}", event.id);
        write_event(out, event.event, &event.data);
        if let Some(html) = &mut self.html {
            // Apart: it may ask control, and every idle stream would keep the room for that.
            Box::pin(html.read(frame, out)).await;
        }
        if let Some(FrameBody::TurnDone(done)) = &frame.body {
            trace_end(&frame.turn_id, &done.traceparent);
        }
    }
}

/// Puts into a turn's trace that a reader has all of it.
fn trace_end(turn: &str, traceparent: &str) {
    if traceparent.is_empty() {
        return;
    }
    let span = tracing::debug_span!(
        "delivered",
        otel.kind = Empty,
        otel.name = Empty,
        turn,
        trace = Empty,
    );
    traces::follow(&span, "producer", "deliver the last frame", traceparent);
}

fn write_event(out: &mut String, name: &str, data: &impl Serialize) {
    match serde_json::to_string(data) {
        // JSON of one line: its newlines are escaped.
        Ok(data) => {
            let _ = write!(out, "event: {name}\ndata: {data}\n\n");
        }
        Err(error) => tracing::error!(name, %error, "an event that is no JSON"),
    }
}

fn retry_later(out: &mut String) {
    let wait = RETRY + control::jitter(SPREAD);
    let _ = write!(out, "retry: {}\n\n", wait.as_millis());
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
