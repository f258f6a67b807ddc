//! The processes that are measured: Redis, control, a gateway, `arizuko up`, and the floors.

#![expect(clippy::print_stdout, reason = "a floor says where it listens")]

use arizuko_proto::v1::{
    IssueChatLinkRequest, RevokeTokenRequest, revoke_token_request::Target,
    token_service_client::TokenServiceClient,
};
use arizuko_tests::{
    cli::run,
    operator::{Channel, connect},
    process::{Process, command},
    proxy::{self, Proxy},
    redis::Redis,
};
use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command, time::sleep};

const OPERATOR_KEY: &str = "bench-operator-key-0123456789012345678901234";
const GATEWAY_KEY: &str = "bench-gateway-key-01234567890123456789012345";

/// Settings that lift the limits on how much one address, link, tenant or key may do, and the
/// gateway's on connections. The log has errors only, so that it costs little.
const SETTINGS: [(&str, &str); 15] = [
    ("ARIZUKO_LINK_RATE", "100000000"),
    ("ARIZUKO_ADDRESS_RATE", "100000000"),
    ("ARIZUKO_LINK_TURNS", "100000000"),
    ("ARIZUKO_ADDRESS_TURNS", "100000000"),
    ("ARIZUKO_ADDRESS_REQUESTS", "4000000000"),
    ("ARIZUKO_STREAMS_PER_ADDRESS", "100000"),
    ("ARIZUKO_ADDRESS_BODY_BYTES", "10000000000"),
    ("ARIZUKO_BODY_BYTES", "10000000000"),
    ("ARIZUKO_GATEWAY_CONNECTIONS", "20000"),
    ("ARIZUKO_GATEWAY_ADDRESS_CONNECTIONS", "20000"),
    ("ARIZUKO_LINK_BYTES", "1000000000000"),
    ("ARIZUKO_TENANT_BYTES", "1000000000000"),
    ("ARIZUKO_KEY_SESSIONS", "10000"),
    ("ARIZUKO_CONTROL_ADDRESS_CONNECTIONS", "10000"),
    ("RUST_LOG", "error"),
];

/// The processes whose CPU time and memory are measured.
pub(crate) struct Processes<'a>(Vec<&'a Process>);

impl<'a> Processes<'a> {
    pub(crate) fn new(processes: impl IntoIterator<Item = &'a Process>) -> Self {
        Self(processes.into_iter().collect())
    }

    /// Returns the CPU time of each process, by name.
    pub(crate) fn cpu(&self) -> Vec<(String, Duration)> {
        self.0.iter().map(|process| (process.name().to_owned(), process.cpu_time())).collect()
    }

    /// Returns the private memory of each process by name, in bytes.
    pub(crate) fn private_memory(&self) -> Vec<(String, u64)> {
        let private = |process: &&Process| {
            let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid()));
            let rollup = rollup.expect("it runs");
            let kib = rollup.lines().filter(|line| line.starts_with("Private_"));
            let kib = kib.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
            (process.name().to_owned(), kib.sum::<u64>() << 10)
        };
        self.0.iter().map(private).collect()
    }
}

/// A store, a control and a gateway; on the embedded store, all of them are one process.
pub(crate) struct Topology {
    pub(crate) gateway: SocketAddr,
    pub(crate) control: String,
    key: String,
    processes: Vec<Process>,
    redis: Option<Redis>,
    /// A replica, and the proxy between its primary and it.
    replica: Option<(Proxy, Redis)>,
    folder: TempDir,
    settings: Vec<(String, String)>,
}

impl Topology {
    /// Starts control and a gateway on a Redis of their own.
    pub(crate) async fn on_redis() -> Self {
        Self::on_redis_with(&[]).await
    }

    /// Like [`Self::on_redis`], with these settings.
    pub(crate) async fn on_redis_with(settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let redis = redis(folder.path(), &[]).await;
        Self::on(Some(redis), folder, settings).await
    }

