//! Control: the gRPC service that owns tokens, revocation, conversations, turns and reply frames.
//!
//! The domain (`jid`, `key`, `token`, `route`, `conversation`, `frame`, `queue`, `session`, `turn`)
//! is pure: it decides in a transaction, and knows neither gRPC nor a store. `grpc`
//! turns protos into the domain and back. `store` keeps records, sets and logs and doesn't know
//! what they mean.

mod audit;
mod config;
mod control;
mod conversation;
mod due;
mod fence;
mod frame;
#[cfg(test)]
mod fuzz;
mod grpc;
mod ids;
mod jid;
mod key;
mod key_uses;
mod known_folders;
mod ledger;
mod limits;
mod link_limits;
mod listener;
mod metrics;
mod names;
mod queue;
mod refusal;
mod route;
mod schema;
mod secret;
mod session;
mod store;
mod time;
mod token;
mod transaction;
mod turn;
mod visitor;

pub use config::{Options, StoreOptions};
pub use limits::Limits;
pub use store::sqlite::{backup, restore};

use anyhow::Context;
use arizuko_proto::telemetry::metrics::Registry;
use arizuko_proto::tls::Acceptor;
use ledger::Error;
use listener::Listener;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The control service: opened with its store, then served on a listener.
pub struct Server {
    control: Arc<control::Control>,
    tls: Option<Arc<Acceptor>>,
    grace: Duration,
}

impl Server {
    /// Opens the store. Binds no socket.
    ///
    /// # Errors
    /// When options contradict each other, or the store can't be opened.
    pub async fn new(options: Options) -> anyhow::Result<Self> {
        let grace = options.grace;
        let tls = Acceptor::new(&options.tls, options.client_ca.as_deref(), &["h2"])?;
        let control = control::Control::open(options).await?;
        tracing::info!(
            store = control.ledger.describe(),
            partitions = control.partitions,
            "opened the store"
        );
        for remark in control.ledger.remarks().await {
            tracing::warn!("{remark}");
        }
        Ok(Self { control: Arc::new(control), tls, grace })
    }

    /// Whether a key opens anything: it may have been revoked.
    ///
    /// # Errors
    /// When the store is out of reach.
    pub async fn takes(&self, key: &str) -> anyhow::Result<bool> {
        match self.control.caller(key).await {
            Err(Error::Refused(_)) => Ok(false),
            caller => Ok(caller.map(|_| true)?),
        }
    }

    /// Returns the registry of its metrics.
    pub fn metrics(&self) -> Arc<Registry> {
        self.control.metrics.registry.clone()
    }

    /// Serves until `shutdown`, then drains: tells agents and gateways, and gives open streams the
    /// grace period to end.
    ///
    /// # Errors
    /// When the task that takes due items ends, or the store was upgraded.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let service = grpc::service(self.control.clone()).await?;
        let mut due = tokio::spawn(due::run(self.control.clone(), shutdown.clone()));
        let limits = self.control.limits.connections.clone();
        let stopping = shutdown.clone();
        let listening = Listener { service, tls: self.tls, limits, stopping }.serve(listener);
        let mut serving = pin!(listening);
        tokio::select! {
            () = &mut serving => {}
            swept = &mut due, if !shutdown.is_cancelled() => {
                return swept.context("the task that takes due items ended");
            }
            superseded = schema::superseded(self.control.ledger.store()) => return Err(superseded),
            () = shutdown.cancelled() => {
                self.control.draining.cancel();
                if tokio::time::timeout(self.grace, &mut serving).await.is_err() {
                    tracing::warn!("grace period over, closing open streams");
                }
            }
        }
        due.await.context("the task that takes due items failed")
    }
}
