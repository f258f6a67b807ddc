//! Traces: which spans leave the process, and how one goes on with another process's.
//!
//! A span is exported if it has a field `otel.kind`; all others are context for the log. What is
//! passed on between processes is W3C's `traceparent`, as text.

use anyhow::Context as _;
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{SpanContext, TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use std::fmt;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// The header, and the key of gRPC metadata, that carries the context.
pub const TRACEPARENT: &str = "traceparent";

/// Sends spans to `endpoint`, in batches, from a thread of its own.
pub(super) fn provider(endpoint: &str, service: &'static str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("no traces can be sent to {endpoint}"))?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource(service))
        .build())
}

/// Who sends: what OTEL_SERVICE_NAME says, or else `service`.
fn resource(service: &'static str) -> Resource {
    let told = Resource::builder().build();
    let name = told.get(&"service.name".into());
    let is_unknown = |name: &opentelemetry::Value| name.as_str().starts_with("unknown_service");
    match name.as_ref().is_none_or(is_unknown) {
        true => Resource::builder().with_service_name(service).build(),
        false => told,
    }
}

/// Makes spans of ours into OpenTelemetry's.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let is_exported = |meta: &Metadata<'_>| {
        let of_a_trace = meta.fields().field("otel.kind").is_some();
        // What happens in a span goes with it, as far as an operator would want to know.
        let told = meta.is_event() && *meta.level() <= tracing::Level::INFO;
        meta.target().starts_with("arizuko") && (of_a_trace || told)
    };
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("arizuko"))
        .with_context_activation(false)
        .with_tracked_inactivity(false)
        .with_threads(false)
        .with_location(false)
        .with_target(false)
        .with_filter(filter_fn(is_exported))
}

/// Begins an exported span as a part of the trace that `traceparent` is of, or of a new one. The
/// span has the fields `otel.kind`, `otel.name` and `trace`, all empty; the last is for the log,
/// and is filled in even where nothing is exported.
pub fn follow(span: &Span, kind: &'static str, name: impl fmt::Display, traceparent: &str) {
    let parent = TraceContextPropagator::new().extract(&Carrier(traceparent));
    let mut followed = parent.span().span_context().clone();
    // An error says that nothing is exported.
    if span.set_parent(parent).is_ok() {
        span.record("otel.kind", kind);
        span.record("otel.name", tracing::field::display(name));
        followed = context(span);
    }
    if followed.is_valid() {
        span.record("trace", tracing::field::display(followed.trace_id()));
    }
}

/// What lets another process go on with the trace of this span; none where nothing is exported.
pub fn traceparent(span: &Span) -> Option<String> {
    let context = context(span);
    context.is_valid().then(|| {
        let (trace, span) = (context.trace_id(), context.span_id());
        format!("00-{trace}-{span}-{:02x}", context.trace_flags())
    })
}

fn context(span: &Span) -> SpanContext {
    Context::span(&span.context()).span_context().clone()
}

/// The one header, as a carrier of headers.
struct Carrier<'a>(&'a str);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT && !self.0.is_empty()).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}