    /// Like [`Self::on_redis`], with a replica that must have every commit. Data takes `distance`
    /// to reach the replica.
    pub(crate) async fn with_replica(distance: Duration) -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let primary = redis(folder.path(), &[]).await;
        let way = Proxy::start(proxy::Target::Socket(primary.socket())).await;
        way.delay(distance);
        let (_, port) = way.address().rsplit_once(':').expect("a host and a port");
        let at = ["--replicaof", "127.0.0.1", port];
        let replica = redis(&folder.path().join("replica"), &at).await;
        primary.ask(&["WAIT", "1", "0"]).await;
        let settings = [("ARIZUKO_DURABILITY", "replica")];
        let stack = Self::on(Some(primary), folder, &settings).await;
        Self { replica: Some((way, replica)), ..stack }
    }

    /// Starts `arizuko up` on the embedded store.
    pub(crate) async fn embedded() -> Self {
        Self::embedded_with(&[]).await
    }

    /// Like [`Self::embedded`], with these settings.
    pub(crate) async fn embedded_with(settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        Self::on(None, folder, settings).await
    }

    async fn on(redis: Option<Redis>, folder: TempDir, settings: &[(&str, &str)]) -> Self {
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = settings.collect();
        let mut stack = Self {
            gateway: SocketAddr::from(([127, 0, 0, 1], 0)),
            control: String::new(),
            key: OPERATOR_KEY.to_owned(),
            processes: Vec::new(),
            redis,
            replica: None,
            folder,
            settings,
        };
        stack.serve().await;
        stack
    }

    /// Kills control and the gateway, waits for `pause`, and starts them again on the same store.
    pub(crate) async fn restart_after(&mut self, pause: Duration) {
        self.processes.clear();
        sleep(pause).await;
        self.serve().await;
    }

    async fn serve(&mut self) {
        match &self.redis {
            Some(redis) => self.serve_on(&redis.url()).await,
            None => self.serve_embedded().await,
        }
    }

    async fn serve_on(&mut self, redis: &str) {
        let folder = self.folder.path();
        let mut control = self.program("arizuko-control");
        control.args(["--listen", "127.0.0.1:0", "--redis", redis]);
        control.env("ARIZUKO_OPERATOR_KEY", OPERATOR_KEY).env("ARIZUKO_GATEWAY_KEY", GATEWAY_KEY);
        let mut control = Process::start("control", control, folder);
        self.control = url(&control.line().await);
        let mut gateway = self.program("arizuko-gateway");
        gateway.args(["--listen", "127.0.0.1:0", "--control", &self.control]);
        gateway.env("ARIZUKO_GATEWAY_KEY", GATEWAY_KEY);
        let mut gateway = Process::start("gateway", gateway, folder);
        self.gateway = address(&url(&gateway.line().await));
        self.processes = vec![gateway, control];
    }

    async fn serve_embedded(&mut self) {
        let mut up = self.program("arizuko");
        up.args(["up", "--json", "--no-demo", "--listen", "127.0.0.1:0"]);
        up.args(["--control-listen", "127.0.0.1:0", "--data-dir"]);
        up.arg(self.folder.path().join("data"));
        let mut up = Process::start("up", up, self.folder.path());
        let said: serde_json::Value = serde_json::from_str(&up.line().await).expect("JSON");
        let word = |name: &str| said[name].as_str().expect("a text").to_owned();
        self.gateway = address(&word("gateway"));
        self.control = word("control");
        self.key = std::fs::read_to_string(word("operator_key_file")).expect("it is ours");
        self.processes = vec![up];
    }

    fn program(&self, name: &str) -> Command {
        let mut program = arizuko_tests::process::program(name, self.folder.path());
        program.envs(SETTINGS).envs(self.settings.iter().map(|(name, value)| (name, value)));
        program
    }

    /// Runs the command `arizuko` as an operator.
    pub(crate) async fn arizuko(&self, arguments: &[&str]) {
        let mut command = self.program("arizuko");
        command.env("ARIZUKO_CONTROL", &self.control).env("ARIZUKO_KEY", &self.key).args(arguments);
        run(&mut command, "").await.expect(0);
    }

    /// Returns the processes to measure.
    pub(crate) fn processes(&self) -> Processes<'_> {
        let replica = self.replica.iter().map(|(_, replica)| replica);
        let redis = self.redis.iter().chain(replica).map(Redis::process);
        Processes(self.processes.iter().chain(redis).collect())
    }

    /// Returns the folder of its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns its Redis.
    pub(crate) fn redis(&self) -> &Redis {
        self.redis.as_ref().expect("it runs on Redis")
    }

    /// Returns the URL of its Redis.
    pub(crate) fn redis_url(&self) -> String {
        self.redis().url()
    }

    /// Returns a connection to control with an operator's key.
    pub(crate) async fn operator(&self) -> Channel {
        connect(&self.control, Some(&self.key)).await
    }

    /// Issues a chat link, and returns its path.
    pub(crate) async fn issue(&self, folder: &str) -> String {
        self.issue_many(folder, 1).await.remove(0)
    }

    /// Issues chat links of one address, and returns their paths.
    pub(crate) async fn issue_many(&self, folder: &str, count: usize) -> Vec<String> {
        let mut tokens = TokenServiceClient::new(self.operator().await);
        let mut paths = Vec::new();
        for _ in 0..count {
            let request = IssueChatLinkRequest { folder: folder.to_owned(), ..Default::default() };
            let issued = tokens.issue_chat_link(request).await.expect("control issues links");
            let url = issued.into_inner().url;
            paths.push(url[url.find("/chat/").expect("a chat link")..].to_owned());
        }
        paths
    }
}

