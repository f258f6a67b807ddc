//! Control and gateway as separate processes: which settings they need, and how they share a store.

mod deployments;

use arizuko_tests::prelude::*;
use std::{net::TcpListener, os::unix::fs::PermissionsExt as _};

async fn control(folder: &Path, keys: [&str; 2], flags: &[&str]) -> Outcome {
    let mut control = program("arizuko-control", folder);
    control.env("ARIZUKO_CONTROL_LISTEN", "127.0.0.1:0");
    control.args(flags);
    for (name, key) in ["ARIZUKO_OPERATOR_KEY", "ARIZUKO_GATEWAY_KEY"].iter().zip(keys) {
        if !key.is_empty() {
            control.env(name, key);
        }
    }
    run(&mut control, "").await
}

/// Asserts that a program failed with this error.
fn says(outcome: Outcome, told: &str) {
    assert!([Some(1), Some(2)].contains(&outcome.code), "{outcome:?}");
    assert!(outcome.err.contains(told) && outcome.out.is_empty(), "{told}: {outcome:?}");
    assert!(!outcome.err.contains("panicked"), "{outcome:?}");
}

#[apply(embedded)]
async fn a_control_with_wrong_settings_says_why_and_does_not_start() {
    let folder = Folder::new();
    let at = folder.path();
    let data = at.join("data").display().to_string();
    let (one, other) = (random_id(), random_id());
    let redis = ["--redis", "http://127.0.0.1:1/"];
    let embedded = ["--data-dir", data.as_str()];
    says(control(at, ["", ""], &[]).await, "--data-dir");
    says(control(at, [&one, &other], &redis).await, "the URL of Redis is malformed");
    says(control(at, [&one, "short"], &embedded).await, "32 characters");
    says(control(at, [&one, &one], &embedded).await, "must differ");
    let open = ["--listen", "0.0.0.0:0"];
    says(control(at, [&one, &other], &[&embedded[..], &open].concat()).await, "--plaintext");
    let url = ["--public-url", "acme.example"];
    says(control(at, [&one, &other], &[&embedded[..], &url].concat()).await, "--public-url");
    let large = ["--hook-bytes", "16777217"];
    says(control(at, [&one, &other], &[&embedded[..], &large].concat()).await, "16 MiB");
    let unknown = ["--nonsense"];
    says(control(at, [&one, &other], &unknown).await, "--nonsense");
    // The errors don't contain the keys.
    for outcome in
        [control(at, [&one, &other], &redis).await, control(at, [&one, &one], &embedded).await]
    {
        assert!(!outcome.err.contains(&one) && !outcome.err.contains(&other), "{outcome:?}");
    }
}

#[apply(embedded)]
async fn an_empty_variable_is_unset_and_one_that_nothing_reads_is_told() {
    let folder = Folder::new();
    let data = folder.path().join("data").display().to_string();
    let (keys, variables) = (
        [random_id(), random_id()],
        [("ARIZUKO_TURN_DEADLINE", ""), ("ARIZUKO_REDIS", ""), ("ARIZUKO_TURN_DEADLIN", "1m")],
    );
    let mut control = program("arizuko-control", folder.path());
    control.args(["--listen", "127.0.0.1:0", "--data-dir", &data]).envs(variables);
    control.env("ARIZUKO_OPERATOR_KEY", &keys[0]).env("ARIZUKO_GATEWAY_KEY", &keys[1]);
    let mut up = program("arizuko", folder.path());
    up.args(["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"]).envs(variables);
    up.env("ARIZUKO_PUBLIC_URL", "").env("ARIZUKO_KEY_FILE", "for other commands");
    for (name, command) in [("control", control), ("up", up)] {
        let mut process = Process::start(name, command, &folder.logs());
        process.line().await;
        let said = process.said();
        let told: Vec<_> =
            said.lines().filter(|line| line.contains("nothing here reads")).collect();
        assert_eq!(told.len(), 1, "{said}");
        assert!(told[0].contains("ARIZUKO_TURN_DEADLIN is set"), "{said}");
    }
}

