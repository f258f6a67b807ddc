//! `arizuko-control`: the control service as a process of its own.

use arizuko_control::{Options, Server};
use arizuko_proto::telemetry::{self, metrics};
use clap::Parser;
use std::{io::Write, process::ExitCode};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// Owns tokens, revocation, conversations, turns and reply frames, and serves them by gRPC.
#[derive(Parser)]
#[command(name = "arizuko-control", version)]
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
    let _telemetry = telemetry::start(&arguments.telemetry, "arizuko-control", "info")?;
    Ok(match run(arguments.options, arguments.metrics).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    })
}

async fn run(options: Options, metrics: metrics::Options) -> anyhow::Result<()> {
    let (listen, scheme) = (options.listen, options.tls.scheme());
    let server = Server::new(options).await?;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {listen}: {error}"))?;
    let address = listener.local_addr()?;
    let shutdown = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            shutdown.cancel();
        }
    });
    let registries = vec![server.metrics()];
    metrics.serve(registries, shutdown.clone()).await?;
    // Whoever has read this line may send a signal.
    writeln!(std::io::stdout(), "arizuko-control listens on {scheme}://{address}")?;
    server.serve(listener, shutdown).await
}
