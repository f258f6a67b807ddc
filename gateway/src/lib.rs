//! The HTTP side of arizuko, and the only part that the public reaches. It serves the page, the
//! event streams and the webhooks, and asks control about the token of every request.

mod accept;
mod address;
mod answers;
mod bodies;
mod chat;
mod compression;
mod config;
mod contract;
mod control;
mod dialects;
mod document;
mod encoding;
mod events;
#[cfg(test)]
mod fuzz;
mod gateway;
mod header;
mod history;
mod hook;
mod language;
mod last_event_id;
mod limits;
mod link;
mod listener;
mod markdown;
mod message;
mod metrics;
mod operation;
mod origin;
mod page;
mod paths;
mod problem;
mod proxies;
mod rates;
mod rating;
mod renderer;
mod report;
mod routes;
mod schema;
mod sse;
mod stream;
mod streams;
mod turn;
mod unread;
mod well_known;

pub use config::{Arguments, Options, ServingOptions};
pub use limits::Limits;

use arizuko_proto::{
    service,
    telemetry::metrics::{Probe, Registry},
    tls::{Acceptor, ClientChecks},
};
use futures_util::{FutureExt as _, future::BoxFuture};
use gateway::Gateway;
use listener::Listener;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long control may take to hear that the gateway stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// The gateway, ready to serve.
pub struct Server {
    gateway: Gateway,
    tls: Option<Arc<Acceptor>>,
}

impl Server {
    /// Prepares the connections to control. Binds nothing.
    ///
    /// # Errors
    ///
    /// An address of control, the key, a limit or a TLS file can't be used.
    pub async fn new(options: Options) -> anyhow::Result<Self> {
        let tls = Acceptor::new(&options.tls, &ClientChecks::default(), &["h2", "http/1.1"])?;
        Ok(Self { gateway: Gateway::new(options)?, tls })
    }

    /// Returns the metrics of this gateway.
    pub fn metrics(&self) -> Arc<Registry> {
        self.gateway.metrics.registry.clone()
    }

    /// Returns a probe that tells whether a control can serve.
    pub fn probe(&self) -> Probe {
        let control = self.gateway.control.clone();
        Arc::new(move || {
            let control = control.clone();
            Box::pin(async move { control.ready().await.map_err(|refusal| refusal.message) })
        })
    }

    /// Waits until a control can serve. Without one, this gateway can't serve.
    pub fn until_ready(&self) -> BoxFuture<'static, ()> {
        let control = self.gateway.control.clone();
        // Boxed, so that it is compiled here once and not in each program.
        async move { control.until_ready().await }.boxed()
    }

    /// Serves until `shutdown`, then ends the streams and waits for open requests, at most for the
    /// grace period.
    pub fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, anyhow::Result<()>> {
        self.serve_until(listener, shutdown).boxed()
    }

    async fn serve_until(
        mut self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        self.gateway.stopping = shutdown.clone();
        let Options { grace, limits, serving, .. } = self.gateway.options.clone();
        let ServingOptions { write_stall, trusted_proxies, .. } = serving;
        if self.tls.is_none() && !listener.local_addr()?.ip().is_loopback() {
            tracing::warn!(
                "listening without TLS on an address other than loopback: without a proxy that adds \
                 TLS, others on the network can read the links"
            );
        }
        let (tls, control) = (self.tls, self.gateway.control.clone());
        let told = report::tell(control, service::name(&listener), tls.clone(), shutdown.clone());
        let told = tokio::spawn(told);
        let router = routes::router(Arc::new(self.gateway));
        let serving =
            Listener { router, tls, limits, trusted_proxies, write_stall, stopping: shutdown };
        serving.serve(listener, grace).await;
        // If this takes too long, the gateway stays listed for a while.
        let _ = timeout(FAREWELL, told).await;
        Ok(())
    }
}
