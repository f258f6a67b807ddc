//! Metrics in the format of Prometheus, and the listener that serves them and the program's health.
//!
//! Each server has a registry of its own, since one process can hold several servers.

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
};
use std::{
    convert::Infallible, fmt, future::Future, hash::Hash, net::SocketAddr, pin::Pin, sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::task::AbortOnDropHandle;

pub use prometheus_client::registry::Registry;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after an accept that failed, for example because no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Tells whether the program can serve, or why not.
pub type Probe =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The sources of what the listener serves.
struct Shown {
    registries: Vec<Arc<Registry>>,
    probe: Option<Probe>,
}

/// The flags for metrics.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Address to serve /metrics at, for Prometheus, together with /healthz and /readyz; without it
    /// no metrics are served. Everyone who can reach the address can read them. Port 0 takes a free
    /// port.
    #[arg(long, help_heading = "Metrics", env = "ARIZUKO_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
}

impl Options {
    /// Serves the registries until the endpoint is dropped; returns `None` if no address is given.
    /// `/readyz` shows the result of `probe`.
    ///
    /// # Errors
    ///
    /// The address can't be listened on.
    pub async fn serve(
        &self,
        registries: Vec<Arc<Registry>>,
        probe: Option<Probe>,
    ) -> anyhow::Result<Option<Endpoint>> {
        let Some(address) = self.metrics_listen else {
            return Ok(None);
        };
        let listener = TcpListener::bind(address).await.map_err(|error| {
            anyhow::anyhow!("cannot listen on {address} for metrics (--metrics-listen): {error}")
        })?;
        let url = format!("http://{}/metrics", listener.local_addr()?);
        tracing::info!(url, "serving metrics");
        let shown = Arc::new(Shown { registries, probe });
        let serving = AbortOnDropHandle::new(tokio::spawn(accept(listener, shown)));
        Ok(Some(Endpoint { url, _serving: serving }))
    }
}

/// A listener that serves metrics until this is dropped.
pub struct Endpoint {
    /// The URL of the metrics: `http://…/metrics`.
    pub url: String,
    _serving: AbortOnDropHandle<()>,
}

async fn accept(listener: TcpListener, shown: Arc<Shown>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let shown = shown.clone();
                    let service = service_fn(move |request| {
                        let shown = shown.clone();
                        async move { Ok::<_, Infallible>(answer(&request, &shown).await) }
                    });
                    connections.spawn(
                        http1::Builder::new()
                            .timer(TokioTimer::new())
                            .header_read_timeout(HEAD_TIMEOUT)
                            .serve_connection(TokioIo::new(stream), service),
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for metrics");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            // Removes a connection that has ended. Its error, if any, concerns only the client.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(request: &Request<Incoming>, shown: &Shown) -> Response<Full<Bytes>> {
    let is_get = request.method() == Method::GET;
    let (status, kind, body) = match (request.uri().path(), &shown.probe) {
        ("/metrics" | "/healthz" | "/readyz", _) if !is_get => {
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, String::new())
        }
        ("/metrics", _) => match page(&shown.registries) {
            Ok(page) => (StatusCode::OK, OPENMETRICS, page),
            Err(error) => {
                tracing::error!(%error, "cannot encode the metrics");
                (StatusCode::INTERNAL_SERVER_ERROR, TEXT, String::new())
            }
        },
        ("/healthz", _) => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        ("/readyz", Some(probe)) => match probe().await {
            Ok(()) => (StatusCode::OK, TEXT, "ready\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
        },
        // For tests only. It is no metric, because release builds don't count allocations.
        #[cfg(all(debug_assertions, feature = "server"))]
        ("/allocations", _) => (StatusCode::OK, TEXT, crate::allocator::allocations().to_string()),
        _ => (StatusCode::NOT_FOUND, TEXT, String::new()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

fn page(registries: &[Arc<Registry>]) -> Result<String, fmt::Error> {
    let mut page = String::new();
    for registry in registries {
        encode_registry(&mut page, registry)?;
    }
    encode_eof(&mut page)?;
    Ok(page)
}

/// A histogram of latencies in seconds, for each set of labels.
pub type Latencies<L> = Family<L, Histogram, fn() -> Histogram>;

/// Makes [`Latencies`] with buckets from 0.5 ms to 10 s.
pub fn latencies<L>() -> Latencies<L>
where
    L: Clone + Hash + Eq + EncodeLabelSet,
{
    Family::new_with_constructor(|| {
        Histogram::new([
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ])
    })
}

/// An amount that is part of a gauge until this is dropped.
pub struct Share {
    gauge: Gauge,
    amount: i64,
}

impl Share {
    /// Adds `amount` to the gauge.
    pub fn of(gauge: &Gauge, amount: u32) -> Self {
        let amount = amount.into();
        gauge.inc_by(amount);
        let gauge = gauge.clone();
        Self { gauge, amount }
    }

    /// Changes the amount.
    pub fn set(&mut self, amount: u32) {
        let amount = amount.into();
        self.gauge.inc_by(amount - self.amount);
        self.amount = amount;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.gauge.dec_by(self.amount);
    }
}
