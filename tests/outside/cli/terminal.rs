//! Names, routes and replies cannot control an operator's terminal or hide text in it.

use arizuko_proto::v1::Route;
use arizuko_tests::prelude::*;

/// Text with characters that a terminal obeys or doesn't show: a C1 control (CSI), bidirectional
/// controls (RLO, LRI), and characters without a width.
const EVIL: &str = "ev\u{9b}31m\u{202e}il\u{200b}\u{2066}x\u{feff}";

fn is_harmful(c: char) -> bool {
    let harmful = ['\u{9b}', '\u{202e}', '\u{200b}', '\u{2066}', '\u{feff}', '\x1b'];
    harmful.contains(&c)
}

#[apply(embedded)]
async fn every_table_is_clean_and_json_escapes(stack: Stack) {
    let name = EVIL.replace('\u{9b}', "");
    stack.arizuko(&["key", "create", "acme", "--name", &name]).await.expect(0);
    let options = LinkOptions { name: EVIL.into(), greeting: EVIL.into(), ..Default::default() };
    let link = stack.issue_with("acme", "", options).await;
    let (persona, topic) = (Some(EVIL.into()), Some(EVIL.into()));
    stack.route(Route { persona, topic, ..route("web:acme") }).await;
    let mut tail = stack.tail("acme/x", &["acme"]).await;
    let hello = Hello { name: name.clone(), ..hello("acme", 10) };
    let mut agent = stack.session(A, hello).await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let held = agent.turn().await;
    assert!(!tail.line_with("claimed").await.contains(is_harmful));
    let commands: [&[&str]; 7] = [
        &["token", "list"],
        &["key", "list"],
        &["route", "list"],
        &["route", "explain", "web:acme"],
        &["route", "set", "web:acme", "--topic", EVIL],
        &["status"],
        &["audit"],
    ];
    let mut told = 0;
    for command in commands {
        let shown = stack.arizuko(command).await.expect(0);
        assert!(!shown.out.contains(is_harmful), "{command:?}: {shown:?}");
        told += usize::from(shown.out.contains("il"));
        let document = stack.arizuko(&[command, &["--json"]].concat()).await.expect(0);
        assert!(!document.out.contains(is_harmful), "{command:?}: {document:?}");
        told += usize::from(document.json().to_string().contains("\u{202e}il"));
    }
    assert!(told > 7, "what was hidden is in the answers: {told}");
    agent.answer(held, EVIL).await;
    let mut chat = stack.program("arizuko");
    chat.args(["chat", &format!("{}/chat/{}/", stack.gateway(A), link.token)]);
    let answering = async { agent.answer_next(EVIL).await };
    let (shown, ()) = tokio::join!(run(&mut chat, "again\n"), answering);
    assert!(shown.out.contains("31m") && !shown.out.contains(is_harmful), "{shown:?}");
    assert_eq!(stack.visitor(&link, A).end_of(&posted.turn).await["status"], "done");
}