impl Topology {
    /// Revokes all links of an address. Returns how many there were.
    pub(crate) async fn revoke(&self, jid: &str) -> usize {
        let mut tokens = TokenServiceClient::new(self.operator().await);
        let request =
            RevokeTokenRequest { target: Some(Target::Jid(jid.to_owned())), dry_run: false };
        let revoked = tokens.revoke_token(request).await.expect("control revokes links");
        revoked.into_inner().revoked.len()
    }

    /// Returns how many bytes the state takes: in Redis's memory, or in SQLite's pages.
    pub(crate) async fn stored_bytes(&self) -> u64 {
        if let Some(redis) = &self.redis {
            let memory = redis.ask(&["INFO", "memory"]).await;
            let memory = String::from_utf8(memory).expect("Redis prints text");
            let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
            return used.and_then(|used| used.trim().parse().ok()).expect("Redis says it");
        }
        // The sizes of the files say little: they grow in steps, and the log is emptied at times.
        let script = "import sqlite3, sys\n\
            ask = sqlite3.connect(sys.argv[1]).execute\n\
            pages = lambda name: ask('PRAGMA ' + name).fetchone()[0]\n\
            print((pages('page_count') - pages('freelist_count')) * pages('page_size'))";
        let mut python = command("python3");
        python.args(["-c", script]).arg(self.folder().join("data/arizuko.db"));
        run(&mut python, "").await.expect(0).out.trim().parse().expect("SQLite says it")
    }
}

/// A floor in a process of its own.
pub(crate) struct Floor {
    pub(crate) address: SocketAddr,
    process: Process,
}

impl Floor {
    pub(crate) async fn start(kind: &str, argument: &str, folder: &Path) -> Self {
        let mut floor = command(env::current_exe().expect("a running program has a path"));
        floor.args(["floor", kind, argument]);
        let mut process = Process::start("floor", floor, folder);
        let address = address(&url(&process.line().await));
        Self { address, process }
    }

    pub(crate) fn processes(&self) -> Processes<'_> {
        Processes(vec![&self.process])
    }

    /// Returns the floor's own process and the Redis that it shares with a topology.
    pub(crate) fn processes_with<'a>(&'a self, topology: &'a Topology) -> Processes<'a> {
        let redis = topology.redis.iter().map(Redis::process);
        Processes([&self.process].into_iter().chain(redis).collect())
    }
}

/// Prints where a floor listens.
pub(crate) fn announce(listener: &TcpListener) {
    println!("http://{}", listener.local_addr().expect("it listens"));
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder").to_owned()
}

/// Starts a Redis that writes no files.
pub(crate) async fn redis(folder: &Path, flags: &[&str]) -> Redis {
    let flags = [&["--appendonly", "no"], flags].concat();
    Redis::with_flags(folder, folder, &flags).await
}

/// Returns the URL at the end of what a service says at its start.
fn url(line: &str) -> String {
    line.rsplit(' ').next().expect("a line has a word").to_owned()
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().expect("an address")
}
