//! `arizuko audit`, `tail` and `status`.

use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn audit_lists_who_issued_and_revoked_what(stack: Stack) {
    let key = stack.key(arizuko_proto::v1::KeyKind::Agent, "acme", Default::default(), true).await;
    let mut agents = stack.operators_command();
    agents.env("ARIZUKO_KEY", &key.key).args(["token", "issue", "acme", "chat", "--json"]);
    let issued = run(&mut agents, "").await.expect(0).json();
    stack.arizuko(&["token", "revoke", "web:acme"]).await.expect(0);
    stack.arizuko(&["key", "revoke", &key.key_id]).await.expect(0);
    let other = stack.issue("other").await;
    let audit = stack.arizuko(&["audit", "--json"]).await.expect(0).json();
    let rows: Vec<_> = audit["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|entry| entry["actor"] != "control")
        .map(|entry| {
            (
                entry["action"].clone(),
                entry["actor"].clone(),
                entry["subject"].clone(),
                entry["folder"].clone(),
            )
        })
        .collect();
    let operator = rows[0].1.clone();
    let (id, token_id) = (json!(key.key_id), issued["token_id"].clone());
    assert_eq!(
        rows,
        [
            (json!("key.create"), operator.clone(), id.clone(), json!("acme")),
            (json!("token.issue"), id.clone(), token_id.clone(), json!("acme")),
            (json!("token.revoke"), operator.clone(), token_id, json!("acme")),
            (json!("key.revoke"), operator.clone(), id, json!("acme")),
            (json!("token.issue"), operator, json!(other.token_id), json!("other")),
        ]
    );
    let all = audit.to_string();
    assert!(!all.contains(&key.key) && !all.contains(&other.token), "{all}");
    let some = stack.arizuko(&["audit", "acme", "--limit", "2"]).await.expect(0).out;
    assert!(
        some.contains("key.revoke") && !some.contains("other") && !some.contains("key.create"),
        "{some}"
    );
}

#[apply(every_stack)]
async fn tail_prints_events_as_they_happen(stack: Stack) {
    let key = stack.agent_key("acme").await;
    let mut tail = stack.tail("acme/x", &["acme"]).await;
    let link = stack.issue("acme").await;
    tail.line_with(&link.token_id).await;
    stack.issue("acmex").await;
    let posted = stack.visitor(&link, A).say("a secret of the visitor's").await;
    let mut agent = stack.attach_with(&key, hello("acme", 100), B).await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "x")).await;
    agent.finish(&held).await;
    for event in ["message", "claimed", "done"] {
        let line = tail.line().await;
        let happened: Value = serde_json::from_str(&line).expect("JSON");
        assert_fields(&happened, json!({"event": event, "turn_id": public_id::turn(&posted.turn)}));
        assert_fields(&happened, json!({"jid": "web:acme", "folder": "acme"}));
        assert!(!line.contains("secret"), "{line}");
    }
}

#[apply(embedded_and_pair)]
async fn tail_tells_of_an_escalation_to_where_nobody_is_attached(stack: Stack) {
    let visitor = stack.visit("acme").await;
    stack.route(escalation("web:acme", Duration::from_secs(1), "acme/people", "")).await;
    let mut tail = stack.tail("acme/x", &["acme"]).await;
    let posted = visitor.say("help").await;
    let line = tail.line_with("escalated").await;
    let happened: Value = serde_json::from_str(&line).expect("JSON");
    let told = "to acme/people, where nobody is attached: no answer came in time";
    let turn = public_id::turn(&posted.turn);
    assert_fields(&happened, json!({"event": "escalated", "turn_id": turn, "detail": told}));
}

