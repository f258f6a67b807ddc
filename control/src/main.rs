//! `arizuko-control`: the control service as a process of its own.

use arizuko_control::{Options, Server};
use clap::Parser;
use std::{io::Write, process::ExitCode};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Owns tokens, revocation, conversations, turns and reply frames, and serves them by gRPC.
#[derive(Parser)]
#[command(name = "arizuko-control", version)]
struct Arguments {
    /// What to log: a level, or a filter as of the tracing crate. Goes to standard error.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    log: String,
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { log, options } = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(log))
        .with_writer(std::io::stderr)
        .init();
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let listen = options.listen;
    let server = Server::new(options).await?;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {listen}: {error}"))?;
    let address = listener.local_addr()?;
    let shutdown = CancellationToken::new();
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
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
    // Whoever has read this line may send a signal.
    writeln!(
        std::io::stdout(),
        "arizuko-control listens on http://{address}"
    )?;
    server.serve(listener, shutdown).await
}
