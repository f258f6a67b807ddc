//! Redis with fail-over: a primary with replicas and Sentinels, or a Cluster of three primaries and
//! three replicas.

use crate::{
    process::{Process, command},
    stack::free_port,
    until, within,
};
use nix::sys::signal::Signal;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::sleep;

/// How long a server is unreachable before it counts as lost, in milliseconds.
const DOWN_AFTER: &str = "1000";
/// The file with the settings of a server.
const CONFIG: &str = "redis.conf";
/// The name by which the Sentinels know the primary.
const NAME: &str = "main";

/// The servers of a Redis with Sentinels, or of a Cluster.
pub struct Fleet {
    url: String,
    servers: Vec<Server>,
    /// The Sentinels' ports; empty in a Cluster.
    sentinels: Vec<u16>,
    _sentinels: Vec<Process>,
}

struct Server {
    name: String,
    port: u16,
    files: PathBuf,
    logs: PathBuf,
    process: Process,
}

impl Fleet {
    /// Starts one primary, two replicas and three Sentinels.
    pub async fn with_sentinels(folder: &Path, logs: &Path) -> Self {
        let mut servers: Vec<Server> = Vec::new();
        for number in 0..3 {
            let primary = servers.first().map(|first| first.port.to_string());
            let flags = match &primary {
                Some(port) => vec!["--replicaof", "127.0.0.1", port],
                None => Vec::new(),
            };
            servers.push(Server::start(number, folder, logs, &flags).await);
        }
        ask(servers[0].port, &["SET", "begun", "1"]).await;
        reach(servers[0].port, "2").await;
        let (mut sentinels, mut hosts) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let port = free_port();
            let config = folder.join(format!("sentinel-{number}.conf"));
            let primary = servers[0].port;
            let text = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds {NAME} {DOWN_AFTER}\n\
                 sentinel failover-timeout {NAME} 5000\n",
                folder.display()
            );
            fs::write(&config, text).expect("the stack's folder is ours");
            let mut sentinel = command("redis-server");
            sentinel.arg(&config).arg("--sentinel");
            let mut process = Process::start(&format!("sentinel-{number}"), sentinel, logs);
            process.line_with("+monitor master").await;
            sentinels.push(process);
            hosts.push(port);
        }
        for port in &hosts {
            // Sentinels cannot replace a primary before they know each other and its replicas.
            until("the Sentinels to know each other and the replicas", async || {
                let known = ask(*port, &["SENTINEL", "MASTER", NAME]).await;
                let lines: Vec<&str> = known.lines().collect();
                let is = |name, value| lines.windows(2).any(|pair| pair == [name, value]);
                is("num-slaves", "2") && is("num-other-sentinels", "2")
            })
            .await;
        }
        let addresses: Vec<_> = hosts.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        Self {
            url: format!("redis-sentinel://{}/{NAME}", addresses.join(",")),
            servers,
            sentinels: hosts,
            _sentinels: sentinels,
        }
    }

    /// Starts three primaries, each with a replica.
    pub async fn cluster(folder: &Path, logs: &Path) -> Self {
        let mut servers = Vec::new();
        for number in 0..6 {
            let bus = free_port().to_string();
            let flags = [
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                DOWN_AFTER,
                "--cluster-port",
                &bus,
            ];
            servers.push(Server::start(number, folder, logs, &flags).await);
        }
        let hosts: Vec<_> =
            servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        let mut create = command("redis-cli");
        create.args(["--cluster", "create"]).args(&hosts);
        create.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let created = within("a Cluster", create.output()).await;
        let created = created.expect("redis-cli is in Debian's redis-tools");
        assert!(created.status.success(), "{created:?}");
        for server in &servers {
            until("the Cluster to be whole", async || {
                let info = ask(server.port, &["CLUSTER", "INFO"]).await;
                let nodes = ask(server.port, &["CLUSTER", "NODES"]).await;
                info.contains("cluster_state:ok")
                    && nodes.matches("slave").count() == 3
                    && !nodes.contains("handshake")
            })
            .await;
        }
        for server in &servers {
            if ask(server.port, &["ROLE"]).await.starts_with("master") {
                until("the primary to have its replica", async || {
                    let info = ask(server.port, &["INFO", "replication"]).await;
                    info.contains("connected_slaves:1") && info.contains("state=online")
                })
                .await;
            }
        }
        let seeds = hosts[..3].join(",");
        Self {
            url: format!("redis-cluster://{seeds}"),
            servers,
            sentinels: Vec::new(),
            _sentinels: Vec::new(),
        }
    }

    /// Returns the URL for control's `--redis`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the index of the primary that has a key whose name ends with `key`.
    pub async fn primary_of(&self, key: &str) -> usize {
        for (index, server) in self.servers.iter().enumerate() {
            if !server.process.is_running() {
                continue;
            }
            let pattern = format!("*{key}");
            let found = ask(server.port, &["--scan", "--pattern", &pattern]).await;
            if !found.trim().is_empty() && ask(server.port, &["ROLE"]).await.starts_with("master") {
                return index;
            }
        }
        panic!("no primary has a key {key}");
    }

    /// Waits until the first replica has everything that its primary has now.
    pub async fn replicated(&self, primary: usize) {
        let port = self.servers[primary].port;
        // The lines are `master`, its offset, and the host, port and offset of each replica.
        let role = ask(port, &["ROLE"]).await;
        let written: u64 = role.lines().nth(1).and_then(|at| at.parse().ok()).expect("a primary");
        until("a replica to reach the primary's offset", async || {
            let role = ask(port, &["ROLE"]).await;
            let reached = role.lines().nth(4).and_then(|at| at.parse().ok());
            reached.is_some_and(|reached: u64| reached >= written)
        })
        .await;
    }

    /// Returns how many servers there are, the Sentinels aside.
    #[expect(clippy::len_without_is_empty, reason = "a fleet is never empty")]
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Waits until every server is a primary whose replicas all keep up, or such a replica.
    pub async fn settle(&self) {
        let replicas = if self.sentinels.is_empty() { 1 } else { 2 };
        let whole = async |server: &Server| {
            let role = ask(server.port, &["INFO", "replication"]).await;
            let online = role.matches("state=online").count();
            match role.contains("role:master") {
                true => online == replicas,
                false => role.contains("master_link_status:up"),
            }
        };
        let mut settled = 0;
        // Requires this twice in a row, since a server that comes back believes for a moment that
        // it is a primary.
        while settled < 2 {
            settled += 1;
            for server in &self.servers {
                if !whole(server).await {
                    settled = 0;
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Cuts all connections of clients to a server.
    pub async fn cut(&self, index: usize) {
        for kind in ["NORMAL", "PUBSUB"] {
            ask(self.servers[index].port, &["CLIENT", "KILL", "TYPE", kind]).await;
        }
    }

    /// Kills a server.
    pub fn kill(&mut self, index: usize) {
        self.servers[index].process.kill();
    }

    /// Starts a server again with its files.
    pub async fn restart(&mut self, index: usize) {
        let server = &mut self.servers[index];
        let place = (server.name.as_str(), server.port);
        server.process = serve(place, &server.files, &server.logs).await;
    }

    /// Returns the indexes of the replicas of a primary.
    pub async fn replicas_of(&self, primary: usize) -> Vec<usize> {
        let primary = self.servers[primary].port.to_string();
        let mut replicas = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            // The first lines of a replica are `slave`, and its primary's host and port.
            let role = ask(server.port, &["ROLE"]).await;
            if role.lines().nth(2) == Some(&primary) {
                replicas.push(index);
            }
        }
        replicas
    }

    /// Waits until a replica has become a primary.
    pub async fn promoted(&self, replica: usize) {
        let port = self.servers[replica].port;
        until("the replica to be promoted", async || {
            ask(port, &["ROLE"]).await.starts_with("master")
        })
        .await;
    }

    /// Returns how many times a server has run a command.
    pub async fn calls(&self, index: usize, command: &str) -> u64 {
        let statistics = ask(self.servers[index].port, &["INFO", "commandstats"]).await;
        let prefix = format!("cmdstat_{command}:calls=");
        let calls = statistics.lines().find_map(|line| line.strip_prefix(&prefix));
        let calls = calls.and_then(|calls| calls.split(',').next());
        calls.and_then(|calls| calls.parse().ok()).unwrap_or_default()
    }

    /// Sends a signal to servers.
    pub fn signal(&self, servers: &[usize], signal: Signal) {
        for index in servers {
            self.servers[*index].process.signal(signal);
        }
    }

    /// Makes the Sentinels replace a running primary. Then makes the old primary a replica of an
    /// address where nobody answers, so that its data stays as it was.
    pub async fn demote(&self, primary: usize) {
        let (port, sentinel) = (self.servers[primary].port, self.sentinels[0]);
        ask(sentinel, &["SENTINEL", "FAILOVER", NAME]).await;
        until("the primary to be a replica", async || {
            ask(port, &["ROLE"]).await.starts_with("slave")
        })
        .await;
        ask(port, &["REPLICAOF", "127.0.0.1", &free_port().to_string()]).await;
    }

    /// Moves the slot of a key to another primary, one key at a time.
    pub async fn migrate(&self, key: &str) {
        let from = self.primary_of(key).await;
        let source = self.servers[from].port;
        let full = ask(source, &["--scan", "--pattern", &format!("*{key}")]).await;
        let full = full.lines().next().expect("it was just found").to_owned();
        let slot = ask(source, &["CLUSTER", "KEYSLOT", &full]).await.trim().to_owned();
        let mut to = None;
        for (index, server) in self.servers.iter().enumerate() {
            if index != from && ask(server.port, &["ROLE"]).await.starts_with("master") {
                to = Some(server.port);
            }
        }
        let target = to.expect("there are three primaries");
        let id = async |port| ask(port, &["CLUSTER", "MYID"]).await.trim().to_owned();
        let (from_id, to_id) = (id(source).await, id(target).await);
        ask(target, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
        ask(source, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
        loop {
            let keys = ask(source, &["CLUSTER", "GETKEYSINSLOT", &slot, "1"]).await;
            let Some(key) = keys.lines().next().filter(|key| !key.is_empty()) else {
                break;
            };
            let port = target.to_string();
            ask(source, &["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
        }
        for port in [target, source] {
            ask(port, &["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
        }
    }
}

impl Server {
    async fn start(number: usize, folder: &Path, logs: &Path, flags: &[&str]) -> Self {
        let (name, port) = (format!("redis-{number}"), free_port());
        let files = folder.join(&name);
        fs::create_dir_all(&files).expect("the stack's folder is ours");
        // Sentinels write the server's role into this file, so that the server still has it after a
        // restart.
        let config = flags.join(" ").replace("--", "\n");
        fs::write(files.join(CONFIG), config).expect("the stack's folder is ours");
        let process = serve((&name, port), &files, logs).await;
        Self { name, port, files, logs: logs.to_owned(), process }
    }
}

async fn serve((name, port): (&str, u16), files: &Path, logs: &Path) -> Process {
    let mut redis = command("redis-server");
    redis.arg(files.join(CONFIG));
    redis.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    redis.args(["--appendonly", "yes", "--appendfsync", "always"]);
    redis.arg("--dir").arg(files);
    let mut process = Process::start(name, redis, logs);
    process.line_with("eady to accept connections").await;
    process
}

/// Waits until this many replicas have everything that the primary has.
async fn reach(port: u16, replicas: &str) {
    let reached = ask(port, &["WAIT", replicas, "15000"]).await;
    assert_eq!(reached.trim(), replicas, "replicas that have it");
}

/// Runs `redis-cli` and returns the server's answer.
async fn ask(port: u16, arguments: &[&str]) -> String {
    let mut cli = command("redis-cli");
    cli.args(["-p", &port.to_string()]).args(arguments);
    let answer = within("redis-cli", cli.output()).await;
    let answer = answer.expect("redis-cli is in Debian's redis-tools");
    String::from_utf8_lossy(&answer.stdout).into_owned()
}
