//! Where `arizuko up` keeps its state.

use super::{Home, answer, status, text};
use arizuko_tests::prelude::*;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

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

#[apply(embedded)]
async fn a_store_that_cannot_be_used_is_named() {
    let home = Home::new();
    let store = data_folder(&home, "data").join("arizuko.db");
    fs::write(&store, "no database".repeat(1_000)).expect("the folder is ours");
    let told = refused(&home, "data").await;
    let expected = format!("cannot use the store in {}: file is not a database", store.display());
    assert!(told.contains(&expected), "{told}");
}

#[apply(embedded)]
async fn root_makes_no_files_in_the_folder_of_a_service() {
    let home = Home::new();
    let folder = data_folder(&home, "data");
    // Only root can give a folder away, and nobody else could use such a folder.
    let is_given = chown(&folder, Some(54_321), Some(54_321)).is_ok();
    if is_given {
        let told = refused(&home, "data").await;
        assert!(
            told.contains("run this as that user, for example with `sudo -u '#54321'`"),
            "{told}"
        );
    } else {
        assert_ne!(fs::metadata("/proc/self").expect("Linux has it").uid(), 0, "root may do that");
    }
    assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 0, "nothing is in it");
}

/// Makes a folder for this user alone.
fn data_folder(home: &Home, name: &str) -> PathBuf {
    let folder = home.path().join(name);
    fs::create_dir(&folder).expect("it is new");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("it is ours");
    folder
}

/// Starts `up` with this data folder, and returns why it refuses.
async fn refused(home: &Home, folder: &str) -> String {
    let mut up = home.arizuko();
    up.args(["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data-dir"]);
    run(up.arg(home.path().join(folder)), "").await.expect(1).err
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
