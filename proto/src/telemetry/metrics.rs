//! Metrics: what servers count with, and the listener where a Prometheus reads it.
//!
//! Nothing is global: each server has a registry of its own, so that several fit one process.

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
use std::{convert::Infallible, fmt, hash::Hash, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

pub use prometheus_client::registry::Registry;

/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when there are no file descriptors left.
const BREATHER: Duration = Duration::from_millis(100);
const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Where metrics are read.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Address to serve /metrics at, for a Prometheus; without it there is none. Whoever reaches
    /// it may read it; port 0 takes a free one.
    #[arg(long, env = "ARIZUKO_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
}

impl Options {
    /// Listens, if it is wanted, and serves what the registries have until `shutdown`. Returns
    /// where.
    pub async fn serve(
        &self,
        registries: Vec<Arc<Registry>>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Option<String>> {
        let Some(address) = self.metrics_listen else {
            return Ok(None);
        };
        let listener = TcpListener::bind(address).await.map_err(|error| {
            anyhow::anyhow!("can't listen on {address} for metrics (--metrics-listen): {error}")
        })?;
        let url = format!("http://{}/metrics", listener.local_addr()?);
        tracing::info!(url, "metrics are served");
        tokio::spawn(accept(listener, registries.into(), shutdown));
        Ok(Some(url))
    }
}

async fn accept(
    listener: TcpListener,
    registries: Arc<[Arc<Registry>]>,
    shutdown: CancellationToken,
) {
    // With this, all that is under way ends.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let registries = registries.clone();
                    let service = service_fn(move |request| {
                        std::future::ready(Ok::<_, Infallible>(answer(&request, &registries)))
                    });
                    connections.spawn(
                        http1::Builder::new()
                            .timer(TokioTimer::new())
                            .header_read_timeout(HEAD_TIMEOUT)
                            .serve_connection(TokioIo::new(stream), service),
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection for metrics could not be accepted");
                    sleep(BREATHER).await;
                }
            },
            // Whoever reads may go at any time.
            Some(_) = connections.join_next() => {}
        }
    }
}

fn answer(request: &Request<Incoming>, registries: &[Arc<Registry>]) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if request.method() != Method::GET {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
    } else {
        match page(registries) {
            Ok(page) => *response.body_mut() = page.into(),
            Err(error) => {
                tracing::error!(%error, "the metrics can't be written");
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
        }
        response.headers_mut().insert(CONTENT_TYPE, OPENMETRICS);
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

/// A histogram of how long answers take, for each set of labels.
pub type Latencies<L> = Family<L, Histogram, fn() -> Histogram>;

/// Makes a [`Latencies`], from half a millisecond up to ten seconds.
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

/// Somebody's part of a gauge, which is gone when they are.
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

    /// Makes it another amount.
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
