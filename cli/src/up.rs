//! `arizuko up`: control, a gateway and the demo agent in one process, and a link to try. Apart
//! from the tests, and `man.rs`, which reads their flags, only this module knows both control and
//! gateway.

mod data;
mod demo;

use self::data::DataFolder;
use crate::{
    console::{Console, quoted},
    control::Control,
    directories,
    running::{Running, RunningFiles},
};
use anyhow::{Context as _, anyhow, bail, ensure};
use arizuko_proto::duration;
use arizuko_proto::telemetry::{self, metrics};
use arizuko_proto::tls::{ClientChecks, ClientFiles, ServerTls};
use arizuko_proto::{signals::Signals, supervisor};
use futures_util::future::select_all;
use serde_json::json;
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko up
  arizuko up --public-url https://chat.example.com --listen 0.0.0.0:443 \\
      --tls-cert fullchain.pem --tls-key privkey.pem
")]
pub(crate) struct Args {
    /// Address for visitors; port 0 takes a free port
    #[arg(long, env = "ARIZUKO_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    tls: ServerTls,
    /// Address for agents and operators; port 0 takes a free port
    #[arg(
        long,
        env = "ARIZUKO_CONTROL_LISTEN",
        default_value = "127.0.0.1:7070",
        value_name = "ADDRESS"
    )]
    control_listen: SocketAddr,
    /// Beginning of the links' URLs [default: the address for visitors]
    #[arg(long, env = "ARIZUKO_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Folder for the data [default: ~/.local/share/arizuko]
    #[arg(long, help_heading = "Store", env = "ARIZUKO_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    store: arizuko_control::StoreOptions,
    #[command(flatten)]
    seal: arizuko_control::SealOptions,
    /// Let --control-listen be an address other than loopback, although keys travel unencrypted
    #[arg(long, env = "ARIZUKO_PLAINTEXT")]
    plaintext: bool,
    /// How long open requests may take to end at shutdown, in each service
    #[arg(long, env = "ARIZUKO_GRACE", default_value = "5s", value_name = "DURATION", value_parser = duration::parse)]
    grace: Duration,
    /// Start no demo agent and issue no link
    #[arg(long)]
    no_demo: bool,
    /// Print the addresses as one line of JSON when everything is ready
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serving: arizuko_gateway::ServingOptions,
    #[command(flatten)]
    metrics: metrics::Options,
    #[command(flatten)]
    pub(crate) telemetry: telemetry::Options,
    #[command(flatten)]
    limits: arizuko_control::Limits,
    #[command(flatten)]
    gateway_limits: arizuko_gateway::Limits,
}

impl Args {
    fn control_options(
        &self,
        listener: &TcpListener,
        gateway: &str,
        data: &DataFolder,
    ) -> anyhow::Result<arizuko_control::Options> {
        Ok(arizuko_control::Options {
            listen: listener.local_addr()?,
            public_url: self.public_url.clone().unwrap_or_else(|| gateway.to_owned()),
            data_dir: self.store.redis.is_none().then(|| data.path().to_owned()),
            store: self.store.clone(),
            seal: self.seal.clone(),
            // The certificate is the gateway's. Control has no TLS here.
            tls: ServerTls::default(),
            clients: ClientChecks::default(),
            client_roles: Vec::new(),
            operator_key: Some(data::key_in(&data.operator_key_file())?),
            operator_key_file: None,
            gateway_key: Some(data::key_in(&data.gateway_key_file())?),
            gateway_key_file: None,
            plaintext: self.plaintext,
            grace: self.grace,
            limits: self.limits.clone(),
        })
    }

    fn gateway_options(
        &self,
        listener: &TcpListener,
        control: &str,
        data: &DataFolder,
    ) -> anyhow::Result<arizuko_gateway::Options> {
        Ok(arizuko_gateway::Options {
            listen: listener.local_addr()?,
            tls: self.tls.clone(),
            control: vec![control.to_owned()],
            gateway_key: Some(data::key_in(&data.gateway_key_file())?),
            gateway_key_file: None,
            control_tls: ClientFiles::default(),
            serving: self.serving.clone(),
            grace: self.grace,
            limits: self.gateway_limits.clone(),
        })
    }
}

/// The running services, and what `up` says about them.
struct Up {
    services: Vec<Service>,
    store: String,
    gateway: String,
    control: String,
    data: DataFolder,
    chat_url: Option<String>,
    metrics: Option<metrics::Endpoint>,
    running: RunningFiles,
}

/// Control, the gateway or the demo agent, as a task of its own.
struct Service {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let json = args.json;
    let mut up = tokio::select! {
        up = start(args) => up?,
        () = signals.next() => return Ok(()),
    };
    let printed = match json {
        true => console.document(&up.document()),
        false => console.text(&up.banner(console)),
    };
    // Standard output may be closed, or its disk full. That ends no service.
    if let Err(error) = printed {
        tracing::warn!("cannot print the addresses: {error:#}");
    }
    supervisor::ready();
    tokio::select! {
        () = signals.next() => {}
        error = failure(&mut up.services) => return Err(error),
    }
    tokio::select! {
        stopped = stop(up) => stopped,
        () = signals.next() => bail!("ended before everything had stopped"),
    }
}

/// Checks combinations of flags.
fn check(args: &Args) -> anyhow::Result<()> {
    ensure!(
        !args.tls.are_named() || args.public_url.is_some(),
        "--tls-cert needs --public-url: links must begin with a name that the certificate is for"
    );
    ensure!(
        args.control_listen.ip().is_loopback() || args.plaintext,
        "--control-listen {} is not loopback, and the control of `up` has no TLS: let agents elsewhere \
         connect by ssh -L 7070:127.0.0.1:7070, or run arizuko-control, which has TLS, \
         or say --plaintext if nobody else uses the network",
        args.control_listen
    );
    Ok(())
}

