//! Traces: which spans are exported, and how they continue the trace of another process.
//!
//! A span is exported if it has the field `otel.kind`; all others are context for the log.
//! Processes pass on a trace as a W3C `traceparent`.

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

/// The header, and the key of gRPC metadata, that carries the trace.
pub const TRACEPARENT: &str = "traceparent";

/// Returns a provider that exports spans to `endpoint` in batches, from a thread of its own.
pub(super) fn provider(endpoint: &str, service: &'static str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("cannot send traces to {endpoint}"))?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource(service))
        .build())
}

/// Returns the resource of all spans, which describes this program. Its service name comes from
/// OpenTelemetry's variables, or else is `service`.
fn resource(service: &'static str) -> Resource {
    let from_environment = Resource::builder().build();
    let name = from_environment.get(&"service.name".into());
    let is_unknown = |name: &opentelemetry::Value| name.as_str().starts_with("unknown_service");
    match name.as_ref().is_none_or(is_unknown) {
        true => Resource::builder().with_service_name(service).build(),
        false => from_environment,
    }
}

/// Turns our spans into OpenTelemetry's.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let is_exported = |meta: &Metadata<'_>| {
        let is_exported_span = meta.fields().field("otel.kind").is_some();
        // An event is exported with its span, unless it is for debugging.
        let is_event = meta.is_event() && *meta.level() <= tracing::Level::INFO;
        meta.target().starts_with("arizuko") && (is_exported_span || is_event)
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

/// Exports `span` as part of the trace that `traceparent` names, or of a new one if that is empty.
/// The span must have the empty fields `otel.kind`, `otel.name` and `trace`. `trace`, for the log,
/// is set to the trace's id; where nothing is exported, to the id in `traceparent`, if there is one.
pub fn follow(span: &Span, kind: &'static str, name: impl fmt::Display, traceparent: &str) {
    let parent = TraceContextPropagator::new().extract(&Carrier(traceparent));
    let mut followed = parent.span().span_context().clone();
    // This fails where nothing is exported.
    if span.set_parent(parent).is_ok() {
        span.record("otel.kind", kind);
        span.record("otel.name", tracing::field::display(name));
        followed = context(span);
    }
    if followed.is_valid() {
        span.record("trace", tracing::field::display(followed.trace_id()));
    }
}

/// Returns the `traceparent` with which another process continues this span's trace. `None` where
/// nothing is exported.
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

/// A `traceparent` as the set of headers that OpenTelemetry reads.
struct Carrier<'a>(&'a str);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT && !self.0.is_empty()).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}
