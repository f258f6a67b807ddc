//! `arizuko up`: control, a gateway and the demo agent in this one process, and a link to try.
//! Beside the tests it is the only place that knows both control and gateway.

mod demo;
mod kept;

use self::kept::Kept;
use crate::{
    console::{Console, quoted},
    control::Control,
    folders,
    running::{Left, Running},
};
use anyhow::{Context as _, anyhow, bail, ensure};
use arizuko_proto::signals::Signals;
use arizuko_proto::telemetry::{self, metrics};
use arizuko_proto::tls::{ClientFiles, ServerFiles};
use clap::Parser;
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

/// How long open requests have to end, in each of the services.
const GRACE: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where visitors come in; port 0 takes a free one
    #[arg(long, env = "ARIZUKO_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    tls: ServerFiles,
    /// Where agents and operators come in; port 0 takes a free one
    #[arg(
        long,
        env = "ARIZUKO_CONTROL_LISTEN",
        default_value = "127.0.0.1:7070",
        value_name = "ADDRESS"
    )]
    control_listen: SocketAddr,
    /// What the links begin with; without it, the address that visitors come in by
    #[arg(long, env = "ARIZUKO_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Where everything is kept; without it, ~/.local/share/arizuko
    #[arg(long, env = "ARIZUKO_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Keep the state in this Redis and not in the data folder
    #[arg(long, env = "ARIZUKO_REDIS", value_name = "URL", hide_env_values = true)]
    redis: Option<String>,
    /// What every key in Redis begins with
    #[arg(long, env = "ARIZUKO_REDIS_PREFIX", default_value = "arizuko", value_name = "PREFIX")]
    redis_prefix: String,
    /// Start no demo agent and mint no link
    #[arg(long)]
    no_demo: bool,
    /// Print one JSON document when all is ready
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    metrics: metrics::Options,
    #[command(flatten)]
    pub(crate) telemetry: telemetry::Options,
}

/// All that runs, with what there is to tell of it.
struct Up {
    services: Vec<Service>,
    store: String,
    gateway: String,
    control: String,
    kept: Kept,
    chat_url: Option<String>,
    metrics: Option<metrics::Endpoint>,
    left: Left,
}

/// One of the parts, as a task of its own.
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
    if json {
        console.document(&up.document())?;
    } else {
        console.text(&up.banner(console))?;
    }
    tokio::select! {
        () = signals.next() => {}
        error = failure(&mut up.services) => return Err(error),
    }
    tokio::select! {
        stopped = stop(up) => stopped,
        () = signals.next() => bail!("stopped in the middle of stopping"),
    }
}

