//! A collector of traces, built on OpenTelemetry's generated gRPC service.

use crate::within;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// A running collector. It ends with the test.
pub struct Collector {
    /// The address to send spans to.
    pub url: String,
    seen: watch::Receiver<Vec<Span>>,
    serving: JoinHandle<()>,
}

/// The parts of a span that tests look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The service that sent it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its trace.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// Its parent's id; empty if it has none.
    pub parent: String,
    /// The whole span as text, to search in.
    pub whole: String,
}

struct Exports(watch::Sender<Vec<Span>>);

#[tonic::async_trait]
impl TraceService for Exports {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource_spans in request.into_inner().resource_spans {
            let attributes = resource_spans.resource.map(|resource| resource.attributes);
            let service = attributes.as_deref().map(service).unwrap_or_default();
            let spans = resource_spans.scope_spans.into_iter();
            let spans = spans.flat_map(|scope| scope.spans).map(|span| Span {
                whole: format!("{span:?}"),
                service: service.clone(),
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
            });
            self.0.send_modify(|seen| seen.extend(spans));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn service(attributes: &[KeyValue]) -> String {
    let name = attributes.iter().find(|pair| pair.key == "service.name");
    match name.and_then(|pair| pair.value.as_ref()?.value.clone()) {
        Some(Value::StringValue(name)) => name,
        other => panic!("a service's name is text: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Collector {
    /// Starts a collector.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let (exports, seen) = watch::channel(Vec::new());
        let service = TraceServiceServer::new(Exports(exports));
        let serving = Server::builder().add_service(service);
        let serving = serving.serve_with_incoming(TcpIncoming::from(listener));
        Self {
            url: format!("http://{address}"),
            seen,
            serving: tokio::spawn(async move { serving.await.expect("it serves to its end") }),
        }
    }

    /// Returns the settings that make a stack send its spans here, with little delay.
    pub fn settings(&self) -> [(&str, &str); 2] {
        [("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url), ("OTEL_BSP_SCHEDULE_DELAY", "50")]
    }

    /// Returns all spans so far.
    pub fn seen(&self) -> Vec<Span> {
        self.seen.borrow().clone()
    }

    /// Waits until a trace has `count` spans of this name, and returns them.
    pub async fn spans(&mut self, trace: &str, name: &str, count: usize) -> Vec<Span> {
        let wanted = |seen: &[Span]| -> Vec<Span> {
            let of_trace = seen.iter().filter(|span| span.trace == trace);
            of_trace.filter(|span| span.name == name).cloned().collect()
        };
        let enough = |seen: &Vec<Span>| wanted(seen).len() >= count;
        let what = format!("{count} spans `{name}` of the trace {trace}");
        let seen = within(what, self.seen.wait_for(enough)).await;
        let spans = wanted(&seen.expect("the collector serves"));
        assert_eq!(spans.len(), count, "{spans:?}");
        spans
    }

    /// Waits for the one span of a trace that has this name.
    pub async fn span(&mut self, trace: &str, name: &str) -> Span {
        self.spans(trace, name, 1).await.remove(0)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
