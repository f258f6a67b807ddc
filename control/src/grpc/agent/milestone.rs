//! The moments of an attempt that are worth a span, and the one that is worth a figure.
//!
//! What comes between the first frame and the end would be as many spans as frames.

use crate::{
    server::Control,
    store::Partition,
    turn::{self, Progress, Turn},
};
use arizuko_proto::{telemetry::traces, v1::attach_request::Message};
use tracing::{Span, field::Empty};

/// See the module.
pub(super) struct Milestone {
    pub(super) span: Span,
    /// The turn before its first frame, if this is that.
    silent: Option<Turn>,
}

impl Milestone {
    /// What the agent's message will be, if it is one.
    pub(super) async fn of(control: &Control, partition: Partition, message: &Message) -> Self {
        let none = Self { span: Span::none(), silent: None };
        let (name, id, is_first) = match message {
            Message::Accept(accept) => ("accept the turn", &accept.turn_id, false),
            Message::Append(append) if append.seq == 1 => {
                ("store the first frame", &append.turn_id, true)
            }
            Message::Finish(finish) => ("finish the turn", &finish.turn_id, false),
            _ => return none,
        };
        let span = span(id);
        if span.is_disabled() && !is_first {
            return none;
        }
        // It was claimed here a moment ago, or the agent came from another control.
        let turn = match control.ledger.hint(partition, &turn::record(id)) {
            Some(turn) => Some(turn),
            None => {
                let read = control.ledger.record(partition, turn::record(id));
                read.await.ok().flatten()
            }
        };
        let Some(turn) = turn else { return none };
        Self {
            span: begin(span, name, &turn),
            silent: Some(turn).filter(|turn| is_first && turn.is_silent()),
        }
    }

    /// It was handed out.
    pub(super) fn handing_out(turn: &Turn) -> Span {
        begin(span(&turn.id), "hand out the turn", turn)
    }

    /// It is done, with this outcome.
    pub(super) fn reached(self, control: &Control, progress: &Progress) {
        if let Some(turn) = &self.silent
            && matches!(progress, Progress::Stored { .. })
        {
            let waited = control.ledger.now().saturating_sub(turn.created_at);
            let first_frame = &control.metrics.first_frame;
            first_frame.observe(waited as f64 / 1000.0);
        }
    }
}

fn span(turn: &str) -> Span {
    tracing::debug_span!("attempt", otel.kind = Empty, otel.name = Empty, turn, trace = Empty,)
}

/// Makes the span a part of the turn's trace. A turn without one has no spans.
fn begin(span: Span, name: &'static str, turn: &Turn) -> Span {
    if turn.traceparent.is_empty() {
        return Span::none();
    }
    traces::follow(&span, "consumer", name, &turn.traceparent);
    span
}
