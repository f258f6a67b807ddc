//! `arizuko-control`: the control service as a process of its own.

use arizuko_control::{Arguments, Options, Server};
use arizuko_proto::{
    service, signals, supervisor,
    telemetry::{self, metrics},
    variables,
};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let (arguments, unread) = variables::parse::<Arguments>();
    let _telemetry = telemetry::start(&arguments.telemetry, "arizuko-control", "info")?;
    variables::warn_of(&unread);
    Ok(service::exit_code(run(arguments.options, arguments.metrics).await))
}

async fn run(options: Options, metrics: metrics::Options) -> anyhow::Result<()> {
    let (address, scheme) = (options.listen, options.tls.scheme());
    let server = Server::new(options)?;
    let shutdown = signals::shutdown()?;
    let _metrics = metrics.serve(vec![server.metrics()], Some(server.probe())).await?;
    let server = tokio::select! {
        opened = server.open() => opened?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let listener = service::listen(address).await?;
    service::announce("arizuko-control", scheme, &listener)?;
    supervisor::ready();
    server.serve(listener, shutdown).await
}
