//! `arizuko-gateway`: the gateway as a process of its own.

use anyhow::Context as _;
use arizuko_gateway::{Options, Server};
use arizuko_proto::{
    signals, supervisor,
    telemetry::{self, metrics},
};
use clap::Parser;
use std::{io::Write as _, process::ExitCode};
use tokio::net::TcpListener;

/// Serves arizuko's chat links to the public: the page, event streams and webhooks.
#[derive(Parser)]
#[command(name = "arizuko-gateway", version)]
struct Arguments {
    #[command(flatten)]
    metrics: metrics::Options,
    // These end with a heading, which would also cover the flags of `metrics` if those came later.
    #[command(flatten)]
    options: Options,
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
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (--listen)"))?;
    let address = listener.local_addr()?;
    let shutdown = signals::shutdown()?;
    let _metrics = metrics.serve(vec![server.metrics()], Some(server.probe())).await?;
    // Standard output may be closed, or its disk full.
    let _ = writeln!(std::io::stdout(), "arizuko-gateway listens on {scheme}://{address}");
    let ready = server.until_ready();
    tokio::spawn(async move {
        ready.await;
        supervisor::ready();
    });
    server.serve(listener, shutdown).await
}
