//! Traces the milestones of an attempt, and measures the time from a message to the first frame of
//! its reply.
//!
//! The frames between the first and the end have no spans: there are too many.

use crate::{
    control::Control,
    ids::TurnId,
    store::Partition,
    turn::{Turn, reply::Ack},
};
use arizuko_proto::{public_id, telemetry::traces, v1::attach_request::Message};
use tracing::{Span, field::Empty};

pub(super) struct Milestone {
    /// Disabled if the message is not a milestone, or the turn has no trace.
    pub(super) span: Span,
    /// The turn, if the message has the first frame of its reply.
    silent: Option<Turn>,
}

impl Milestone {
    /// Starts a span if the agent's message is a milestone.
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
        let Ok(id) = TurnId::parse(id) else { return none };
        let span = span(&id);
        if span.is_disabled() && !is_first {
            return none;
        }
        // This control remembers the turn if it claimed it, but not if the agent came from another
        // control.
        let turn = match control.ledger.hint(partition, &id) {
            Some(turn) => Some(turn),
            None => control.ledger.record::<Turn>(partition, &id).await.ok().flatten(),
        };
        let Some(turn) = turn else { return none };
        Self {
            span: begin(span, name, &turn),
            silent: Some(turn).filter(|turn| is_first && turn.first_frame_at.is_none()),
        }
    }

    pub(super) fn delivery(turn: &Turn) -> Span {
        begin(span(&turn.id), "deliver the turn", turn)
    }

    /// Measures the time to the first frame once that frame is stored.
    pub(super) fn reached(self, control: &Control, ack: &Ack) {
        if let Some(turn) = &self.silent
            && matches!(ack, Ack::Stored { .. })
        {
            let waited = control.ledger.now() - turn.origin.created_at;
            control.metrics.first_frame.observe(waited.as_secs_f64());
        }
    }
}

fn span(turn: &TurnId) -> Span {
    let turn = public_id::turn(turn.as_str());
    tracing::debug_span!("attempt", otel.kind = Empty, otel.name = Empty, turn, trace = Empty,)
}

/// Makes the span a part of the turn's trace. A turn without a trace has no spans.
fn begin(span: Span, name: &'static str, turn: &Turn) -> Span {
    let traceparent = &turn.origin.traceparent;
    if traceparent.is_empty() {
        return Span::none();
    }
    traces::follow(&span, "consumer", name, traceparent);
    span
}
