//! `arizuko up` for a new user.

use super::{Home, answer, status, text};
use arizuko_tests::prelude::*;

#[apply(embedded)]
async fn the_banner_shows_a_working_link_and_a_command_to_paste() {
    let home = Home::new();
    let mut up = home.start(&[]);
    let first = up.line().await;
    assert!(
        first.starts_with("arizuko is up · embedded store in ~/.local/share/arizuko"),
        "{first}"
    );
    let link = up.line_with("chat link").await;
    let url =
        link.split_whitespace().find(|word| word.starts_with("http")).expect("a URL").to_owned();
    assert!(link.contains("demo"), "{link}");
    assert!(answer(&url).await.contains("hello"), "the demo agent answers what was said");
    assert!(up.line_with("control").await.contains("http://127.0.0.1:"));
    let next = up.line_with("next").await;
    let line = next.trim_start().strip_prefix("next").expect("it begins so").trim();
    let mut shell = home.arizuko();
    shell.arg("--version");
    let mut pasted = command("/bin/sh");
    pasted.env("HOME", home.path().join("home")).env("XDG_RUNTIME_DIR", home.path().join("run"));
    let outcome = run(pasted.args(["-c", line]), "").await.expect(0);
    let minted = outcome.out.trim();
    assert_eq!(outcome.out.lines().count(), 1, "the URL alone: {outcome:?}");
    assert_eq!(status(minted).await, "200", "{outcome:?}");
    assert!(
        outcome.err.contains("web:acme") && outcome.err.contains("no agent is attached"),
        "{outcome:?}"
    );
}

#[apply(embedded)]
async fn up_runs_where_other_commands_cannot_find_it() {
    let home = Home::new();
    // `up` can't create the folders for the file by which other commands would find it.
    for folder in ["run", "home/.local/share"] {
        let folder = home.path().join(folder);
        fs::create_dir_all(&folder).expect("it is ours");
        fs::write(folder.join("arizuko"), "").expect("it is ours");
    }
    let data = home.path().join("data").display().to_string();
    let mut up = home.start(&["--data-dir", &data]);
    let next = up.line_with("next").await;
    assert!(next.contains("--control http://127.0.0.1:"), "{next}");
    assert!(next.contains(&format!("--key-file {data}/operator.key")), "{next}");
    assert_eq!(up.said().matches("by which other commands would find this `up`").count(), 2);
}

#[apply(embedded)]
async fn with_json_up_prints_all_addresses_in_one_line() {
    let home = Home::new();
    let folder = home.path().join("data").display().to_string();
    let (_up, ready) = home.up(&["--data-dir", &folder]).await;
    assert_eq!(text(&ready, "data_dir"), folder);
    assert!(answer(&text(&ready, "chat_url")).await.contains("hello"));
    assert_eq!(status(&format!("{}/healthz", text(&ready, "gateway"))).await, "200");
    let key = fs::read_to_string(text(&ready, "operator_key_file")).expect("the key's file");
    let mut list = home.arizuko();
    list.args(["token", "list", "--json", "--control"]).arg(text(&ready, "control"));
    list.env("ARIZUKO_KEY", key.trim());
    let tokens = run(&mut list, "").await.expect(0).json();
    assert_eq!(tokens["tokens"][0]["jid"], "web:demo");

    let other = Home::new();
    let (_up, ready) = other.up(&["--no-demo", "--public-url", "https://{root}.example/"]).await;
    assert_eq!(ready["chat_url"], Value::Null);
    let issued = run(other.arizuko().args(["token", "issue", "acme", "chat", "--json"]), "")
        .await
        .expect(0)
        .json();
    assert_eq!(issued["url"], format!("https://acme.example/chat/{}/", text(&issued, "token")));
}

#[apply(embedded)]
async fn commands_find_a_running_up_with_nothing_configured() {
    let home = Home::new();
    // Another `arizuko up` on this machine may listen on the default port and answer. The error
    // names the address in either case.
    let told = home.fails(&["token", "list"]).await;
    assert!(told.contains("control at http://127.0.0.1:7070"), "{told}");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let told = home.fails(&["token", "list", "--control", &nobody]).await;
    assert!(told.contains(&format!("no control at {nobody}: is `arizuko up` running?")), "{told}");
    let (mut up, _) = home.up(&["--no-demo"]).await;
    let issued = run(home.arizuko().args(["token", "issue", "acme", "chat"]), "").await.expect(0);
    assert_eq!(status(issued.out.trim()).await, "200");
    // Commands find `up` without XDG_RUNTIME_DIR too.
    let mut bare = home.arizuko();
    bare.env_remove("XDG_RUNTIME_DIR").args(["token", "list", "--json"]);
    assert_eq!(
        run(&mut bare, "").await.expect(0).json()["tokens"].as_array().map(Vec::len),
        Some(1)
    );
    // Commands don't take the files of a killed `up` for those of a running one.
    up.kill();
    home.fails(&["token", "list"]).await;
    let (_up, _) = home.up(&["--no-demo"]).await;
    run(home.arizuko().args(["token", "list"]), "").await.expect(0);
}

#[apply(embedded)]
async fn an_address_in_use_is_an_error_that_names_the_flag() {
    let home = Home::new();
    let (_up, ready) = home.up(&["--no-demo"]).await;
    let taken = text(&ready, "gateway").trim_start_matches("http://").to_owned();
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
