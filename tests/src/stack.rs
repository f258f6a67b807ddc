//! The stack that a test runs on: the whole system, started for that test.

mod clocks;
mod proxies;
mod serve;
mod tls;

pub use tls::Tls;

use crate::{
    Instance::{A, B},
    Part::{Control, Gateway},
    fleet::Fleet,
    folder::Folder,
    process::Process,
    proxy::{Proxy, Target},
    redis::Redis,
    tools,
};
use std::{
    net::TcpListener,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};
use tokio::process::Command;

/// The kinds of stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `arizuko up`: everything in one process, on the embedded store.
    Embedded,
    /// One control and one gateway over one Redis.
    OneRedis,
    /// Two controls and two gateways over one Redis.
    Pair,
    /// Two controls and two gateways over Redis with Sentinels.
    Sentinel,
    /// Two controls and two gateways over a Redis Cluster.
    Cluster,
}

/// Names one of the two controls or gateways of a stack. If there is only one, A and B both name
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// The first.
    A,
    /// The second.
    B,
}

impl Instance {
    /// Returns the other instance.
    pub fn other(self) -> Self {
        if self == A { B } else { A }
    }
}

/// Both instances, for tests that use one after the other.
pub const BOTH: [Instance; 2] = [Instance::A, Instance::B];

/// A part of a stack. In `arizuko up` all parts are one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A control.
    Control(Instance),
    /// A gateway.
    Gateway(Instance),
}

impl Part {
    /// Returns the name of the part's process and log file.
    fn name(self) -> &'static str {
        match self {
            Control(A) => "control-a",
            Control(B) => "control-b",
            Gateway(A) => "gateway-a",
            Gateway(B) => "gateway-b",
        }
    }
}

/// A running stack. All of its processes end with the test.
pub struct Stack {
    kind: Kind,
    settings: Vec<(String, String)>,
    /// Whether control's default for ARIZUKO_ADDRESS_TURNS stays. Otherwise it is 1,000, unless
    /// `settings` says something else.
    has_default_turns: bool,
    /// Parts with a wrong clock, and the offset for `faketime`.
    clocks: Vec<(Part, &'static str)>,
    tls: Option<Tls>,
    public_url: String,
    keys: Keys,
    demo_url: Option<String>,
    /// Declared before the Redis that they use: fields are dropped in this order.
    servers: Vec<Server>,
    redis: Option<Redis>,
    has_proxies: bool,
    /// Whether the clocks of its controls can be set while they run.
    has_loose_clocks: bool,
    fleet: Option<Fleet>,
    folder: Folder,
    pub(crate) web: reqwest::Client,
}

struct Keys {
    operator: String,
    gateway: String,
}

/// A process that serves, and the addresses of its parts.
struct Server {
    name: &'static str,
    control: Option<String>,
    gateway: Option<String>,
    process: Option<Process>,
    to_control: Option<Proxy>,
    to_redis: Option<Proxy>,
}

impl Stack {
    /// Starts a stack with the defaults. Its links begin with `https://<tenant>.example`.
    pub async fn start(kind: Kind) -> Self {
        Self::with(kind, &[]).await
    }

    /// Starts a stack with these environment variables in all its parts.
    pub async fn with(kind: Kind, settings: &[(&str, &str)]) -> Self {
        Self::begin(kind, settings, "https://{root}.example", 0).await
    }

    /// Starts a stack whose links lead to gateway A, for programs that open links. An embedded
    /// stack also has `up`'s demo agent.
    pub async fn with_real_links(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        Self::begin(kind, settings, &format!("http://127.0.0.1:{port}"), port).await
    }

    /// Starts a stack whose links begin with this URL.
    pub async fn with_public_url(kind: Kind, settings: &[(&str, &str)], url: &str) -> Self {
        Self::begin(kind, settings, url, 0).await
    }

    /// Starts a stack whose controls use Redis as a user with these rights.
    pub async fn with_rights(kind: Kind, rights: &[String]) -> Self {
        let mut stack = Self::prepare(kind, &[], "https://{root}.example").await;
        stack.redis().allow(rights).await;
        stack.populate(0).await;
        stack
    }

    async fn begin(kind: Kind, settings: &[(&str, &str)], public_url: &str, port: u16) -> Self {
        let mut stack = Self::prepare(kind, settings, public_url).await;
        stack.populate(port).await;
        stack
    }

    /// Starts everything except the processes that serve.
    async fn prepare(kind: Kind, settings: &[(&str, &str)], public_url: &str) -> Self {
        let folder = Folder::new();
        let (files, logs) = (folder.path().join("redis"), folder.logs());
        let redis = match kind {
            Kind::OneRedis | Kind::Pair => Some(Redis::start(&files, &logs).await),
            _ => None,
        };
        let fleet = match kind {
            Kind::Sentinel => Some(Fleet::with_sentinels(&files, &logs).await),
            Kind::Cluster => Some(Fleet::cluster(&files, &logs).await),
            _ => None,
        };
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            kind,
            settings: settings.collect(),
            has_default_turns: false,
            clocks: Vec::new(),
            tls: None,
            public_url: public_url.to_owned(),
            keys: Keys { operator: tools::random_id(), gateway: tools::random_id() },
            demo_url: None,
            servers: Vec::new(),
            redis,
            has_proxies: false,
            has_loose_clocks: false,
            fleet,
            folder,
            web: web().build().expect("plain HTTP needs nothing of the system"),
        }
    }

    /// Starts the processes that serve, with gateway A on this port (0: on any).
    async fn populate(&mut self, port: u16) {
        if self.kind == Kind::Embedded {
            return self.add("up", Some(0), Some(port)).await;
        }
        let instances = if self.kind == Kind::OneRedis { &BOTH[..1] } else { &BOTH };
        for &instance in instances {
            self.add(Control(instance).name(), Some(0), None).await;
        }
        for &instance in instances {
            let port = if instance == A { port } else { 0 };
            self.add(Gateway(instance).name(), None, Some(port)).await;
        }
    }

