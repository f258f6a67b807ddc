//! Traces the milestones of an attempt, and measures the time from a message to the first frame of
//! its reply.
//!
//! The frames between the first and the end have no spans, since there are too many of them.

use super::said::Said;
use crate::{
    control::Control,
    ids::TurnId,
    store::Partition,
    turn::{
        Turn,
        reply::{Ack, Attempt},
    },
};
use arizuko_proto::{public_id, telemetry::traces};
use tracing::{Span, field::Empty};

/// The milestones that one commit of an agent's messages reaches.
pub(super) struct Milestones {
    /// The spans of the commit, one for each milestone; none if the turn has no trace.
    spans: Vec<Span>,
    /// The turn, if the commit has the first frame of its reply.
    silent: Option<Turn>,
}

impl Milestones {
    /// Begins the spans of the milestones in what the agent says.
    pub(super) async fn of(
        control: &Control,
        partition: Partition,
        attempt: &Attempt,
        said: &Said,
    ) -> Self {
        let is_first = said.has_first_frame();
        let names = [
            (said.accept, "accept the turn"),
            (is_first, "store the first frame"),
            (said.finish.is_some(), "finish the turn"),
        ];
        let spans = names.into_iter().filter(|(is_reached, _)| *is_reached);
        let mut spans: Vec<_> = spans.map(|(_, name)| (span(&attempt.turn), name)).collect();
        spans.retain(|(span, _)| !span.is_disabled());
        let none = Self { spans: Vec::new(), silent: None };
        if spans.is_empty() && !is_first {
            return none;
        }
        // This control remembers the turns that it claimed itself, but not those of an agent that
        // came from another control.
        let turn = match control.ledger.hint(partition, &attempt.turn) {
            Some(turn) => Some(turn),
            None => control.ledger.record::<Turn>(partition, &attempt.turn).await.ok().flatten(),
        };
        let Some(turn) = turn else { return none };
        Self {
            spans: spans.into_iter().map(|(span, name)| begin(span, name, &turn)).collect(),
            silent: Some(turn).filter(|turn| is_first && turn.first_frame_at.is_none()),
        }
    }

    /// Returns the span that the commit's own spans belong to.
    pub(super) fn span(&self) -> Span {
        self.spans.first().cloned().unwrap_or_else(Span::none)
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

/// Returns a span of the delivery of a turn.
pub(super) fn delivery(turn: &Turn) -> Span {
    begin(span(&turn.id), "deliver the turn", turn)
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
