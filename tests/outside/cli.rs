//! The command line: what it prints, where, with which exit code, and what to do about errors.

use arizuko_tests::{
    Kind, Stack,
    attach::delta,
    cli::{Outcome, run},
    on_every_stack,
    process::Process,
};
use serde_json::{Value, json};

on_every_stack![
    issuing_prints_the_url_alone_and_all_else_beside_it,
    json_is_one_document_with_stable_names,
    listing_and_revoking_follow_the_jid_or_the_id,
    keys_are_made_listed_and_revoked_and_a_revoked_one_ends_its_agent,
    usage_errors_are_2_and_failures_1_with_what_to_do,
    the_key_and_control_come_from_flags_before_the_environment,
    audit_says_who_minted_and_revoked_what,
    tail_shows_what_happens,
    status_shows_who_is_attached,
    a_visitor_in_the_terminal_sees_the_reply,
    a_visitor_in_the_terminal_is_told_when_it_cannot_work,
    completions_are_for_each_shell,
    help_names_every_command,
];

async fn issuing_prints_the_url_alone_and_all_else_beside_it(kind: Kind) {
    let stack = Stack::start(kind).await;
    let issued = stack
        .arizuko(&["token", "issue", "acme", "chat", "--suffix", "support"])
        .await
        .expect(0);
    let url = issued.out.strip_suffix('\n').expect("one line");
    let token = url
        .strip_prefix("https://acme.example/chat/")
        .and_then(|rest| rest.strip_suffix('/'));
    let token = token.unwrap_or_else(|| panic!("{issued:?}"));
    stack
        .at(0, &format!("/chat/{token}/"))
        .get("")
        .await
        .expect(200);
    assert!(
        issued.err.contains("web:acme/support") && issued.err.contains("tok_"),
        "{issued:?}"
    );
    assert!(!issued.err.contains(token), "{issued:?}");
    assert!(
        issued
            .err
            .contains("note: no agent is attached to acme. Attach one:"),
        "{issued:?}"
    );
    assert!(
        issued.err.contains("agent exec --folder acme"),
        "{issued:?}"
    );
    let _agent = stack.attach("acme", 1).await;
    let issued = stack
        .arizuko(&["token", "issue", "acme", "hook", "github"])
        .await
        .expect(0);
    assert!(
        issued.out.starts_with("https://acme.example/hook/") && !issued.out.ends_with("/\n"),
        "{issued:?}"
    );
    assert!(
        issued.err.contains("hook:acme/github") && !issued.err.contains("no agent"),
        "{issued:?}"
    );
}

