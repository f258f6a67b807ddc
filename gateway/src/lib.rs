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
mod origin;
mod page;
mod problem;
mod routes;
mod turn;

pub use config::Options;

use address::Streams;
use control::Control;
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
    /// No new work; streams and waits end.
    stopping: CancellationToken,
}

/// The gateway.
pub struct Server {
    gateway: Gateway,
}

impl Server {
    /// Prepares the connections to control; binds nothing.
    pub async fn new(options: Options) -> anyhow::Result<Self> {
        let gateway = Gateway {
            control: Control::new(&options.control, &options.gateway_key)?,
            page: Page::new(),
            streams: Streams::new(options.streams_per_address),
            stopping: CancellationToken::new(),
            options,
        };
        Ok(Self { gateway })
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
        let router = routes::router(Arc::new(self.gateway));
        listener::serve(listener, router, shutdown, write_stall, grace).await;
        Ok(())
    }
}
