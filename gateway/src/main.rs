//! `arizuko-gateway`: the gateway as a process of its own.

use anyhow::Context as _;
use arizuko_gateway::{Options, Server};
use clap::Parser;
use std::{io::Write as _, process::ExitCode};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// The public side of arizuko's chat links: the page, the event streams and the webhooks.
#[derive(Parser)]
#[command(name = "arizuko-gateway", version)]
struct Arguments {
    #[command(flatten)]
    options: Options,

    /// What to log, for example `info` or `arizuko_gateway=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    log: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&arguments.log))
        .with_writer(std::io::stderr)
        .init();
    match run(arguments.options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let address = options.listen;
    let server = Server::new(options).await?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen on {address}"))?;
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
    // Whoever started this waits for the line, and may not read further.
    let address = listener.local_addr()?;
    let _ = writeln!(
        std::io::stdout(),
        "arizuko-gateway listens on http://{address}"
    );
    server.serve(listener, shutdown).await
}
