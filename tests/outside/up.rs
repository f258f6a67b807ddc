//! `arizuko up`: everything in one process, started as a new user starts it.

use arizuko_tests::{
    Kind,
    cli::run,
    on,
    process::{Process, program},
    redis::Redis,
    tools::curl,
    within,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};
use tempfile::TempDir;
use tokio::process::Command;

on![embedded, Embedded;
    the_banner_names_a_link_that_answers_and_a_command_that_can_be_pasted,
    with_json_one_line_says_where_everything_is,
    commands_find_a_running_up_with_nothing_configured,
    ctrl_c_ends_it_cleanly_and_the_next_one_finds_everything_but_the_old_demo_link,
    a_second_up_in_the_same_folder_is_told_so,
    an_address_that_is_taken_is_told_with_what_to_do,
    what_it_keeps_is_for_its_user_alone,
    without_a_data_dir_it_uses_the_users_own,
    two_ups_in_two_folders_do_not_meet,
];
on![one_redis, OneRedis; up_can_keep_its_state_in_redis];

/// A user's machine.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("arizuko-test-").tempdir();
        let folder = folder.expect("the system has room for temporary files");
        for name in ["home", "run", "logs"] {
            fs::create_dir(folder.path().join(name)).expect("the folder is new");
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn arizuko(&self) -> Command {
        let mut arizuko = program("arizuko", self.path());
        arizuko.env_remove("RUST_LOG");
        arizuko
    }

    fn start(&self, flags: &[&str]) -> Process {
        let mut up = self.arizuko();
        up.args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--control-listen",
            "127.0.0.1:0",
        ])
        .args(flags);
        Process::start("up", up, &self.path().join("logs"))
    }

    /// Starts one and reads what it says about itself.
    async fn up(&self, flags: &[&str]) -> (Process, Value) {
        let mut up = self.start(&[&["--json"], flags].concat());
        let ready = up.line().await;
        (up, serde_json::from_str(&ready).expect("one line of JSON"))
    }

    async fn fails(&self, arguments: &[&str]) -> String {
        let outcome = run(self.arizuko().args(arguments), "").await.expect(1);
        assert_eq!(outcome.out, "", "errors go to standard error: {outcome:?}");
        assert!(
            !outcome.err.contains("panicked") && outcome.err.lines().count() <= 2,
            "{outcome:?}"
        );
        outcome.err
    }
}