#[apply(embedded)]
async fn a_gateway_refuses_a_limit_that_control_does_not_have() {
    let folder = Folder::new();
    let start = async |name: &str, arguments: &[&str]| {
        let arguments = [arguments, &["--hook-body-bytes", "16777217"]].concat();
        run(program(name, folder.path()).args(arguments), "").await
    };
    let told = "--hook-body-bytes is at most 16777216 (16 MiB)";
    // A random key may begin with a hyphen.
    let key = format!("-{}", random_id());
    let gateway = ["--listen", "127.0.0.1:0", "--gateway-key", &key];
    says(start("arizuko-gateway", &gateway).await, told);
    let up = ["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"];
    says(start("arizuko", &up).await, told);
}

#[apply(embedded)]
async fn secrets_come_from_files_that_are_private() {
    let folder = Folder::new();
    let at = folder.path();
    let path = |name: &str| at.join(name).display().to_string();
    let (operator, gateway, data) = (path("operator"), path("gateway"), path("data"));
    let keys = [random_id() + &random_id(), random_id() + &random_id()];
    for (file, key) in [&operator, &gateway].into_iter().zip(&keys) {
        write_secret(Path::new(file), &format!("{key}\n"));
    }
    let files = ["--operator-key-file", &operator, "--gateway-key-file", &gateway];
    let embedded = [&files[..], &["--data-dir", &data, "--listen", "127.0.0.1:0"]].concat();
    let set_mode = |path: &str, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    for mode in [0o640, 0o602, 0o644] {
        set_mode(&operator, mode);
        says(control(at, ["", ""], &embedded).await, "chmod 600");
    }
    set_mode(&operator, 0o600);
    says(control(at, [&keys[0], ""], &embedded).await, "not both");
    let twice = ["--gateway-key", &keys[1], "--gateway-key-file", &gateway];
    let mut start = program("arizuko-gateway", at);
    says(run(start.args(["--listen", "127.0.0.1:0"]).args(twice), "").await, "not both");
    fs::create_dir(&data).expect("it is new");
    set_mode(&data, 0o750);
    says(control(at, ["", ""], &embedded).await, "chmod 700");
    let mut up = program("arizuko", at);
    up.args(["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"]);
    says(run(up.args(["--data-dir", &data]), "").await, "chmod 700");
    set_mode(&data, 0o700);
    let mut started = program("arizuko-control", at);
    started.args(&embedded);
    let mut started = Process::start("control", started, &folder.logs());
    let line = started.line_with("listens on ").await;
    let url = line.split_whitespace().next_back().expect("a URL");
    let list = |mode| {
        set_mode(&operator, mode);
        let mut list = program("arizuko", at);
        list.args(["token", "list", "--control", url, "--key-file", &operator]);
        async move { run(&mut list, "").await }
    };
    list(0o400).await.expect(0);
    says(list(0o444).await, "chmod 600");

    let remote = ["--redis", "redis://192.0.2.1:6379/"];
    says(control(at, [&keys[0], &keys[1]], &remote).await, "--redis-plaintext");
    let url = path("redis-url");
    write_secret(Path::new(&url), "rediss://192.0.2.1:6379/");
    let remote = ["--redis-file", url.as_str()];
    says(control(at, [&keys[0], &keys[1]], &remote).await, "--redis-plaintext");

    // The units' credential for a key is an empty line if the key's file is missing.
    set_mode(&operator, 0o600);
    fs::write(&operator, "\n").expect("it is ours");
    let data = path("new");
    let embedded = [&files[..], &["--data-dir", &data]].concat();
    let mut unit = program("arizuko-control", at);
    unit.env("CREDENTIALS_DIRECTORY", at).args(&embedded);
    says(run(&mut unit, "").await, "set ARIZUKO_OPERATOR_KEY");
    says(control(at, ["", ""], &embedded).await, "is empty");
}

