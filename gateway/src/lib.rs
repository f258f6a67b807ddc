//! The HTTP side of arizuko: all that the public reaches. It serves the page, the event streams and
//! the webhooks, and asks control about the token of every request.

mod accept;
mod address;
mod chat;
mod config;
mod control;
mod document;
mod events;
mod history;
mod hook;
mod link;
mod listener;
mod markdown;
mod message;
mod metrics;
mod origin;
mod page;
mod problem;
mod routes;
mod turn;

pub use config::Options;

use address::Streams;
use arizuko_proto::telemetry::metrics::Registry;
use arizuko_proto::tls::Acceptor;
use control::Control;
use listener::Serving;
use metrics::Metrics;
use page::Page;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What every request sees.
struct Gateway {
    options: Options,
    control: Control,
    page: Page,
    streams: Streams,
    metrics: Metrics,
    /// No new work; streams and waits end.
    stopping: CancellationToken,
}

/// The gateway.
pub struct Server {
    gateway: Gateway,
    tls: Option<Arc<Acceptor>>,
}

impl Server {
    /// Prepares the connections to control; binds nothing.
    pub async fn new(options: Options) -> anyhow::Result<Self> {
        let tls = Acceptor::new(&options.tls, None, &["h2", "http/1.1"])?;
        let gateway = Gateway {
            control: Control::new(&options.control, &options.gateway_key, &options.control_tls)?,
            page: Page::new(),
            streams: Streams::new(options.streams_per_address),
            metrics: Metrics::new(),
            stopping: CancellationToken::new(),
            options,
        };
        Ok(Self { gateway, tls })
    }

    /// What it counts.
    pub fn metrics(&self) -> Arc<Registry> {
        self.gateway.metrics.registry.clone()
    }

    /// Serves until `shutdown`, then ends the streams and waits for what is under way, at most for
    /// the grace period.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        self.gateway.stopping = shutdown.clone();
        let (write_stall, grace) = (self.gateway.options.write_stall, self.gateway.options.grace);
        if self.tls.is_none() && !listener.local_addr()?.ip().is_loopback() {
            tracing::warn!(
                "without TLS on an address other than loopback: unless a proxy before it has TLS, \
                 links can be read on their way"
            );
        }
        let serving = Serving {
            router: routes::router(Arc::new(self.gateway)),
            tls: self.tls,
            write_stall,
            stopping: shutdown,
        };
        listener::serve(listener, serving, grace).await;
        Ok(())
    }
}
