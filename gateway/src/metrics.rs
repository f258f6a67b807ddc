//! The gateway's metrics. `docs/operations.md` explains their names. No label has a value that a
//! visitor chooses.

use arizuko_proto::{
    telemetry::metrics::{Latencies, Registry, latencies},
    v1::ErrorReason,
};
use http::{Method, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Unit,
};
use std::{sync::Arc, time::Duration};

/// The metrics of one gateway.
pub(crate) struct Metrics {
    pub(crate) registry: Arc<Registry>,
    requests: Family<Answer, Counter>,
    request_times: Latencies<Route>,
    refusals: Family<Reason, Counter>,
    pub(crate) streams: Gauge,
    /// Deliveries that the filters of their webhook have left out.
    pub(crate) filtered: Counter,
}

/// A route and a method, as labels.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("arizuko_gateway");
        let requests = Family::default();
        registry.register("requests", "HTTP requests answered", requests.clone());
        let request_times = latencies();
        let help = "Seconds from a request to the head of its answer";
        let times = request_times.clone();
        registry.register_with_unit("request_duration", help, Unit::Seconds, times);
        // These exist from the start, since a rate ignores the first sample of a series.
        let refusals = Family::default();
        for reason in [
            ErrorReason::Unavailable,
            ErrorReason::OutcomeUnknown,
            ErrorReason::Internal,
            ErrorReason::TokenInvalid,
            ErrorReason::SignatureInvalid,
        ] {
            drop(refusals.get_or_create(&Reason { reason: reason.word() }));
        }
        let help = "Requests refused, and streams ended by an outage, by the reason in the answer";
        registry.register("refusals", help, refusals.clone());
        let streams = Gauge::default();
        registry.register(
            "open_streams",
            "Open event streams and waiting requests",
            streams.clone(),
        );
        let filtered = Counter::default();
        let help = "Deliveries that made no turn, since the filters of their webhook left them out";
        registry.register("filtered_deliveries", help, filtered.clone());
        let registry = Arc::new(registry);
        Self { registry, requests, request_times, refusals, streams, filtered }
    }

    pub(crate) fn answered(
        &self,
        method: &Method,
        route: &str,
        status: StatusCode,
        elapsed: Duration,
    ) {
        let (method, route) = (known(method), route.to_owned());
        let times = Route { method, route: route.clone() };
        let times = self.request_times.get_or_create(&times);
        times.observe(elapsed.as_secs_f64());
        let status = status.as_u16();
        let answer = Answer { method, route, status };
        self.requests.get_or_create(&answer).inc();
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }
}

/// Returns a method's name, or `other` for methods that no route has, since clients can make up any
/// number of them.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
