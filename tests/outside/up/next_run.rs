//! Stopping `arizuko up` and starting it again.

use super::{Home, answer, status, text};
use arizuko_tests::prelude::*;
use tokio::process::Command;

#[apply(embedded)]
async fn ctrl_c_stops_up_cleanly_and_the_next_run_keeps_all_but_the_demo_link() {
    let home = Home::new();
    let (mut up, ready) = home.up(&[]).await;
    let demo = text(&ready, "chat_url");
    let (_, token) = demo.split_once("/chat/").expect("a chat link");
    let token = token.trim_end_matches('/').to_owned();
    assert!(answer(&demo).await.contains("hello"));
    let kept = run(home.arizuko().args(["token", "issue", "acme", "chat", "--json"]), "")
        .await
        .expect(0)
        .json();
    let posted = ["-H", "content-type: text/plain", "--data-binary", "kept", &text(&kept, "url")];
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
    let path = format!("{gateway}/chat/{}/{}", text(&kept, "token"), text(&posted, "turn_id"));
    let turn: Value = serde_json::from_str(&curl(&[&path]).await.expect(0).out).expect("JSON");
    assert_eq!((&turn["status"], &turn["user"]["content"]), (&"queued".into(), &"kept".into()));
    assert_eq!(status(&format!("{gateway}/chat/{token}/")).await, "401", "the last demo link");
    assert!(answer(&text(&ready, "chat_url")).await.contains("hello"));
    up.signal(Signal::SIGTERM);
    assert_eq!(up.exit().await.code(), Some(0));
}

#[apply(embedded)]
async fn a_second_up_in_the_same_folder_is_refused() {
    let home = Home::new();
    let (_up, ready) = home.up(&[]).await;
    let any = ["--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"];
    let told = home.fails(&[&["up"], &any[..]].concat()).await;
    assert!(told.contains("arizuko") && told.contains("--data-dir"), "{told}");
    assert!(answer(&text(&ready, "chat_url")).await.contains("hello"), "the first goes on");
}

#[apply(embedded)]
async fn two_ups_in_two_folders_are_separate() {
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
    assert_eq!(status(&format!("{}/chat/{path}", text(&two, "gateway"))).await, "401");
}
