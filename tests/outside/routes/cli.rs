//! `arizuko route`: set, list, delete, and refusals.

use arizuko_tests::prelude::*;

/// Runs `arizuko route … --json` and returns its document.
async fn route(stack: &Stack, arguments: &[&str]) -> Value {
    let arguments = [&["route"], arguments, &["--json"]].concat();
    stack.arizuko(&arguments).await.expect(0).json()
}

#[apply(every_stack)]
async fn a_route_is_set_field_by_field_and_reaches_the_agent(stack: Stack) {
    let link = stack.issue("acme").await;
    let support = stack.issue_with("acme", "support", Default::default()).await;
    route(&stack, &["set", "web:acme", "--persona", "a concierge", "--topic", "door"]).await;
    let steps = [
        ["--escalate-after", "2m"],
        ["--escalate-unfinished-after", "1h30m"],
        ["--escalate-to", "acme/people"],
        ["--escalate-say", "One moment."],
        ["--give-up-after", "7d"],
        ["--give-up-say", "We'll write."],
        ["--persona", "an engineer"],
    ];
    let set = [&["set", "web:acme/support"], steps.as_flattened()].concat();
    let set = route(&stack, &set).await;
    let mut whole = json!({
        "prefix": "web:acme/support",
        "target": null,
        "persona": "an engineer",
        "topic": null,
        "mode": "ROUTE_MODE_UNSPECIFIED",
        "escalation": {"steps": [{
            "after": "120s",
            "unfinished_after": "5400s",
            "to": "acme/people",
            "say": "One moment.",
        }]},
        "give_up": {"after": "604800s", "say": "We'll write."},
        "observe_for": "OBSERVE_FOR_UNSPECIFIED",
        "only_folder": "",
    });
    assert_eq!(set, json!({"route": whole, "unattended": ["acme/people"]}));

    // Fields that are not named stay.
    let flags = ["set", "web:acme/support", "--topic", "help", "--unset", "give-up"];
    let set = route(&stack, &flags).await;
    whole["topic"] = json!("help");
    whole["give_up"] = Value::Null;
    assert_eq!(set["route"], whole);
    let flags = ["set", "web:acme/support", "--no-escalation", "--mode", "trigger"];
    let flags = [&flags[..], &["--observe-for", "visitors"]].concat();
    let set = route(&stack, &flags).await;
    whole["escalation"] = json!({"steps": []});
    whole["mode"] = json!("ROUTE_MODE_TRIGGER");
    whole["observe_for"] = json!("OBSERVE_FOR_VISITORS");
    assert_eq!(set, json!({"route": whole, "unattended": []}));
    let listed = route(&stack, &["list", "acme"]).await;
    assert_eq!(listed["routes"][1], whole);
    assert_eq!(listed["routes"][0]["persona"], "a concierge");

    let mut agent = stack.attach("acme", A).await;
    for (link, persona, topic) in
        [(&link, "a concierge", "door"), (&support, "an engineer", "help")]
    {
        stack.visitor(link, B).say("hello").await;
        let held = agent.turn().await;
        let found = (&*held.turn.persona, &*held.turn.topic);
        assert_eq!(found, (persona, topic));
        agent.answer(held, "hi").await;
    }
}

#[apply(every_stack)]
async fn set_shows_the_whole_route_and_folders_without_an_agent(stack: Stack) {
    let set = ["route", "set", "web:acme/sales", "--target", "acme/bot"];
    let set = [&set[..], &["--persona", "It's \"us\"\nand you"]].concat();
    let told = stack.arizuko(&set).await.expect(0);
    assert_eq!(
        told.out,
        "web:acme/sales\n  target      acme/bot\n  persona     \"It's \\\"us\\\"\\nand you\"\n"
    );
    assert!(told.err.contains("no agent is attached to acme/bot"), "{told:?}");
    assert!(told.err.contains("agent exec --folder acme/bot"), "{told:?}");
    let _agent = stack.attach("acme/bot", A).await;
    let told = stack.arizuko(&set).await.expect(0);
    assert_eq!(told.err, "");

    let none = stack.arizuko(&["route", "list", "other"]).await.expect(0);
    assert_eq!((&*none.out, &*none.err), ("", "no routes\n"));
    let listed = stack.arizuko(&["route", "list"]).await.expect(0).out;
    let [head, row] = listed.lines().collect::<Vec<_>>()[..] else {
        panic!("one route: {listed}");
    };
    assert!(head.starts_with("PREFIX") && head.contains("TARGET"), "{head}");
    assert!(row.starts_with("web:acme/sales") && row.contains("acme/bot"), "{row}");
}

#[apply(every_stack)]
async fn a_route_without_fields_is_deleted(stack: Stack) {
    route(&stack, &["set", "hook:acme/github", "--mode", "observe"]).await;
    let unset = ["route", "set", "hook:acme/github", "--unset", "mode,topic"];
    let told = stack.arizuko(&unset).await.expect(0);
    assert!(told.out.is_empty() && told.err.contains("no longer has a route"), "{told:?}");
    assert_eq!(route(&stack, &["list"]).await, json!({"routes": [], "next_page_token": ""}));
    // Now there is no route whose fields could be unset.
    let told = stack.arizuko(&unset).await.expect(1);
    assert!(told.err.contains("say what the route is to set"), "{told:?}");
    route(&stack, &["set", "hook:acme/github", "--mode", "observe"]).await;
    let unset = ["set", "hook:acme/github", "--unset", "mode"];
    let gone = route(&stack, &unset).await;
    assert_eq!(gone["route"]["prefix"], "hook:acme/github");
    assert_eq!(gone["route"]["mode"], "ROUTE_MODE_UNSPECIFIED");
}

