//! Observes every RPC: a span, a count, and the time to its answer.

use crate::metrics::{Call, CodeLabel, Method, Metrics};
use arizuko_proto::{
    telemetry::traces::{self, TRACEPARENT},
    v1::ErrorReason,
};
use futures_util::future::BoxFuture;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tonic::{Code, Status, codegen::http};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span, field::Empty};

#[derive(Clone)]
pub(crate) struct ObserveLayer {
    pub(crate) metrics: Metrics,
}

/// A service whose calls are traced, counted and timed.
#[derive(Clone)]
pub(crate) struct Observe<S> {
    inner: S,
    metrics: Metrics,
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, metrics: self.metrics.clone() }
    }
}

impl<S, Q, A> Service<http::Request<Q>> for Observe<S>
where
    S: Service<http::Request<Q>, Response = http::Response<A>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    A: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Q>) -> Self::Future {
        let begun = Instant::now();
        let path = request.uri().path().trim_start_matches('/');
        let parent = request.headers().get(TRACEPARENT);
        let parent = parent.and_then(|parent| parent.to_str().ok());
        let span = span(path, parent.unwrap_or_default());
        let method = path.trim_start_matches("arizuko.v1.").to_owned();
        let metrics = self.metrics.clone();
        let answering = self.inner.call(request);
        let observed = async move {
            let response = answering.await?;
            // A refusal has its status in the headers. A stream that fails later counts as a
            // success here.
            let status = Status::from_header_map(response.headers());
            record(&metrics, method, status.as_ref(), begun);
            Ok(response)
        };
        Box::pin(observed.instrument(span))
    }
}

/// Returns the span of a call, which continues the trace of its caller.
pub(super) fn span(path: &str, parent: &str) -> Span {
    // An error span, so that log lines of failures have its fields at every level.
    let span = tracing::error_span!(
        "call",
        otel.kind = Empty,
        otel.name = Empty,
        method = path,
        token = Empty,
        conversation = Empty,
        turn = Empty,
        trace = Empty,
    );
    traces::follow(&span, "server", path, parent);
    span
}

/// Counts and times a call of `Service/Method`. `status` is `None` if it succeeded.
pub(super) fn record(metrics: &Metrics, method: String, status: Option<&Status>, begun: Instant) {
    let code = status.map_or(Code::Ok, Status::code);
    // A method that we don't serve can have any name, which must not become a label.
    let method = match code {
        Code::Unimplemented => "other".to_owned(),
        _ => method,
    };
    if let Some(reason) = status.and_then(ErrorReason::of) {
        metrics.refused(reason);
    }
    let call = Call { method: method.clone(), code: CodeLabel(code) };
    metrics.calls.get_or_create(&call).inc();
    let times = metrics.call_times.get_or_create(&Method { method });
    times.observe(begun.elapsed().as_secs_f64());
}