    async fn add(&mut self, name: &'static str, control: Option<u16>, gateway: Option<u16>) {
        let address = |port: u16| format!("127.0.0.1:{port}");
        let (control, gateway) = (control.map(address), gateway.map(address));
        let to_redis = match &self.redis {
            Some(redis) if self.has_proxies && control.is_some() => {
                Some(Proxy::start(Target::Socket(redis.socket())).await)
            }
            _ => None,
        };
        let process = None;
        self.servers.push(Server { name, control, gateway, process, to_control: None, to_redis });
        self.serve(self.servers.len() - 1).await;
    }

    /// Returns a command that runs one of our programs with this stack's settings.
    pub fn program(&self, name: &str) -> Command {
        let mut program = self.folder.program(name);
        if !self.has_default_turns {
            // All of a test's visitors share one address.
            program.env("ARIZUKO_ADDRESS_TURNS", "1000");
        }
        program.envs(self.settings.iter().map(|(name, value)| (name, value)));
        program
    }

    /// Returns the stack's kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the URL of a gateway.
    pub fn gateway(&self, instance: Instance) -> String {
        let address = &self.servers[self.server(Gateway(instance))].gateway;
        format!("{}://{}", self.gateway_scheme(), address.as_ref().expect("it is a gateway"))
    }

    /// Returns the URL of a control.
    pub fn control(&self, instance: Instance) -> String {
        let address = self.servers[self.server(Control(instance))].control_address();
        format!("{}://{}", self.control_scheme(), address.expect("it is a control"))
    }

    /// Returns the URLs of all gateways.
    pub fn gateways(&self) -> Vec<String> {
        let gateways = self.servers.iter().filter_map(|server| server.gateway.as_ref());
        gateways.map(|gateway| format!("{}://{gateway}", self.gateway_scheme())).collect()
    }

    /// Returns the index of the server that a part is in.
    fn server(&self, part: Part) -> usize {
        let place = |wanted: Part| {
            self.servers
                .iter()
                .position(|server| server.name == wanted.name() || server.name == "up")
        };
        let first = match part {
            Control(_) => Control(A),
            Gateway(_) => Gateway(A),
        };
        place(part).or_else(|| place(first)).expect("every stack has a control and a gateway")
    }

    /// Returns the demo agent's link, if there is one.
    pub fn demo_url(&self) -> Option<&str> {
        self.demo_url.as_deref()
    }

    fn has_real_links(&self) -> bool {
        self.public_url.starts_with("http://127.0.0.1")
    }

    /// Returns the operator's key from control's settings.
    pub fn operator_key(&self) -> &str {
        &self.keys.operator
    }

    /// Returns the stack's one Redis.
    pub fn redis(&mut self) -> &mut Redis {
        self.redis.as_mut().expect("this stack has one Redis")
    }

    /// Returns the Redis servers of a stack with Sentinels or a Cluster.
    pub fn fleet(&mut self) -> &mut Fleet {
        let fleet = self.fleet.as_mut();
        fleet.expect("this stack has Sentinels or a Cluster")
    }

    /// Kills every process that serves, and the one Redis, as a power cut does.
    pub fn cut_the_power(&mut self) {
        for server in &mut self.servers {
            server.process = None;
        }
        if let Some(redis) = &mut self.redis {
            redis.kill();
        }
    }

    /// Restarts the one Redis, and starts every server that does not run. All keep their
    /// addresses.
    pub async fn power_up(&mut self) {
        if let Some(redis) = &mut self.redis {
            redis.restart().await;
        }
        for index in 0..self.servers.len() {
            if self.servers[index].process.is_none() {
                self.serve(index).await;
            }
        }
    }

    /// Cuts the power and restores it.
    pub async fn power_cycle(&mut self) {
        self.cut_the_power();
        self.power_up().await;
    }

    /// Kills the process of a part.
    pub fn kill(&mut self, part: Part) {
        let server = self.server(part);
        self.servers[server].process = None;
    }

    /// Restarts the process of a part at the same address.
    pub async fn restart(&mut self, part: Part) {
        self.kill(part);
        self.serve(self.server(part)).await;
    }

    /// Returns the process of a part.
    pub fn process(&mut self, part: Part) -> &mut Process {
        let server = self.server(part);
        let process = self.servers[server].process.as_mut();
        process.unwrap_or_else(|| panic!("{} does not run", part.name()))
    }

    /// Returns the folder of everything that the stack writes.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Returns the embedded store's folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns the folder of the stack's logs.
    pub fn logs(&self) -> PathBuf {
        self.folder.logs()
    }
}

impl Drop for Stack {
    /// If the test has failed, prints the last lines of the logs of the servers and the one Redis.
    #[expect(clippy::print_stderr, reason = "the test runner collects it")]
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let processes = self.servers.iter().filter_map(|server| server.process.as_ref());
        for process in processes.chain(self.redis.as_ref().map(Redis::process)) {
            eprintln!("── the last lines of {}.log:\n{}", process.name(), process.said());
        }
    }
}

fn web() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        // Opens a new connection for each request, since tests kill servers.
        .pool_max_idle_per_host(0)
}

/// Returns a free port, never the same one twice. All are below the range from which Linux assigns
/// ports by itself.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u32> = 20_000..32_000;
    static TOLD: AtomicU32 = AtomicU32::new(0);
    loop {
        // Other test programs start elsewhere in the range.
        let next = process::id() * 100 + TOLD.fetch_add(1, Relaxed);
        let port = PORTS.start + next % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).expect("ports have 16 bits");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
