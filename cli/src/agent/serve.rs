//! Runs an agent of `arizuko agent`: attaches, answers turns, counts them, and stops on a signal.

use super::metrics::Metrics;
use crate::{
    attach::{self, Failure, Reply, Settings, Turn},
    connect,
    console::printable,
};
use anyhow::bail;
use arizuko_proto::{signals::Signals, supervisor, telemetry::metrics};
use std::sync::Arc;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// The flags of every agent: where to attach, and as what.
#[derive(clap::Args)]
pub(super) struct Place {
    #[command(flatten)]
    connection: connect::Options,
    /// Folder whose messages to answer, for example acme or acme/eng [default: the key's folder]
    #[arg(long)]
    folder: Option<String>,
    /// Name that operators see [default: the name of the program, model or host]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    metrics: metrics::Options,
}

impl Place {
    /// Lets `handler` answer up to `concurrency` turns at a time, until a signal comes. Each turn
    /// carries up to `history` earlier messages. `name` is the agent's name if there is no
    /// `--name`.
    pub(super) async fn serve<H, F>(
        self,
        name: &str,
        concurrency: u32,
        history: u32,
        metrics: Metrics,
        handler: H,
    ) -> anyhow::Result<()>
    where
        H: Fn(Turn, Reply) -> F + Clone + Send + 'static,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let control = self.connection.find()?;
        let (attached, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let name = self.name.as_deref().unwrap_or(name);
        let settings = Settings {
            folder: self.folder.clone().unwrap_or_default(),
            name: name.chars().take(100).collect(),
            concurrency,
            history,
            attached: Arc::clone(&attached),
            stop: stop.clone(),
        };
        let registry = Arc::new(metrics.registry());
        // Metrics are served for as long as turns run.
        let _metrics = self.metrics.serve(vec![registry], None).await?;
        let mut signals = Signals::listen()?;
        let session = attach::run(&control, settings, move |turn, reply| {
            counted(handler(turn, reply.clone()), reply, metrics.clone())
        });
        tokio::pin!(session);
        loop {
            tokio::select! {
                outcome = &mut session => return Ok(outcome?),
                () = attached.notified() => {
                    supervisor::ready();
                    let folder = self.folder.as_deref().unwrap_or("the key's folder");
                    tracing::info!("attached to {folder}, {} at a time", turns(concurrency));
                }
                () = signals.next() => {
                    if stop.is_cancelled() {
                        // The program ends, and with it the handlers that still run.
                        bail!("stopped while turns were running");
                    }
                    tracing::info!("stopping; send the signal again to stop at once");
                    stop.cancel();
                }
            }
        }
    }
}

/// Waits for the answer to a turn, counts the turn, and logs it if it failed or was cancelled.
async fn counted(
    answering: impl Future<Output = Result<(), Failure>>,
    reply: Reply,
    metrics: Metrics,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let outcome = answering.await;
    metrics.ended(&outcome, reply.is_cancelled(), begun.elapsed());
    match &outcome {
        Err(_) if reply.is_cancelled() => tracing::info!("cancelled the turn"),
        Err(Failure { detail, .. }) => tracing::warn!("the turn failed: {}", printable(detail)),
        Ok(()) => {}
    }
    outcome
}

fn turns(count: u32) -> String {
    match count {
        1 => "1 turn".into(),
        _ => format!("{count} turns"),
    }
}
