//! Event streams: one turn's reply, or everything in a conversation.

mod html;

use crate::{
    address::Visitor,
    control::{End, Target},
    document::frames::FrameDocument,
    gateway::Gateway,
    last_event_id::LastEventId,
    link::{ConversationId, Link, TurnId, WantsHtml},
    problem::Problem,
    sse,
    stream::{self, View},
    streams::OpenStream,
};
use arizuko_proto::v1::{self as pb, frame::Body as FrameBody};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use html::Html;
pub(crate) use html::HtmlData;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use std::{ops::ControlFlow, sync::Arc};
use tokio::time::Instant;

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

/// Answers with the stream of `target`, starting after the last event id.
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
    let html = html.then(|| Html::new(gateway.clone(), link.access()));
    Ok(stream::respond(gateway, subscription, Events { of_turn, html }, permit))
}

/// Answers an outage with a stream that ends at once and asks its reader to reconnect.
pub(crate) fn come_back_later() -> Response {
    let mut text = String::new();
    sse::write_retry_later(&mut text);
    sse::response(text.into())
}

/// The cursor is not in the log. Forget all frames: a replay from the start follows. The event's
/// `id:` is empty.
#[derive(JsonSchema, Serialize)]
pub(crate) struct ResetData<'a> {
    reason: &'a str,
}

/// The stream ends, because the link was revoked, has expired or was paused. Until a paused link is
/// resumed, streams and messages get 403 LINK_PAUSED.
#[derive(JsonSchema, Serialize)]
pub(crate) struct EndData {}

/// Our own events, which `Events` in `openapi.json` describes.
struct Events {
    of_turn: bool,
    html: Option<Html>,
}

impl View for Events {
    fn begin(&mut self, out: &mut String) {
        sse::write_start(out);
    }

    async fn frame(&mut self, frame: &pb::Frame, out: &mut String) -> ControlFlow<()> {
        let Some(document) = FrameDocument::new(frame) else {
            return ControlFlow::Continue(());
        };
        let is_the_visitors = frame.n == 0;
        if self.of_turn && is_the_visitors {
            return ControlFlow::Continue(());
        }
        // The page gets the whole message before it hears that the turn is over.
        if let (Some(html), Some(FrameBody::TurnDone(_))) = (&mut self.html, &frame.body) {
            Box::pin(html.finish(&frame.turn_id, out)).await;
        }
        sse::write_numbered(out, &document.id, document.event, &document.data);
        if let Some(html) = &mut self.html {
            // Boxed, because it may call control, and every idle stream would hold space for that.
            Box::pin(html.read(frame, out)).await;
        }
        ControlFlow::Continue(())
    }

    fn reset(&mut self, reason: &str, out: &mut String) -> ControlFlow<()> {
        if let Some(html) = &mut self.html {
            html.reset();
        }
        // An empty id makes the reader forget its cursor.
        sse::write_numbered(out, "", "reset", &ResetData { reason });
        ControlFlow::Continue(())
    }

    fn end(&mut self, end: &End, out: &mut String) {
        match end {
            End::Over => {}
            End::Revoked => sse::write_event(out, "revoked", &EndData {}),
            End::Paused => sse::write_event(out, "paused", &EndData {}),
            End::Outage => sse::write_retry_later(out),
        }
    }

    fn due(&self) -> Option<Instant> {
        self.html.as_ref().and_then(Html::due)
    }

    async fn write_due(&mut self, out: &mut String) {
        if let Some(html) = &mut self.html {
            // Boxed, because it is rare, and every idle stream would hold space for it.
            Box::pin(html.write_due(out)).await;
        }
    }
}
