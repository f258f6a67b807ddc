//! A Redis server that Sentinels or a Cluster name is checked like a server in the URL.

use arizuko_tests::prelude::*;
use tokio::process::Command;

/// An address of another machine, from the range for documentation.
const ELSEWHERE: &str = "192.0.2.1";

async fn start(folder: &Folder, name: &str, flags: &[&str], ready: &str) -> Process {
    let mut server = command("redis-server");
    server.args(flags).arg("--dir").arg(folder.path());
    let mut process = Process::start(name, server, &folder.logs());
    process.line_with(ready).await;
    process
}

async fn ask(port: &str, question: &[&str]) -> String {
    run(command("redis-cli").args(["-p", port]).args(question), "").await.expect(0).out
}

fn control(folder: &Folder, url: &str) -> Command {
    let mut control = program("arizuko-control", folder.path());
    control.args(["--listen", "127.0.0.1:0", "--redis", url]);
    control.env("ARIZUKO_OPERATOR_KEY", random_id()).env("ARIZUKO_GATEWAY_KEY", random_id());
    control
}

/// Asserts that a control does not start, and says why.
async fn is_refused(folder: &Folder, url: &str) {
    let told = run(&mut control(folder, url), "").await.expect(1).err;
    assert!(told.contains(ELSEWHERE) && told.contains("--redis-plaintext"), "{told}");
}

#[apply(one_redis)]
async fn a_primary_elsewhere_needs_tls_and_a_password() {
    let folder = Folder::new();
    let (redis, sentinel) = (free_port().to_string(), free_port().to_string());
    let flags = ["--port", &redis, "--bind", "127.0.0.1", "--save", ""];
    let _redis = start(&folder, "redis", &flags, "eady to accept connections").await;
    let config = folder.path().join("sentinel.conf");
    let text = format!("port {sentinel}\nsentinel monitor main 127.0.0.1 {redis} 1\n");
    fs::write(&config, text).expect("the folder is ours");
    let flags = [&config.display().to_string(), "--sentinel"];
    let _sentinel = start(&folder, "sentinel", &flags, "+monitor master").await;

    let url = format!("redis-sentinel://127.0.0.1:{sentinel}/main");
    let mut running = Process::start("control", control(&folder, &url), &folder.logs());
    running.line().await;
    ask(&sentinel, &["SENTINEL", "REMOVE", "main"]).await;
    ask(&sentinel, &["SENTINEL", "MONITOR", "main", ELSEWHERE, "6379", "1"]).await;
    until("the control to refuse it", async || {
        let said = running.said();
        said.contains("refused a server of Redis") && said.contains(ELSEWHERE)
    })
    .await;
    is_refused(&folder, &url).await;
}

#[apply(one_redis)]
async fn a_server_of_a_cluster_elsewhere_needs_tls_and_a_password() {
    let folder = Folder::new();
    let (port, bus) = (free_port().to_string(), free_port().to_string());
    let flags = ["--port", &port, "--bind", "127.0.0.1", "--cluster-enabled", "yes"];
    let cluster = ["--cluster-port", &bus, "--cluster-announce-ip", ELSEWHERE];
    let flags = [&flags[..], &cluster].concat();
    let _redis = start(&folder, "redis", &flags, "eady to accept connections").await;
    ask(&port, &["cluster", "addslotsrange", "0", "16383"]).await;
    is_refused(&folder, &format!("redis-cluster://127.0.0.1:{port}")).await;
}
