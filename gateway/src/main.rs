//! `arizuko-gateway`: the gateway as a process of its own.

use anyhow::Context as _;
use arizuko_gateway::{Options, Server};
use arizuko_proto::telemetry::{self, metrics};
use clap::Parser;
use std::{io::Write as _, process::ExitCode};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// The public side of arizuko's chat links: the page, the event streams and the webhooks.
#[derive(Parser)]
#[command(name = "arizuko-gateway", version)]
struct Arguments {
    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    metrics: metrics::Options,

    #[command(flatten)]
    telemetry: telemetry::Options,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let _telemetry = telemetry::start(&arguments.telemetry, "arizuko-gateway", "info")?;
    Ok(match run(arguments.options, arguments.metrics).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    })
}

async fn run(options: Options, metrics: metrics::Options) -> anyhow::Result<()> {
    let (address, scheme) = (options.listen, options.tls.scheme());
    let server = Server::new(options).await?;
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    let registries = vec![server.metrics()];
    metrics.serve(registries, shutdown.clone()).await?;
    // Whoever started this waits for the line, and may not read further.
    let address = listener.local_addr()?;
    let _ = writeln!(std::io::stdout(), "arizuko-gateway listens on {scheme}://{address}");
    server.serve(listener, shutdown).await
}