fn keys(document: &Value) -> Vec<&str> {
    document
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

async fn json_is_one_document_with_stable_names(kind: Kind) {
    let stack = Stack::start(kind).await;
    let issued = stack
        .arizuko(&["--json", "token", "issue", "acme", "chat"])
        .await;
    // Global, or the command's own: wherever it is taken, the document is the same.
    let issued = if issued.code == Some(2) {
        stack
            .arizuko(&["token", "issue", "acme", "chat", "--json"])
            .await
    } else {
        issued
    };
    let issued = issued.expect(0).json();
    assert_eq!(keys(&issued), ["jid", "token", "token_id", "url"]);
    assert_eq!(issued["jid"], "web:acme");
    let created = stack
        .arizuko(&["key", "create", "acme", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(keys(&created), ["key", "key_id"]);
    let listed = stack
        .arizuko(&["token", "list", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(listed["tokens"][0]["token_id"], issued["token_id"]);
    assert_eq!(listed["tokens"][0]["kind"], "chat");
    let keys_listed = stack
        .arizuko(&["key", "list", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(keys_listed["keys"][0]["key_id"], created["key_id"]);
    for command in [
        &["status", "--json"][..],
        &["audit", "--json"],
        &["token", "list", "acme", "--json"],
    ] {
        let outcome = stack.arizuko(command).await.expect(0);
        outcome.json();
        assert_eq!(outcome.err, "", "{command:?}");
    }
    let revoked = stack
        .arizuko(&["token", "revoke", "web:acme", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(revoked["revoked"][0]["token_id"], issued["token_id"]);
}

async fn listing_and_revoking_follow_the_jid_or_the_id(kind: Kind) {
    let stack = Stack::start(kind).await;
    let none = stack.arizuko(&["token", "list"]).await.expect(0);
    assert_eq!(none.out, "", "{none:?}");
    let one = stack.issue("acme").await;
    let two = stack
        .issue_with("acme", "support", Default::default())
        .await;
    let other = stack.issue("other").await;
    let all = stack.arizuko(&["token", "list"]).await.expect(0).out;
    assert!(
        [&one, &two, &other]
            .iter()
            .all(|link| all.contains(&link.token_id) && all.contains(&link.jid)),
        "{all}"
    );
    assert!(!all.contains(&one.token), "{all}");
    let below = stack
        .arizuko(&["token", "list", "acme"])
        .await
        .expect(0)
        .out;
    assert!(
        below.contains(&one.token_id) && !below.contains(&other.token_id),
        "{below}"
    );
    let revoked = stack
        .arizuko(&["token", "revoke", "web:acme/support"])
        .await
        .expect(0);
    assert!(
        revoked.out.contains('1') && revoked.out.contains(&two.token_id),
        "{revoked:?}"
    );
    stack.visitor(&two, 0).get("").await.expect(401);
    stack
        .arizuko(&["token", "revoke", &one.token_id])
        .await
        .expect(0);
    stack.visitor(&one, 1).get("").await.expect(401);
    let again = stack
        .arizuko(&["token", "revoke", &one.token_id])
        .await
        .expect(1);
    assert!(
        again.err.contains("no live token") && again.err.contains("token list"),
        "{again:?}"
    );
    stack.visitor(&other, 0).get("").await.expect(200);
}

async fn keys_are_made_listed_and_revoked_and_a_revoked_one_ends_its_agent(kind: Kind) {
    let stack = Stack::start(kind).await;
    let created = stack
        .arizuko(&["key", "create", "acme", "--name", "the agent"])
        .await
        .expect(0);
    let key = created.out.trim();
    let id = created
        .err
        .split(|c: char| c.is_whitespace() || c == ',')
        .find(|word| word.starts_with("key_"));
    let id = id.unwrap_or_else(|| panic!("{created:?}")).to_owned();
    let listed = stack.arizuko(&["key", "list"]).await.expect(0).out;
    assert!(
        listed.contains(&id) && listed.contains("the agent") && !listed.contains(key),
        "{listed}"
    );

    let mut agent = arizuko_tests::agent::Agent::start(&stack, key, "acme", &[], &[]).await;
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, 0).say("hello").await;
    let mut running = agent.turn().await;
    stack.arizuko(&["key", "revoke", &id]).await.expect(0);
    running.killed().await;
    assert_eq!(
        agent.process.exit().await.code(),
        Some(1),
        "{}",
        agent.process.said()
    );
    assert!(
        agent.process.said().contains("key"),
        "{}",
        agent.process.said()
    );
    let mut next = stack.attach("acme", 1).await;
    assert_eq!(next.turn().await.turn.turn_id, posted.turn);
    stack.arizuko(&["key", "revoke", &id]).await.expect(1);
    let mut agent = stack.operators_command();
    let mint = agent
        .env("ARIZUKO_KEY", key)
        .args(["token", "issue", "acme", "chat"]);
    let refused = run(mint, "").await.expect(1);
    assert!(
        refused.err.contains("revoked") && refused.err.contains("ARIZUKO_KEY"),
        "{refused:?}"
    );
}

async fn usage_errors_are_2_and_failures_1_with_what_to_do(kind: Kind) {
    let stack = Stack::start(kind).await;
    for wrong in [
        &["nonsense"][..],
        &[],
        &["token"],
        &["token", "issue"],
        &["token", "issue", "acme"],
        &["token", "issue", "acme", "hook"],
        &["token", "revoke", "acme"],
        &["token", "issue", "acme", "chat", "--expires", "soon"],
        &["key", "create"],
        &["chat", "not a url"],
        &["up", "--listen", "nowhere"],
        &["audit", "--limit", "x"],
    ] {
        let outcome = stack.arizuko(wrong).await.expect(2);
        assert!(
            outcome.out.is_empty() && !outcome.err.is_empty(),
            "{wrong:?}: {outcome:?}"
        );
    }
    for (wrong, told) in [
        (&["token", "issue", "a b", "chat"][..], "a b"),
        (
            &["token", "issue", "acme", "chat", "--suffix", "a/b"],
            "suffix",
        ),
        (
            &["token", "issue", "acme", "chat", "--origin", "acme.com"],
            "https://acme.com",
        ),
        (&["token", "revoke", "web:acme"], "token list"),
        (&["key", "revoke", "key_x"], "key_"),
        (
            &["token", "list", "--control", "http://127.0.0.1:1"],
            "is `arizuko up` running?",
        ),
    ] {
        let outcome = stack.arizuko(wrong).await.expect(1);
        assert!(
            outcome.err.contains(told) && outcome.out.is_empty(),
            "{wrong:?}: {outcome:?}"
        );
        assert!(
            !outcome.err.contains("Status") && outcome.err.lines().count() == 1,
            "{outcome:?}"
        );
    }
}

async fn the_key_and_control_come_from_flags_before_the_environment(kind: Kind) {
    let stack = Stack::start(kind).await;
    let file = stack.folder().join("operator-key");
    std::fs::write(&file, format!("{}\n", stack.operator_key())).expect("the folder is ours");
    let list = |key: Option<&str>, key_file: Option<&str>, flags: &[&str]| {
        let mut command = stack.operators_command();
        command
            .env_remove("ARIZUKO_KEY")
            .args(["token", "list"])
            .args(flags);
        command.env("ARIZUKO_CONTROL", "http://127.0.0.1:1");
        key.map(|key| command.env("ARIZUKO_KEY", key));
        key_file.map(|file| command.env("ARIZUKO_KEY_FILE", file));
        async move { run(&mut command, "").await }
    };
    let file = file.display().to_string();
    let control = ["--control", &stack.control(1)];
    let with_file = [&control[..], &["--key-file", &file]].concat();
    let wrong = "azk_wrong";
    let succeeds = |outcome: Outcome| outcome.expect(0);
    succeeds(list(Some(stack.operator_key()), None, &control).await);
    succeeds(list(None, Some(&file), &control).await);
    succeeds(list(Some(stack.operator_key()), Some("/nonexistent"), &control).await);
    succeeds(list(Some(wrong), None, &with_file).await);
    for outcome in [
        list(Some(wrong), Some(&file), &control).await,
        list(None, Some("/nonexistent"), &control).await,
    ] {
        outcome.expect(1);
    }
    let bare = list(None, None, &control).await;
    if kind == Kind::Embedded {
        // The address is the running `up`'s own, and so is its key.
        bare.expect(0);
    } else {
        let bare = bare.expect(1);
        assert!(
            bare.err.contains("wants a key") && bare.err.contains("ARIZUKO_KEY"),
            "{bare:?}"
        );
    }
}

async fn audit_says_who_minted_and_revoked_what(kind: Kind) {
    let stack = Stack::start(kind).await;
    let key = stack
        .key(
            arizuko_proto::v1::KeyKind::Agent,
            "acme",
            Default::default(),
            true,
        )
        .await;
    let mut agents = stack.operators_command();
    agents
        .env("ARIZUKO_KEY", &key.key)
        .args(["token", "issue", "acme", "chat", "--json"]);
    let issued = run(&mut agents, "").await.expect(0).json();
    stack
        .arizuko(&["token", "revoke", "web:acme"])
        .await
        .expect(0);
    stack
        .arizuko(&["key", "revoke", &key.key_id])
        .await
        .expect(0);
    let other = stack.issue("other").await;
    let audit = stack.arizuko(&["audit", "--json"]).await.expect(0).json();
    let rows: Vec<_> = audit["entries"]
        .as_array()
        .expect("a list")
        .iter()
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
            (
                json!("key.create"),
                operator.clone(),
                id.clone(),
                json!("acme")
            ),
            (
                json!("token.issue"),
                id.clone(),
                token_id.clone(),
                json!("acme")
            ),
            (
                json!("token.revoke"),
                operator.clone(),
                token_id,
                json!("acme")
            ),
            (json!("key.revoke"), operator.clone(), id, json!("acme")),
            (
                json!("token.issue"),
                operator,
                json!(other.token_id),
                json!("other")
            ),
        ]
    );
    let all = audit.to_string();
    assert!(
        !all.contains(&key.key) && !all.contains(&other.token),
        "{all}"
    );
    let some = stack
        .arizuko(&["audit", "acme", "--limit", "2"])
        .await
        .expect(0)
        .out;
    assert!(
        some.contains("key.revoke") && !some.contains("other") && !some.contains("key.create"),
        "{some}"
    );
}

async fn tail_shows_what_happens(kind: Kind) {
    let stack = Stack::start(kind).await;
    let mut tail = stack.operators_command();
    tail.args(["tail", "acme", "--json"]);
    let mut tail = Process::start("tail", tail, &stack.logs());
    let listening = async {
        loop {
            stack.issue("acme/x").await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        _ = tail.line_with("token.issue") => {}
        () = listening => {}
    }
    let link = stack.issue("acme").await;
    tail.line_with(&link.token_id).await;
    stack.issue("acmex").await;
    let posted = stack
        .visitor(&link, 0)
        .say("a secret of the visitor's")
        .await;
    let mut agent = stack.attach("acme", 1).await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "x")).await;
    agent.finish(&held).await;
    for event in ["message", "claimed", "done"] {
        let line = tail.line().await;
        let happened: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            (&happened["event"], &happened["turn_id"]),
            (&json!(event), &json!(posted.turn)),
            "{line}"
        );
        assert_eq!(
            (&happened["jid"], &happened["folder"]),
            (&json!("web:acme"), &json!("acme"))
        );
        assert!(!line.contains("secret"), "{line}");
    }
}

async fn status_shows_who_is_attached(kind: Kind) {
    let stack = Stack::start(kind).await;
    stack.issue("acme").await;
    let nobody = stack.arizuko(&["status"]).await.expect(0);
    assert!(nobody.err.contains("no agent is attached"), "{nobody:?}");
    let _agent = stack.agent("acme/eng", &["--name", "the good one"]).await;
    let status = stack.arizuko(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["live_tokens"], 1);
    assert_eq!(status["sessions"][0]["folder"], "acme/eng");
    assert_eq!(status["sessions"][0]["name"], "the good one");
    assert_eq!(status["public_url"], "https://{root}.example");
    let shown = stack.arizuko(&["status"]).await.expect(0).out;
    assert!(
        shown.contains("acme/eng") && shown.contains("the good one"),
        "{shown}"
    );
}

async fn a_visitor_in_the_terminal_sees_the_reply(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", 1).await;
    let answering = async {
        let mut conversations = Vec::new();
        for answer in ["Hello **you**", "and again"] {
            let held = agent.turn().await;
            conversations.push(held.turn.conversation.clone());
            agent.answer(held, answer).await;
        }
        conversations
    };
    let mut chat = stack.operators_command();
    chat.env_remove("ARIZUKO_KEY")
        .env_remove("ARIZUKO_CONTROL")
        .args(["chat", &link.url]);
    let (outcome, conversations) = tokio::join!(run(&mut chat, "one\ntwo\n"), answering);
    let outcome = outcome.expect(0);
    assert!(
        outcome.out.contains("Hello **you**") && outcome.out.contains("and again"),
        "{outcome:?}"
    );
    assert_eq!(conversations[0], conversations[1], "one conversation");
}

async fn a_visitor_in_the_terminal_is_told_when_it_cannot_work(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let link = stack.issue("acme").await;
    stack.revoke(&link.token_id).await;
    let revoked = stack.arizuko(&["chat", &link.url]).await.expect(1);
    assert!(revoked.err.contains("for a new one"), "{revoked:?}");
    let hook = stack.issue_hook("acme", "github", "").await;
    let wrong = stack.arizuko(&["chat", &hook.url]).await;
    assert!(
        [Some(1), Some(2)].contains(&wrong.code) && !wrong.err.is_empty(),
        "{wrong:?}"
    );
    let gone = stack
        .arizuko(&["chat", "http://127.0.0.1:1/chat/x/"])
        .await
        .expect(1);
    assert!(gone.err.contains("cannot reach"), "{gone:?}");
    assert!(
        ![&revoked, &wrong, &gone]
            .iter()
            .any(|outcome| outcome.err.contains(&link.token))
    );

    let mut agent = stack.attach("acme", 1).await;
    let failing = stack.issue("acme").await;
    let answering = async {
        use arizuko_proto::v1::{Finish, attach_request::Message as Said};
        let held = agent.turn().await;
        let turn_id = held.turn.turn_id.clone();
        agent
            .say(Said::Finish(Finish {
                turn_id,
                attempt: 1,
                seq: 1,
                failed: true,
                ..Finish::default()
            }))
            .await;
        agent.appended(&held).await;
    };
    let mut chat = stack.operators_command();
    let chat = chat.args(["chat", &failing.url]);
    let (outcome, ()) = tokio::join!(run(chat, "hello\n"), answering);
    let outcome = outcome.expect(1);
    assert!(
        outcome.err.contains("The agent could not answer."),
        "{outcome:?}"
    );
}

async fn completions_are_for_each_shell(kind: Kind) {
    let stack = Stack::start(kind).await;
    for shell in ["bash", "zsh", "fish"] {
        let script = stack.arizuko(&["completions", shell]).await.expect(0).out;
        assert!(
            script.contains("arizuko") && script.contains("token") && script.len() > 500,
            "{shell}"
        );
    }
}

async fn help_names_every_command(kind: Kind) {
    let stack = Stack::start(kind).await;
    let help = stack.arizuko(&["--help"]).await.expect(0);
    for command in [
        "up",
        "token",
        "key",
        "agent",
        "chat",
        "status",
        "audit",
        "tail",
        "completions",
    ] {
        assert!(help.out.contains(command), "{command} in {}", help.out);
        let own = stack.arizuko(&[command, "--help"]).await.expect(0);
        assert!(own.out.contains("Usage:") && own.err.is_empty(), "{own:?}");
    }
    assert!(
        stack
            .arizuko(&["--version"])
            .await
            .expect(0)
            .out
            .starts_with("arizuko ")
    );
}
