//! Redis over TLS: one server, a primary that a Sentinel names, a Cluster.

use arizuko_tests::prelude::*;

/// A Redis that accepts only TLS connections.
struct Redis {
    folder: Folder,
    authority: Authority,
    server: Certificate,
    port: u16,
    processes: Vec<Process>,
}

impl Redis {
    async fn start(flags: &[&str]) -> Self {
        let folder = Folder::new();
        let authority = Authority::new(&folder.path().join("tls")).await;
        let server = authority.issue("redis", &["IP:127.0.0.1"]).await;
        let port = free_port();
        let mut redis = Self { folder, authority, server, port, processes: Vec::new() };
        let mut server = command("redis-server");
        server.args(redis.options(port)).args(flags);
        redis.add("redis", server, "eady to accept connections").await;
        redis
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn options(&self, port: u16) -> Vec<String> {
        let file = |path: &Path| path.display().to_string();
        let ca = file(&self.authority.file());
        let (cert, key) = (file(&self.server.cert), file(&self.server.key));
        let (port, dir) = (port.to_string(), file(self.path()));
        let options = [
            ["--port", "0"],
            ["--tls-port", &port],
            ["--bind", "127.0.0.1"],
            ["--tls-cert-file", &cert],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &ca],
            ["--tls-auth-clients", "no"],
            ["--tls-replication", "yes"],
            ["--dir", &dir],
        ];
        options.as_flattened().iter().map(|word| (*word).to_owned()).collect()
    }

    async fn add(&mut self, name: &str, command: tokio::process::Command, ready: &str) {
        let mut process = Process::start(name, command, &self.path().join("logs"));
        process.line_with(ready).await;
        self.processes.push(process);
    }

    /// Asserts that no control starts on this Redis.
    async fn refused(&self, url: &str) -> Outcome {
        let mut control = program("arizuko-control", self.path());
        control.args(["--listen", "127.0.0.1:0", "--redis", url]);
        control.env("SSL_CERT_FILE", self.authority.file());
        control.env("ARIZUKO_OPERATOR_KEY", random_id()).env("ARIZUKO_GATEWAY_KEY", random_id());
        run(&mut control, "").await.expect(1)
    }

    /// Asserts that a control on this Redis issues a link and lists it.
    async fn keeps_the_state(&self, url: &str) {
        let mut control = program("arizuko-control", self.path());
        control.args(["--listen", "127.0.0.1:0", "--redis", url]);
        control.env("SSL_CERT_FILE", self.authority.file());
        let operator = random_id();
        control.env("ARIZUKO_OPERATOR_KEY", &operator);
        control.env("ARIZUKO_GATEWAY_KEY", random_id());
        let mut control = Process::start("control", control, &self.path().join("logs"));
        let line = control.line().await;
        let at = line.rsplit(' ').next().expect("a URL");
        for (arguments, told) in
            [(&["token", "issue", "acme", "chat"][..], "/chat/"), (&["token", "list"], "web:acme")]
        {
            let mut arizuko = program("arizuko", self.path());
            arizuko.env("ARIZUKO_CONTROL", at).env("ARIZUKO_KEY", &operator);
            let outcome = run(arizuko.args(arguments), "").await.expect(0);
            assert!(outcome.out.contains(told), "{outcome:?}");
        }
    }
}

#[apply(one_redis)]
async fn control_reaches_one_server_over_tls() {
    let redis = Redis::start(&[]).await;
    let url = format!("rediss://127.0.0.1:{}/", redis.port);
    redis.keeps_the_state(&url).await;
    // Without the authority, control does not trust the server and does not start.
    let mut control = program("arizuko-control", redis.path());
    control.args(["--listen", "127.0.0.1:0", "--redis", &url]);
    control.env("ARIZUKO_OPERATOR_KEY", random_id());
    control.env("ARIZUKO_GATEWAY_KEY", random_id());
    let outcome = run(&mut control, "").await.expect(1);
    assert!(outcome.err.contains("cannot use Redis at"), "{outcome:?}");
    assert!(outcome.err.contains("UnknownIssuer"), "{outcome:?}");
}

#[apply(one_redis)]
async fn control_reaches_a_sentinels_primary_over_tls_with_passwords() {
    let mut redis = Redis::start(&["--requirepass", "ours"]).await;
    let (port, primary) = (free_port(), redis.port);
    let mut config = format!(
        "requirepass theirs\nsentinel monitor main 127.0.0.1 {primary} 1\n\
         sentinel auth-pass main ours\n"
    );
    for option in redis.options(port).chunks(2) {
        config += &format!("{} {}\n", option[0].trim_start_matches("--"), option[1]);
    }
    let file = redis.path().join("sentinel.conf");
    fs::write(&file, config).expect("the folder is ours");
    let mut sentinel = command("redis-server");
    sentinel.arg(&file).arg("--sentinel");
    redis.add("sentinel", sentinel, "+monitor master").await;
    let url = format!("rediss-sentinel://:ours@127.0.0.1:{port}/main?sentinel_password=");
    redis.keeps_the_state(&format!("{url}theirs")).await;
    let outcome = redis.refused(&format!("{url}wrong")).await;
    assert!(outcome.err.contains("cannot reach Redis"), "{outcome:?}");
    assert!(!outcome.err.contains("wrong"), "no password is in the log: {outcome:?}");
}

#[apply(one_redis)]
async fn control_reaches_a_cluster_over_tls() {
    let bus = free_port().to_string();
    let flags = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port"];
    let redis = Redis::start(&[&flags[..], &[&bus]].concat()).await;
    let port = redis.port.to_string();
    let ask = async |question: &[&str]| {
        let mut cli = command("redis-cli");
        cli.args(["--tls", "-p", &port, "--cacert"]).arg(redis.authority.file());
        run(cli.args(question), "").await.expect(0).out
    };
    ask(&["cluster", "addslotsrange", "0", "16383"]).await;
    until("the Cluster to be ready", async || {
        ask(&["cluster", "info"]).await.contains("cluster_state:ok")
    })
    .await;
    let url = format!("rediss-cluster://127.0.0.1:{port}");
    redis.keeps_the_state(&url).await;
}
