//! Where `arizuko up` keeps its state.

use super::{Home, answer, status, text};
use arizuko_tests::prelude::*;
use std::os::unix::fs::PermissionsExt as _;

#[apply(embedded)]
async fn only_the_user_can_read_the_data_folder() {
    let home = Home::new();
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let fresh = home.path().join("fresh");
    let (_up, ready) = home.up(&["--data-dir", &fresh.display().to_string()]).await;
    answer(&text(&ready, "chat_url")).await;
    let files = fs::read_dir(&fresh).expect("it is a folder");
    let files = files.map(|entry| entry.expect("it is readable").path());
    let secret =
        |path: &Path| path.to_string_lossy().contains(".db") || path.ends_with("operator.key");
    let files: Vec<_> = files.filter(|path| secret(path)).collect();
    assert!(files.len() >= 2, "{files:?}");
    for path in files {
        assert_eq!(mode(&path) & 0o077, 0, "{}: {:o}", path.display(), mode(&path));
    }
    assert_eq!(mode(&fresh), 0o700);
    let running = home.path().join("run/arizuko/running.json");
    assert_eq!(mode(&running) & 0o077, 0, "{:o}", mode(&running));
}

#[apply(embedded)]
async fn without_a_data_dir_up_uses_the_users_data_folder() {
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
    assert_eq!(text(&ready, "data_dir"), elsewhere.join("arizuko").display().to_string());
}

#[apply(one_redis)]
async fn up_can_keep_its_state_in_redis() {
    let home = Home::new();
    let redis = Redis::start(&home.path().join("redis"), &home.path().join("logs")).await;
    let file = home.path().join("redis.url");
    write_secret(&file, &format!("{}\n", redis.url()));
    let file = file.display().to_string();
    let flags = ["--redis-file", &file, "--redis-prefix", "tenant"];
    let (mut up, ready) = home.up(&flags).await;
    assert!(answer(&text(&ready, "chat_url")).await.contains("hello"));
    let issued = run(home.arizuko().args(["token", "issue", "acme", "chat", "--json"]), "")
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
    let kept = format!("{}/chat/{}/", text(&ready, "gateway"), text(&issued, "token"));
    assert_eq!(status(&kept).await, "200");
}