#[apply(every_stack)]
async fn deleting_a_missing_route_says_so(stack: Stack) {
    route(&stack, &["set", "web:acme", "--topic", "a"]).await;
    route(&stack, &["set", "web:acme/x", "--topic", "b"]).await;
    let told = stack.arizuko(&["route", "delete", "web:acme"]).await.expect(0);
    assert_eq!((&*told.out, &*told.err), ("deleted web:acme\n", ""));
    let told = stack.arizuko(&["route", "delete", "web:acme"]).await.expect(1);
    assert!(told.out.is_empty() && told.err.contains("route list"), "{told:?}");
    let deleted = route(&stack, &["delete", "web:acme/x"]).await;
    assert_eq!(deleted["deleted"]["topic"], "b");
    let told = stack.arizuko(&["route", "delete", "web:acme/x", "--json"]).await;
    assert_eq!(told.expect(1).json(), json!({"deleted": null}));
}

#[apply(every_stack)]
async fn invalid_arguments_are_refused_and_change_nothing(stack: Stack) {
    route(&stack, &["set", "web:acme", "--topic", "as it was"]).await;
    let before = route(&stack, &["list"]).await;
    for wrong in [
        &[][..],
        &["--topic"],
        &["--topik", "x"],
        &["--mode", "sleep"],
        &["--unset", "prefix"],
        &["--unset", "topic", "--topic", "x"],
        &["--no-escalation", "--unset", "escalation"],
        &["--escalate-to", "acme/x"],
        &["--escalate-after", "2m"],
        &["--escalate-say", "x", "--topic", "x"],
        &["--give-up-say", "x"],
        &["--give-up-after", "0s"],
        &["--give-up-after", "soon"],
        &["--give-up-after", "90"],
        &["--no-escalation", "--escalate-to", "acme/x", "--escalate-after", "1s"],
    ] {
        refused(&stack, &[&["web:acme"], wrong].concat(), 2, "error: ").await;
    }
    for prefix in ["acme", "web:", "web:/x", "mail:acme", ""] {
        refused(&stack, &[prefix, "--topic", "x"], 2, "web:acme").await;
    }
    for prefix in ["web:acme/", "web:acme//x", "web:a b", "hook:acme/a.b"] {
        refused(&stack, &[prefix, "--topic", "x"], 1, "segment").await;
    }
    let (persona, topic) = ("p".repeat(4_001), "t".repeat(201));
    for (wrong, told) in [
        (&["--target", "other/bot"][..], "root folder"),
        (&["--target", "a b"], "segment"),
        (&["--escalate-to", "other", "--escalate-after", "2m"], "root folder"),
        (&["--give-up-after", "8d"], "7 days"),
        (&["--escalate-to", "acme/x", "--escalate-unfinished-after", "169h"], "7 days"),
        (&["--persona", &persona], "4000"),
        (&["--topic", &topic], "200"),
    ] {
        refused(&stack, &[&["web:acme"], wrong].concat(), 1, told).await;
    }
    assert_eq!(route(&stack, &["list"]).await, before);
}

/// Asserts that `route set` exits with this code and prints this, on standard error only.
async fn refused(stack: &Stack, arguments: &[&str], code: i32, told: &str) {
    let arguments = [&["route", "set"], arguments].concat();
    let outcome = stack.arizuko(&arguments).await.expect(code);
    assert!(outcome.out.is_empty(), "{arguments:?}: {outcome:?}");
    assert!(outcome.err.contains(told), "{arguments:?}: {outcome:?}");
    let lines = outcome.err.lines().count();
    assert!(code == 2 || lines == 1, "{arguments:?}: {outcome:?}");
}

#[apply(every_stack)]
async fn status_shows_dropped_messages_and_people(stack: Stack) {
    let shown = stack.arizuko(&["status"]).await.expect(0).out;
    assert!(!shown.contains("DROPPED"), "{shown}");
    let link = stack.issue("acme").await;
    route(&stack, &["set", "web:acme", "--mode", "drop"]).await;
    for gateway in BOTH {
        stack.visitor(&link, gateway).say("hello").await;
    }
    let person = Hello { person: true, name: "Ada".to_owned(), ..hello("acme/people", 1) };
    let _person = stack.session(A, person).await;
    let _agent = stack.attach("acme", B).await;
    let status = stack.arizuko(&["status", "--json"]).await.expect(0).json();
    let dropped = json!([{"jid": "web:acme", "messages": 2}]);
    assert_eq!(status["dropped"], dropped);
    let persons = status["sessions"].as_array().expect("a list");
    let persons = persons.iter().map(|s| (s["name"].as_str(), s["person"].as_bool()));
    let mut persons: Vec<_> = persons.collect();
    persons.sort();
    let expected = [(Some("Ada"), Some(true)), (Some("protocol test"), Some(false))];
    assert_eq!(persons, expected);
    let shown = stack.arizuko(&["status"]).await.expect(0).out;
    let (_, agents) = shown.split_once("AGENT OF").expect("a table of agents");
    let row = |begins: &str| agents.lines().find(|line| line.starts_with(begins));
    assert!(row("acme/people").is_some_and(|row| row.contains("person")), "{shown}");
    assert!(row("acme ").is_some_and(|row| row.contains("program")), "{shown}");
    assert!(row("web:acme").is_some_and(|row| row.ends_with(" 2")), "{shown}");
}