fn text(document: &Value, name: &str) -> String {
    document[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {document}"))
        .to_owned()
}

/// Says something on a link and waits for the answer.
async fn answer(url: &str) -> String {
    let post = [
        "-H",
        "content-type: text/plain",
        "--data-binary",
        "hello *there*",
    ];
    let outcome = curl(&[&post[..], &[&format!("{url}?wait=15")]].concat())
        .await
        .expect(0);
    let document: Value = serde_json::from_str(&outcome.out).expect("JSON");
    text(&document["assistant"][0], "content")
}

/// The HTTP status of a link.
async fn status(url: &str) -> String {
    curl(&["--output", "/dev/null", "--write-out", "%{http_code}", url])
        .await
        .expect(0)
        .out
}

async fn the_banner_names_a_link_that_answers_and_a_command_that_can_be_pasted(_: Kind) {
    let home = Home::new();
    let mut up = home.start(&[]);
    let first = up.line().await;
    assert!(
        first.starts_with("arizuko is up · embedded store in ~/.local/share/arizuko"),
        "{first}"
    );
    let link = up.line_with("chat link").await;
    let url = link
        .split_whitespace()
        .find(|word| word.starts_with("http"))
        .expect("a URL")
        .to_owned();
    assert!(link.contains("demo"), "{link}");
    assert!(
        answer(&url).await.contains("hello"),
        "the demo agent answers what was said"
    );
    assert!(up.line_with("control").await.contains("http://127.0.0.1:"));
    let next = up.line_with("next").await;
    let command = next
        .trim_start()
        .strip_prefix("next")
        .expect("it begins so")
        .trim();
    let mut shell = home.arizuko();
    shell.arg("--version");
    let mut pasted = arizuko_tests::process::command("/bin/sh");
    pasted
        .env("HOME", home.path().join("home"))
        .env("XDG_RUNTIME_DIR", home.path().join("run"));
    let outcome = run(pasted.args(["-c", command]), "").await.expect(0);
    let minted = outcome.out.trim();
    assert_eq!(outcome.out.lines().count(), 1, "the URL alone: {outcome:?}");
    assert_eq!(status(minted).await, "200", "{outcome:?}");
    assert!(
        outcome.err.contains("web:acme") && outcome.err.contains("no agent is attached"),
        "{outcome:?}"
    );
}

async fn with_json_one_line_says_where_everything_is(_: Kind) {
    let home = Home::new();
    let folder = home.path().join("data").display().to_string();
    let (_up, ready) = home.up(&["--data-dir", &folder]).await;
    assert_eq!(text(&ready, "data_dir"), folder);
    assert!(answer(&text(&ready, "chat_url")).await.contains("hello"));
    assert_eq!(
        status(&format!("{}/healthz", text(&ready, "gateway"))).await,
        "200"
    );
    let key = fs::read_to_string(text(&ready, "operator_key_file")).expect("the key's file");
    let mut list = home.arizuko();
    list.args(["token", "list", "--json", "--control"])
        .arg(text(&ready, "control"));
    list.env("ARIZUKO_KEY", key.trim());
    let tokens = run(&mut list, "").await.expect(0).json();
    assert_eq!(tokens["tokens"][0]["jid"], "web:demo");

    let other = Home::new();
    let (_up, ready) = other
        .up(&["--no-demo", "--public-url", "https://{root}.example/"])
        .await;
    assert_eq!(ready["chat_url"], Value::Null);
    let issued = run(
        other
            .arizuko()
            .args(["token", "issue", "acme", "chat", "--json"]),
        "",
    )
    .await
    .expect(0)
    .json();
    assert_eq!(
        issued["url"],
        format!("https://acme.example/chat/{}/", text(&issued, "token"))
    );
}

async fn commands_find_a_running_up_with_nothing_configured(_: Kind) {
    let home = Home::new();
    let told = home.fails(&["token", "list"]).await;
    assert!(
        told.contains("no control at http://127.0.0.1:7070: is `arizuko up` running?"),
        "{told}"
    );
    let (mut up, _) = home.up(&["--no-demo"]).await;
    let issued = run(home.arizuko().args(["token", "issue", "acme", "chat"]), "")
        .await
        .expect(0);
    assert_eq!(status(issued.out.trim()).await, "200");
    // Also in a terminal that lacks one of the two folders.
    let mut bare = home.arizuko();
    bare.env_remove("XDG_RUNTIME_DIR")
        .args(["token", "list", "--json"]);
    assert_eq!(
        run(&mut bare, "").await.expect(0).json()["tokens"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    // What a killed one has left behind is not taken for a running one.
    up.kill();
    home.fails(&["token", "list"]).await;
    let (_up, _) = home.up(&["--no-demo"]).await;
    run(home.arizuko().args(["token", "list"]), "")
        .await
        .expect(0);
}

async fn ctrl_c_ends_it_cleanly_and_the_next_one_finds_everything_but_the_old_demo_link(_: Kind) {
    let home = Home::new();
    let (mut up, ready) = home.up(&[]).await;
    let demo = text(&ready, "chat_url");
    let (_, token) = demo.split_once("/chat/").expect("a chat link");
    let token = token.trim_end_matches('/').to_owned();
    assert!(answer(&demo).await.contains("hello"));
    let kept = run(
        home.arizuko()
            .args(["token", "issue", "acme", "chat", "--json"]),
        "",
    )
    .await
    .expect(0)
    .json();
    let posted = [
        "-H",
        "content-type: text/plain",
        "--data-binary",
        "kept",
        &text(&kept, "url"),
    ];
    let posted: Value = serde_json::from_str(&curl(&posted).await.expect(0).out).expect("JSON");
    let stream = format!("{}{}/sse", text(&kept, "url"), text(&posted, "turn_id"));
    let reader = Process::start(
        "curl",
        {
            let mut curl = Command::new("curl");
            curl.args(["-sN", &stream]);
            curl
        },
        &home.path().join("logs"),
    );
    up.signal(Signal::SIGINT);
    assert_eq!(up.exit().await.code(), Some(0), "{}", up.said());
    drop(reader);
    home.fails(&["token", "list"]).await;

    let (mut up, ready) = home.up(&[]).await;
    let gateway = text(&ready, "gateway");
    let path = format!(
        "{gateway}/chat/{}/{}",
        text(&kept, "token"),
        text(&posted, "turn_id")
    );
    let turn: Value = serde_json::from_str(&curl(&[&path]).await.expect(0).out).expect("JSON");
    assert_eq!(
        (&turn["status"], &turn["user"]["content"]),
        (&"queued".into(), &"kept".into())
    );
    assert_eq!(
        status(&format!("{gateway}/chat/{token}/")).await,
        "401",
        "the last demo link"
    );
    assert!(answer(&text(&ready, "chat_url")).await.contains("hello"));
    up.signal(Signal::SIGTERM);
    assert_eq!(up.exit().await.code(), Some(0));
}

async fn a_second_up_in_the_same_folder_is_told_so(_: Kind) {
    let home = Home::new();
    let (_up, ready) = home.up(&[]).await;
    let any = ["--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"];
    let told = home.fails(&[&["up"], &any[..]].concat()).await;
    assert!(
        told.contains("arizuko") && told.contains("--data-dir"),
        "{told}"
    );
    assert!(
        answer(&text(&ready, "chat_url")).await.contains("hello"),
        "the first goes on"
    );
}

async fn an_address_that_is_taken_is_told_with_what_to_do(_: Kind) {
    let home = Home::new();
    let (_up, ready) = home.up(&["--no-demo"]).await;
    let taken = text(&ready, "gateway")
        .trim_start_matches("http://")
        .to_owned();
    let folder = home.path().join("other").display().to_string();
    let told = home
        .fails(&[
            "up",
            "--listen",
            &taken,
            "--control-listen",
            "127.0.0.1:0",
            "--data-dir",
            &folder,
        ])
        .await;
    assert!(told.contains(&taken) && told.contains("--listen"), "{told}");
}

async fn what_it_keeps_is_for_its_user_alone(_: Kind) {
    let home = Home::new();
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    // Also in a folder that was there before, and that others may look into.
    let (fresh, open) = (home.path().join("fresh"), home.path().join("open"));
    fs::create_dir(&open).expect("the folder is new");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).expect("it is ours");
    for folder in [&fresh, &open] {
        let (_up, ready) = home
            .up(&["--data-dir", &folder.display().to_string()])
            .await;
        answer(&text(&ready, "chat_url")).await;
        let files = fs::read_dir(folder).expect("it is a folder");
        let files = files.map(|entry| entry.expect("it is readable").path());
        let secret =
            |path: &Path| path.to_string_lossy().contains(".db") || path.ends_with("operator.key");
        let files: Vec<_> = files.filter(|path| secret(path)).collect();
        assert!(files.len() >= 2, "{files:?}");
        for path in files {
            assert_eq!(
                mode(&path) & 0o077,
                0,
                "{}: {:o}",
                path.display(),
                mode(&path)
            );
        }
    }
    assert_eq!(mode(&fresh), 0o700);
    let running = home.path().join("run/arizuko/running.json");
    assert_eq!(mode(&running) & 0o077, 0, "{:o}", mode(&running));
}

async fn without_a_data_dir_it_uses_the_users_own(_: Kind) {
    let home = Home::new();
    let (up, ready) = home.up(&["--no-demo"]).await;
    let expected = home.path().join("home/.local/share/arizuko");
    assert_eq!(text(&ready, "data_dir"), expected.display().to_string());
    drop(up);
    let elsewhere = home.path().join("xdg");
    let mut up = home.arizuko();
    up.env("XDG_DATA_HOME", &elsewhere).args([
        "up",
        "--json",
        "--no-demo",
        "--listen",
        "127.0.0.1:0",
        "--control-listen",
        "127.0.0.1:0",
    ]);
    let mut up = Process::start("up", up, &home.path().join("logs"));
    let ready: Value = serde_json::from_str(&up.line().await).expect("one line of JSON");
    assert_eq!(
        text(&ready, "data_dir"),
        elsewhere.join("arizuko").display().to_string()
    );
}

async fn two_ups_in_two_folders_do_not_meet(_: Kind) {
    let home = Home::new();
    let (_first, one) = home.up(&[]).await;
    let folder = home.path().join("other").display().to_string();
    let (_second, two) = home.up(&["--data-dir", &folder]).await;
    assert!(answer(&text(&one, "chat_url")).await.contains("hello"));
    assert!(answer(&text(&two, "chat_url")).await.contains("hello"));
    let path = text(&one, "chat_url")
        .split_once("/chat/")
        .map(|(_, path)| path.to_owned())
        .expect("a link");
    assert_eq!(
        status(&format!("{}/chat/{path}", text(&two, "gateway"))).await,
        "401"
    );
}

async fn up_can_keep_its_state_in_redis(_: Kind) {
    let home = Home::new();
    let redis = Redis::start(&home.path().join("redis"), &home.path().join("logs")).await;
    let flags = ["--redis", &redis.url(), "--redis-prefix", "tenant"];
    let (mut up, ready) = home.up(&flags).await;
    assert!(answer(&text(&ready, "chat_url")).await.contains("hello"));
    let issued = run(
        home.arizuko()
            .args(["token", "issue", "acme", "chat", "--json"]),
        "",
    )
    .await
    .expect(0)
    .json();
    up.kill();
    let keys = redis.ask(&["--scan"]).await;
    let keys = String::from_utf8_lossy(&keys).into_owned();
    assert!(
        keys.lines().count() > 3 && keys.lines().all(|key| key.starts_with("tenant:")),
        "{keys}"
    );
    let (_up, ready) = within("the next up", home.up(&flags)).await;
    let kept = format!(
        "{}/chat/{}/",
        text(&ready, "gateway"),
        text(&issued, "token")
    );
    assert_eq!(status(&kept).await, "200");
}