#[apply(embedded)]
async fn a_gateway_with_wrong_settings_says_why_and_does_not_start() {
    let folder = Folder::new();
    let start = |flags: &[&str], key: &str| {
        let mut gateway = program("arizuko-gateway", folder.path());
        gateway.args(["--listen", "127.0.0.1:0"]).args(flags);
        if !key.is_empty() {
            gateway.env("ARIZUKO_GATEWAY_KEY", key);
        }
        async move { run(&mut gateway, "").await }
    };
    says(start(&[], "").await, "--gateway-key");
    says(start(&["--control", "no url"], "x").await, "no url");
    says(start(&["--trusted-proxy", "everybody"], "x").await, "everybody");
    let occupant = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let used = occupant.local_addr().expect("it is bound").to_string();
    let mut gateway = program("arizuko-gateway", folder.path());
    gateway.args(["--listen", &used, "--gateway-key", "x"]);
    says(run(&mut gateway, "").await, &used);
    drop(occupant);
}

/// One control and one gateway, started by hand.
struct Pair {
    _control: Process,
    _gateway: Process,
    control: String,
    gateway: String,
    operator: String,
}

impl Pair {
    async fn start(name: &str, folder: &Path, store: &[&str]) -> Self {
        let (operator, key) = (random_id(), random_id());
        let logs = folder.join("logs");
        let mut command = program("arizuko-control", folder);
        command.args(["--listen", "127.0.0.1:0"]).args(store);
        command.env("ARIZUKO_OPERATOR_KEY", &operator);
        command.env("ARIZUKO_GATEWAY_KEY", &key);
        let mut control = Process::start(&format!("{name}-control"), command, &logs);
        let url = |line: String| line.rsplit(' ').next().map(str::to_owned).expect("a URL");
        let control_url = url(control.line().await);
        let mut command = program("arizuko-gateway", folder);
        command.args(["--listen", "127.0.0.1:0", "--control", &control_url]);
        command.env("ARIZUKO_GATEWAY_KEY", &key);
        let mut gateway = Process::start(&format!("{name}-gateway"), command, &logs);
        let gateway_url = url(gateway.line().await);
        Self {
            _control: control,
            _gateway: gateway,
            control: control_url,
            gateway: gateway_url,
            operator,
        }
    }

    async fn arizuko(&self, folder: &Path, arguments: &[&str]) -> Value {
        let mut arizuko = program("arizuko", folder);
        arizuko.env("ARIZUKO_CONTROL", &self.control).env("ARIZUKO_KEY", &self.operator);
        run(arizuko.args(arguments).arg("--json"), "").await.expect(0).json()
    }

    async fn status(&self, token: &Value) -> String {
        let url = format!("{}/chat/{}/", self.gateway, token.as_str().unwrap_or_default());
        let arguments = ["--output", "/dev/null", "--write-out", "%{http_code}", &url];
        curl(&arguments).await.expect(0).out
    }
}

#[apply(embedded)]
async fn a_control_on_the_embedded_store_serves_a_gateway_of_its_own() {
    let folder = Folder::new();
    let data = folder.path().join("data").display().to_string();
    let pair = Pair::start("one", folder.path(), &["--data-dir", &data]).await;
    let issued = pair.arizuko(folder.path(), &["token", "issue", "acme", "chat"]).await;
    assert_eq!(pair.status(&issued["token"]).await, "200");
    // Only one process at a time may open the store.
    let (one, other) = (random_id(), random_id());
    says(control(folder.path(), [&one, &other], &["--data-dir", &data]).await, &data);
    assert_eq!(pair.status(&issued["token"]).await, "200");
}

#[apply(one_redis)]
async fn two_prefixes_in_one_redis_are_separate() {
    let folder = Folder::new();
    let at = folder.path();
    let redis = Redis::start(&at.join("redis"), &at.join("logs")).await;
    let url = redis.url();
    let one = Pair::start("one", at, &["--redis", &url, "--redis-prefix", "one"]).await;
    let other = Pair::start("other", at, &["--redis", &url, "--redis-prefix", "other"]).await;
    let issued = one.arizuko(at, &["token", "issue", "acme", "chat"]).await;
    assert_eq!(one.status(&issued["token"]).await, "200");
    assert_eq!(other.status(&issued["token"]).await, "401");
    assert_eq!(
        other.arizuko(at, &["token", "list"]).await["tokens"].as_array().map(Vec::len),
        Some(0)
    );
    let keys = String::from_utf8_lossy(&redis.ask(&["--scan"]).await).into_owned();
    assert!(keys.lines().all(|key| key.starts_with("one:") || key.starts_with("other:")), "{keys}");
}