#[apply(embedded)]
async fn a_watched_list_is_drawn_again_on_the_same_screen(kind: Kind) {
    let room = [("ARIZUKO_ADDRESS_RATE", "100000"), ("ARIZUKO_ADDRESS_TURNS", "1000")];
    let stack = Stack::with(kind, &room).await;
    let visitor = stack.visit("acme/eng").await;
    for _ in 0..20 {
        visitor.say("an old one").await;
    }
    let hook = stack.issue_hook("acme/eng", "github", "").await;
    let deliver = async || {
        let id = format!("X-GitHub-Delivery: {}", random_id());
        let at = format!("{}/hook/{}", stack.gateway(A), hook.token);
        curl(&["--data", "x", "-H", &id, &at]).await.expect(0);
        id["X-GitHub-Delivery: ".len()..].to_owned()
    };
    let first = deliver().await;
    let watched =
        |command: &[&str]| stack.at_terminal_of(18, 80, &[command, &["--watch"]].concat());
    let mut conversations = watched(&["conversation", "list", "acme"]);
    let mut deliveries = watched(&["delivery", "list", "acme"]);
    let mut status = watched(&["status"]);
    conversations.shows("an old one").await;
    deliveries.shows(&first).await;
    status.shows("acme/eng").await;
    let red = String::from_utf8_lossy(status.bytes()).into_owned();
    assert!(red.contains("\x1b[31macme/eng "), "nobody is attached: {red:?}");

    visitor.say("the newest one").await;
    let second = deliver().await;
    let screen = conversations.shows("the newest one").await;
    let heads = screen.lines().filter(|line| line.starts_with("CONVERSATION")).count();
    assert!(heads == 1 && screen.lines().count() <= 18, "the top of the list stays: {screen}");
    let screen = deliveries.shows(&second).await;
    assert!(screen.contains(&first) && screen.matches("TURN ").count() == 1, "{screen}");
    let _agent = stack.attach("acme/eng", A).await;
    status.looks("nothing that waits", |screen| screen.contains("AGENT OF")).await;
    for mut watching in [conversations, deliveries, status] {
        watching.signal(Signal::SIGTERM);
        watching.gone().await;
    }
    // In a pipe the lists follow each other.
    let mut piped = stack.operators_command();
    piped.args(["conversation", "list", "acme", "--watch", "--limit", "1"]);
    let mut piped = Process::start("piped", piped, &stack.logs());
    piped.line_with("CONVERSATION").await;
    piped.line_with("CONVERSATION").await;
}

#[apply(embedded_and_pair)]
async fn status_shows_first_what_waits_where_nobody_is_attached(stack: Stack) {
    let mut agent = stack.session(A, hello("beta", 3)).await;
    let beta = stack.visit("beta").await;
    beta.say("hello").await;
    agent.turn().await;
    stack.visit("acme/eng").await.say("anybody?").await;
    let mut folders = Value::Null;
    until("the message to be counted", async || {
        folders = stack.arizuko(&["status", "--json"]).await.expect(0).json()["folders"].take();
        folders.as_array().is_some_and(|folders| folders.len() == 2)
    })
    .await;
    assert_fields(&folders[0], json!({"folder": "acme/eng", "queued": 1}));
    assert!(folders[0]["oldest_wait"].is_string(), "{folders}");
    let busy = json!({"folder": "beta", "agents": 1, "credit": 3, "credit_used": 1, "running": 1});
    assert_fields(&folders[1], busy);
    let shown = stack.arizuko(&["status"]).await.expect(0).out;
    let row = |folder: &str| shown.lines().position(|line| line.starts_with(folder));
    assert!(row("acme/eng") < row("beta"), "{shown}");
    assert!(shown.contains("1/3") && !shown.contains('\x1b'), "{shown}");
}

#[apply(every_stack)]
async fn status_lists_attached_agents(stack: Stack) {
    stack.issue("acme").await;
    let nobody = stack.arizuko(&["status"]).await.expect(0);
    assert!(nobody.err.contains("no agent is attached"), "{nobody:?}");
    let _agent = stack.agent("acme/eng", &["--name", "the good one"]).await;
    let status = stack.arizuko(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["live_tokens"], 1);
    assert_eq!(status["sessions"][0]["folder"], "acme/eng");
    assert_eq!(status["sessions"][0]["name"], "the good one");
    assert_eq!(status["public_url"], "https://{root}.example");
    assert!(status["store_remarks"].is_array(), "{status}");
    let now = status["now"].as_str().expect("the time of control's store");
    assert!(now.starts_with("20") && now.ends_with('Z'), "{now}");
    let shown = stack.arizuko(&["status"]).await.expect(0).out;
    assert!(shown.contains("acme/eng") && shown.contains("the good one"), "{shown}");
}
