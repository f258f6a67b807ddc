//! What a link did by day, and its QR code.

use crate::limits::budgets::left_of_the_day;
use arizuko_proto::v1::{Finish, Usage};
use arizuko_tests::prelude::*;

#[apply(embedded_and_pair)]
async fn stats_count_visitors_turns_waits_failures_refusals_and_tokens(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_TRUSTED_PROXY", "127.0.0.0/8")]).await;
    left_of_the_day().await;
    let link = stack.issue("acme").await;
    let visitors = stack.visitors(&link);
    let say = async |gateway: usize, address: &str, message: Value| {
        let request = visitors[gateway].request(Method::POST, "");
        send(request.header("x-forwarded-for", address).json(&message)).await
    };
    let mut agent = stack.attach("acme", B).await;
    let usage = Some(Usage { input_tokens: 30, output_tokens: 12 });
    let mut conversation = Value::Null;
    for (address, usage, failed) in
        [("192.0.2.1", usage, false), ("192.0.2.1", None, false), ("192.0.2.2", None, true)]
    {
        if failed {
            conversation = Value::Null;
        }
        let hello = json!({"content": "hello", "conversation": conversation});
        let posted = say(usize::from(failed), address, hello).await.posted();
        let mut held = agent.turn().await;
        if !failed {
            agent.append(&mut held, message("m1", "an answer")).await;
        }
        let Said::Finish(finish) = held.finish() else { panic!("a Finish") };
        agent.say(Said::Finish(Finish { usage, failed, ..finish })).await;
        visitors[0].end_of(&posted.turn).await;
        conversation = posted.conversation.into();
    }
    stack.arizuko(&["token", "pause", &link.url]).await.expect(0);
    say(0, "192.0.2.1", json!({"content": "hello"})).await.refused(403, "LINK_PAUSED");

    let stats = ["token", "stats", &link.url, "--days", "2"];
    let today = async || {
        let json = stack.arizuko(&[&stats[..], &["--json"]].concat()).await.expect(0).json();
        let days = json["days"].as_array().expect("days");
        assert_eq!(days.len(), 2, "{json}");
        assert_eq!(days[0]["turns"], 0, "nothing happened yesterday: {json}");
        days[1].clone()
    };
    until("the refusal to be stored", async || today().await["refused"] == 1).await;
    let today = today().await;
    let expected = [("visitors", 2), ("turns", 3), ("answered", 2), ("failed", 1), ("tokens", 42)];
    for (what, count) in expected {
        assert_eq!(today[what], count, "{what} in {today}");
    }
    assert!(today["first_frame"].is_string(), "{today}");
    let shown = stack.arizuko(&stats).await.expect(0).out;
    let last: Vec<_> = shown.lines().last().expect("a day").split_whitespace().collect();
    let [_, "2", "3", bar, _, "s", "1", "1", "42", "-"] = last[..] else { panic!("{shown}") };
    assert_eq!(bar, "█".repeat(20));
    let none = stack.arizuko(&["token", "stats", "web:none", "--json"]).await.expect(0).json();
    assert_eq!(none["days"].as_array().map(Vec::len), Some(7), "{none}");
}

#[apply(embedded)]
async fn a_link_is_printed_as_a_qr_code(stack: Stack) {
    let url = stack.issue("acme").await.url;
    let printed = stack.arizuko(&["token", "qr", &url]).await.expect(0).out;
    // Each character has two modules, one above the other. In a terminal with a dark background,
    // what is drawn is light.
    let mut rows = Vec::new();
    for line in printed.lines() {
        let is_drawn =
            |halves: &'static str| line.chars().map(move |c| halves.contains(c)).collect();
        rows.extend::<[Vec<bool>; 2]>([is_drawn("█▀"), is_drawn("█▄")]);
    }
    assert_eq!(read(&rows), url);

    let svg = stack.arizuko(&["token", "qr", &url, "--svg"]).await.expect(0).out;
    assert!(svg.starts_with("<?xml") && svg.contains("<svg"), "{svg}");
    let refused = stack.arizuko(&["token", "qr", "tok_x"]).await.expect(2);
    assert!(refused.err.contains("gives no access"), "{refused:?}");
}

/// Reads a QR code from rows of modules. A module that is `true` is light.
fn read(rows: &[Vec<bool>]) -> String {
    const SCALE: usize = 4;
    let (width, height) = (rows[0].len() * SCALE, rows.len() * SCALE);
    let light = |x: usize, y: usize| if rows[y / SCALE][x / SCALE] { 255 } else { 0 };
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, light);
    let codes = picture.detect_grids();
    codes.first().expect("a code").decode().expect("it can be read").1
}