async fn start(args: Args) -> anyhow::Result<Up> {
    ensure!(
        !args.tls.are_named() || args.public_url.is_some(),
        "with --tls-cert say --public-url, too: links have to begin with a name that the certificate is for"
    );
    let mut options = embedded_control()?;
    ensure!(
        args.control_listen.ip().is_loopback() || options.plaintext,
        "`up` keeps control to this machine, and {} is more: an agent elsewhere comes in by \
         ssh -L 7070:127.0.0.1:7070; or run arizuko-control by itself, which has TLS; \
         or set ARIZUKO_PLAINTEXT=true if the network is yours alone",
        args.control_listen
    );
    // Both addresses before anything else: nothing is to be undone when one of them is taken.
    let control_listener = bind(args.control_listen, "--control-listen").await?;
    let gateway_listener = bind(args.listen, "--listen").await?;
    let control = url("http", &control_listener)?;
    let gateway = url(args.tls.scheme(), &gateway_listener)?;
    let kept = Kept::open(match args.data_dir {
        Some(folder) => std::path::absolute(folder)?,
        None => folders::data()?,
    })?;
    let operator_key = kept.operator_key()?;
    let gateway_key = kept::new_key()?;
    let store = match &args.redis {
        None => format!("embedded store in {}", folders::shown(kept.folder())),
        Some(_) => format!("Redis, keys begin with {}", args.redis_prefix),
    };

    options.listen = control_listener.local_addr()?;
    if args.public_url.is_none() && args.listen.ip().is_unspecified() {
        tracing::warn!(
            "links begin with {gateway}, which is of use on this machine only: say --public-url"
        );
    }
    options.public_url = args.public_url.unwrap_or_else(|| gateway.clone());
    options.data_dir = args.redis.is_none().then(|| kept.folder().to_owned());
    options.redis = args.redis;
    options.redis_prefix = args.redis_prefix;
    // What the environment may say of it is for visitors. Control is for this machine alone.
    options.tls = ServerFiles::default();
    options.client_ca = None;
    options.operator_key = Some(operator_key.clone());
    options.gateway_key = Some(gateway_key.clone());
    options.grace = GRACE.as_secs();
    let server = arizuko_control::Server::new(options).await?;
    let mut registries = vec![server.metrics()];
    let mut services = vec![Service::start("control", |stop| server.serve(control_listener, stop))];

    let address = gateway_listener.local_addr()?;
    let mut options =
        arizuko_gateway::Options::embedded(address, &control, &gateway_key).map_err(environment)?;
    options.tls = args.tls;
    options.grace = GRACE;
    let server = arizuko_gateway::Server::new(options).await?;
    registries.push(server.metrics());
    let metrics = args.metrics.serve(registries).await?;
    services.push(Service::start("the gateway", |stop| server.serve(gateway_listener, stop)));

    let chat_url = if args.no_demo {
        None
    } else {
        let caller =
            Control::new(vec![control.clone()], Some(&operator_key), &ClientFiles::default())?;
        let (chat_url, agent) = tokio::select! {
            ready = demo::start(caller, &kept) => ready?,
            error = failure(&mut services) => return Err(error),
        };
        services.push(agent);
        Some(chat_url)
    };
    let running = Running {
        control: control.clone(),
        gateway: gateway.clone(),
        operator_key_file: kept.operator_key_file(),
    };
    let left = running.leave()?;
    Ok(Up { services, store, gateway, control, kept, chat_url, metrics, left })
}

/// Waits until one of the services ends that nobody has told to.
async fn failure(services: &mut [Service]) -> anyhow::Error {
    let tasks = services.iter_mut().map(|service| &mut service.task);
    let (ended, index, _) = select_all(tasks).await;
    let cause = match ended {
        Ok(Ok(())) => anyhow!("nobody told it to"),
        Ok(Err(error)) => error,
        Err(panicked) => panicked.into(),
    };
    cause.context(format!("{} has ended", services[index].name))
}

/// The last first: the agent hands its turns back, and the gateway asks control to the end.
async fn stop(up: Up) -> anyhow::Result<()> {
    // Before all: a command should not find what is about to end.
    drop(up.left);
    for Service { name, stop, task } in up.services.into_iter().rev() {
        stop.cancel();
        task.await?.with_context(|| format!("{name} did not end well"))?;
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
            "data_dir": self.kept.folder(),
            "operator_key_file": self.kept.operator_key_file(),
        })
    }

    fn banner(&self, console: &Console<'_>) -> String {
        let mut next = console.command("token issue acme chat");
        if !self.left.is_found() {
            let key_file = self.kept.operator_key_file();
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

/// Control's settings that are none of `up`'s, from their environment twins and defaults.
fn embedded_control() -> anyhow::Result<arizuko_control::Options> {
    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        options: arizuko_control::Options,
    }
    let alone = Alone::try_parse_from(["arizuko-control"]).map_err(environment)?;
    Ok(alone.options)
}

/// What is wrong with a setting that can have come from the environment only.
fn environment(wrong: clap::Error) -> anyhow::Error {
    let text = wrong.to_string();
    let sentence = text.lines().next().unwrap_or_default();
    let sentence = sentence.trim_start_matches("error: ");
    anyhow!("the environment (ARIZUKO_…) does not serve: {sentence}")
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{address} is in use: end what listens there, or take a free port with {flag} {}:0",
            address.ip()
        ),
        _ => anyhow!("cannot listen on {address}: {error}"),
    })
}

/// How this machine reaches a listener.
fn url(scheme: &str, listener: &TcpListener) -> anyhow::Result<String> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Ok(format!("{scheme}://{address}"))
}