async fn start(mut args: Args) -> anyhow::Result<Up> {
    check(&args)?;
    args.store.read_file()?;
    // Bind first: if an address is in use, nothing has to be undone.
    let control_listener = bind(args.control_listen, "--control-listen").await?;
    let gateway_listener = bind(args.listen, "--listen").await?;
    let control = url("http", &control_listener)?;
    let gateway = url(args.tls.scheme(), &gateway_listener)?;
    if args.public_url.is_none() && args.listen.ip().is_unspecified() {
        tracing::warn!(
            "links begin with {gateway}, which works only on this machine: set --public-url"
        );
    }
    let data = DataFolder::open(match &args.data_dir {
        Some(folder) => std::path::absolute(folder)?,
        None => directories::data()?,
    })?;
    if args.store.redis.is_none() {
        data.check_store()?;
    }
    let options = args.control_options(&control_listener, &gateway, &data)?;
    let server = arizuko_control::Server::new(options)?;
    let (mut registries, control_ready) = (vec![server.metrics()], server.probe());
    let server = server.open().await?;
    for key_file in [data.operator_key_file(), data.gateway_key_file()] {
        ensure!(
            server.takes(&data::key_in(&key_file)?).await?,
            "the key in {} was revoked: remove that file, and `up` creates another key",
            key_file.display()
        );
    }
    let mut services = vec![Service::start("control", |stop| server.serve(control_listener, stop))];

    let options = args.gateway_options(&gateway_listener, &control, &data)?;
    let server = arizuko_gateway::Server::new(options).await?;
    registries.push(server.metrics());
    let metrics = args.metrics.serve(registries, Some(control_ready)).await?;
    services.push(Service::start("the gateway", |stop| server.serve(gateway_listener, stop)));

    let chat_url = match args.no_demo {
        true => None,
        false => Some(start_demo(&mut services, &control, &data).await?),
    };
    let operator_key_file = data.operator_key_file();
    let running = Running { control: control.clone(), gateway: gateway.clone(), operator_key_file };
    Ok(Up {
        services,
        store: store(&args, &data),
        gateway,
        control,
        data,
        chat_url,
        metrics,
        running: running.publish()?,
    })
}

/// Starts the demo agent and returns its link.
async fn start_demo(
    services: &mut Vec<Service>,
    control: &str,
    data: &DataFolder,
) -> anyhow::Result<String> {
    let files = ClientFiles::default();
    let operator_key = data::key_in(&data.operator_key_file())?;
    let caller = Control::new(vec![control.to_owned()], Some(&operator_key), &files)?;
    let (chat_url, agent) = tokio::select! {
        ready = demo::start(caller, data) => ready?,
        error = failure(services) => return Err(error),
    };
    services.push(agent);
    Ok(chat_url)
}

/// Says where the data is.
fn store(args: &Args, data: &DataFolder) -> String {
    match &args.store.redis {
        None => format!("embedded store in {}", directories::shown(data.path())),
        Some(_) => format!("Redis, keys begin with {}", args.store.redis_prefix),
    }
}

/// Waits until a service ends by itself. Returns the reason.
async fn failure(services: &mut [Service]) -> anyhow::Error {
    let tasks = services.iter_mut().map(|service| &mut service.task);
    let (ended, index, _) = select_all(tasks).await;
    let cause = match ended {
        Ok(Ok(())) => anyhow!("without being told to"),
        Ok(Err(error)) => error,
        Err(panicked) => panicked.into(),
    };
    cause.context(format!("{} has ended", services[index].name))
}

/// Stops the services, the last one first. The agent, which rejects its open turns, and the gateway
/// need control until they have stopped.
async fn stop(up: Up) -> anyhow::Result<()> {
    supervisor::stopping();
    // Other commands must not find an `up` that is about to end.
    drop(up.running);
    for Service { name, stop, task } in up.services.into_iter().rev() {
        stop.cancel();
        task.await?.with_context(|| format!("{name} failed to stop"))?;
    }
    Ok(())
}

impl Service {
    fn start<F>(name: &'static str, serve: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(stop.clone()));
        Self { name, stop, task }
    }
}

impl Up {
    fn document(&self) -> serde_json::Value {
        json!({
            "gateway": self.gateway,
            "control": self.control,
            "chat_url": self.chat_url,
            "metrics": self.metrics.as_ref().map(|metrics| &metrics.url),
            "data_dir": self.data.path(),
            "operator_key_file": self.data.operator_key_file(),
        })
    }

    fn banner(&self, console: &Console<'_>) -> String {
        let mut next = console.command("token issue acme chat");
        if !self.running.is_found() {
            let key_file = self.data.operator_key_file();
            let key_file = quoted(&key_file.to_string_lossy()).into_owned();
            next += &format!(" --control {} --key-file {key_file}", self.control);
        }
        let mut banner = format!("arizuko is up · {}\n", self.store);
        if let Some(url) = &self.chat_url {
            let folder = crate::demo::FOLDER;
            banner +=
                &format!("  chat link   {url}     folder {folder}, answered by the demo agent\n");
        }
        banner += &format!("  control     {}\n", self.control);
        if let Some(metrics::Endpoint { url, .. }) = &self.metrics {
            banner += &format!("  metrics     {url}\n");
        }
        banner += &format!("  next        {next}\n");
        banner
    }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{address} is in use: end the program that listens there, or take a free port with {flag} {}:0",
            address.ip()
        ),
        _ => anyhow!("cannot listen on {address}: {error}"),
    })
}

/// Returns the URL at which this machine reaches a listener.
fn url(scheme: &str, listener: &TcpListener) -> anyhow::Result<String> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Ok(format!("{scheme}://{address}"))
}
