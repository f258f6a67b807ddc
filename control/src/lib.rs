//! Control: the gRPC service that owns tokens, revocation, conversations, turns and reply frames.
//!
//! The domain (`jid`, `key`, `token`, `route`, `conversation`, `frame`, `queue`, `session`, `turn`,
//! `events`) is pure: it decides in a transaction, and knows neither gRPC nor a store. `grpc` turns
//! protos into the domain's types and back. `store` keeps records, sets and logs and doesn't know
//! what they mean.

mod audit;
mod client_roles;
mod config;
mod control;
mod conversation;
mod due;
mod events;
mod fence;
mod folder_settings;
mod frame;
#[cfg(test)]
mod fuzz;
mod grpc;
mod hook_filter;
mod hook_options;
mod hook_request;
mod hours;
mod identity;
mod ids;
mod jid;
mod key;
mod key_uses;
mod known_folders;
mod ledger;
mod limits;
mod link_limits;
mod listener;
mod long_answers;
mod looks;
mod maps;
mod metrics;
mod names;
mod proof;
mod queue;
mod readiness;
mod refusal;
mod refused;
mod route;
mod schema;
mod seal;
mod secret;
mod servers;
mod session;
mod signature;
#[cfg(test)]
mod simulation;
mod store;
mod time;
mod token;
mod transaction;
mod turn;
mod visitor;

pub use config::{Arguments, Options, SealOptions, StoreOptions};
pub use limits::Limits;
pub use store::sqlite::{FILE as STORE_FILE, backup, restore, snapshot};

use anyhow::Context;
use arizuko_proto::{
    service,
    telemetry::metrics::{Probe, Registry},
    tls::Acceptor,
};
use client_roles::ClientRole;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, LocalBoxFuture},
};
use ledger::Error;
use listener::Listener;
use readiness::Readiness;
use servers::Own;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The control service, with its settings checked.
pub struct Server {
    options: Options,
    tls: Option<Arc<Acceptor>>,
    metrics: metrics::Metrics,
    readiness: Arc<Readiness>,
}

/// The control service with its store, ready to be served on a listener.
pub struct OpenServer {
    control: Arc<control::Control>,
    tls: Option<Arc<Acceptor>>,
    readiness: Arc<Readiness>,
    client_roles: Arc<[ClientRole]>,
    grace: Duration,
}

impl Server {
    /// Checks the settings. Opens no store and binds no socket.
    ///
    /// # Errors
    /// When a setting can't work, settings contradict each other, or a file can't be read.
    pub fn new(mut options: Options) -> anyhow::Result<Self> {
        options.read_files()?;
        options.check()?;
        let tls = Acceptor::new(&options.tls, &options.clients, &["h2"])?;
        Ok(Self { options, tls, metrics: metrics::Metrics::new(), readiness: Arc::default() })
    }

    /// Returns the registry of the service's metrics.
    pub fn metrics(&self) -> Arc<Registry> {
        self.metrics.registry.clone()
    }

    /// Returns a probe that tells whether control can serve: its store is open and takes writes.
    pub fn probe(&self) -> Probe {
        let readiness = self.readiness.clone();
        Arc::new(move || {
            let readiness = readiness.clone();
            Box::pin(async move { readiness.check().await })
        })
    }

    /// Opens the store. Waits for a store that is out of reach, and says so in the log.
    ///
    /// # Errors
    /// When the store refuses a command, belongs to another deployment, has a newer schema or is
    /// used by an older arizuko, or when no key works for operators or for gateways.
    pub fn open(self) -> LocalBoxFuture<'static, anyhow::Result<OpenServer>> {
        // Boxed, so that it is compiled here once and not in each program.
        self.open_store().boxed_local()
    }

    async fn open_store(self) -> anyhow::Result<OpenServer> {
        let Self { options, tls, metrics, readiness } = self;
        let (grace, client_roles) = (options.grace, options.client_roles.clone().into());
        let control = control::Control::open(options, metrics, &readiness.waiting).await?;
        let control = Arc::new(control);
        tracing::info!(
            store = control.ledger.describe(),
            partitions = control.partitions,
            "opened the store"
        );
        for remark in control.ledger.remarks().await {
            tracing::warn!("{remark}");
        }
        readiness.open(control.clone());
        Ok(OpenServer { control, tls, readiness, client_roles, grace })
    }
}

impl OpenServer {
    /// Whether control accepts a key: not one that is unknown, expired or revoked.
    ///
    /// # Errors
    /// When the store is out of reach.
    pub async fn takes(&self, key: &str) -> anyhow::Result<bool> {
        match self.control.caller(key).await {
            Err(Error::Refused(_)) => Ok(false),
            caller => Ok(caller.map(|_| true)?),
        }
    }

    /// Serves until `shutdown`, then drains: tells agents and gateways, and gives open streams the
    /// grace period to end.
    ///
    /// # Errors
    /// When the task that takes due items or the one that sends events ends, when a newer arizuko
    /// has upgraded the store, when the store was emptied, or when it can't be closed.
    pub fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, anyhow::Result<()>> {
        self.serve_until(listener, shutdown).boxed()
    }

    async fn serve_until(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let service = grpc::service(self.control.clone(), self.readiness)?;
        let mut due = tokio::spawn(due::run(self.control.clone(), shutdown.clone()));
        let mut events = tokio::spawn(events::sender::run(self.control.clone(), shutdown.clone()));
        let limits = self.control.limits.connections.clone();
        let stopping = shutdown.clone();
        let (tls, client_roles) = (self.tls, self.client_roles);
        let certificate_end = || tls.as_ref().and_then(|tls| tls.certificate_end());
        let own = Own {
            control: &self.control,
            name: service::name(&listener),
            certificate_end: &certificate_end,
        };
        let tls = tls.clone();
        let listening = Listener { service, tls, client_roles, limits, stopping };
        let mut serving = pin!(listening.serve(listener));
        tokio::select! {
            // `shutdown` comes first, since the others end soon after it.
            biased;
            () = shutdown.cancelled() => {
                self.control.draining.cancel();
                if tokio::time::timeout(self.grace, &mut serving).await.is_err() {
                    tracing::warn!("grace period over, closing open streams");
                }
            }
            () = &mut serving => {}
            swept = &mut due => return swept.context("the task that takes due items ended"),
            sent = &mut events => return sent.context("the task that sends events failed")?,
            () = own.tell() => {}
            superseded = schema::superseded(self.control.ledger.store(), &self.control.expected) => {
                return Err(superseded);
            }
        }
        own.stop().await;
        due.await.context("the task that takes due items failed")?;
        events.await.context("the task that sends events failed")??;
        self.control.ledger.store().close().await.context("cannot close the store")
    }
}
