//! `route explain`, and from which message on a change of routes applies.

use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn explain_shows_where_each_field_comes_from_and_who_is_attached(stack: Stack) {
    stack.issue_with("acme", "support", Default::default()).await;
    for set in [
        &["web:acme", "--persona", "kind", "--target", "acme/bot"][..],
        &["web:acme", "--give-up-after", "1h"],
        &["web:acme/support", "--topic", "help", "--escalate-after", "2m"],
    ] {
        let to = ["--escalate-to", "acme/people"];
        let to = if set.contains(&"--escalate-after") { &to[..] } else { &[] };
        stack.arizuko(&[&["route", "set"], set, to].concat()).await.expect(0);
    }
    let named = |name: &str| Hello { name: name.to_owned(), ..hello("acme/bot", 1) };
    let key = stack.agent_key("acme/bot").await;
    let _one = stack.attach_with(&key, named("Bot"), A).await;
    let _two = stack.attach_with(&key, named(""), B).await;
    let explain = ["route", "explain", "web:acme/support"];
    let document = stack.arizuko(&[&explain[..], &["--json"]].concat()).await;
    let mut document = document.expect(0).json();
    let agents = document["presence"][0]["agents"].as_array_mut().expect("a list");
    agents.sort_by_key(|name| name.to_string());
    let expected = json!({
        "folder": "acme",
        "linked": true,
        "route": {
            "prefix": "web:acme/support",
            "target": "acme/bot",
            "persona": "kind",
            "topic": "help",
            "mode": "ROUTE_MODE_TRIGGER",
            "escalation": {"steps": [{
                "after": "120s", "unfinished_after": null, "to": "acme/people", "say": "",
            }]},
            "give_up": {"after": "3600s", "say": ""},
            "observe_for": "OBSERVE_FOR_UNSPECIFIED",
            "only_folder": "",
        },
        "fields": [
            {"field": "target", "prefix": "web:acme"},
            {"field": "persona", "prefix": "web:acme"},
            {"field": "topic", "prefix": "web:acme/support"},
            {"field": "mode", "prefix": ""},
            {"field": "escalation", "prefix": "web:acme/support"},
            {"field": "give_up", "prefix": "web:acme"},
            {"field": "observe_for", "prefix": ""},
        ],
        "presence": [
            {"folder": "acme/bot", "agents": ["", "Bot"]},
            {"folder": "acme/people", "agents": []},
        ],
        "ends_after": "3600s",
    });
    assert_eq!(document, expected);

    let shown = stack.arizuko(&explain).await.expect(0);
    let row = |begins: &str| {
        let row = shown.out.lines().find(|line| line.starts_with(begins));
        let row = row.unwrap_or_else(|| panic!("no {begins}: {shown:?}"));
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("target"), "target web:acme acme/bot");
    assert_eq!(row("topic"), "topic web:acme/support \"help\"");
    assert_eq!(row("mode"), "mode default trigger");
    assert_eq!(row("escalation"), "escalation web:acme/support acme/people after 2m");
    assert_eq!(row("acme/people"), "acme/people nobody");
    assert!(row("acme/bot").contains("unnamed") && row("acme/bot").contains("Bot"));
    let [note] = shown.err.lines().collect::<Vec<_>>()[..] else {
        panic!("one folder is empty: {shown:?}");
    };
    assert!(note.contains("no agent is attached to acme/people"), "{note}");
    assert!(note.contains("agent exec --folder acme/people"), "{note}");
}

#[apply(every_stack)]
async fn explain_shows_the_defaults_that_act_and_the_steps_that_do_not(stack: Stack) {
    let rows = async |told: &mut String| {
        let shown = stack.arizuko(&["route", "explain", "web:acme/support"]).await.expect(0);
        *told = shown.err;
        let row = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let fields = shown.out.lines().skip(1).take_while(|line| !line.is_empty());
        fields.map(row).collect::<Vec<_>>()
    };
    let (key, mut told) = (stack.agent_key("acme").await, String::new());
    let _agent = stack.attach_with(&key, hello("acme", 1), A).await;
    let defaults = [
        "target the link acme",
        "persona default none",
        "topic default none",
        "mode default trigger",
        "escalation default nowhere",
        "give_up --turn-deadline after 1h",
        "observe_for default people",
    ];
    assert_eq!(rows(&mut told).await, defaults);
    let support = ["route", "set", "web:acme/support", "--escalate-after", "2h"];
    let support = [&support[..], &["--escalate-to", "acme/people"]].concat();
    stack.arizuko(&support).await.expect(0);
    assert!(rows(&mut told).await.contains(&"give_up --turn-deadline after 3h".to_owned()));
    assert!(!told.contains("can't happen"), "{told}");
    // The route of the shorter prefix now ends turns before the longer prefix's step is due.
    stack.arizuko(&["route", "set", "web:acme", "--give-up-after", "1h"]).await.expect(0);
    assert!(rows(&mut told).await.contains(&"give_up web:acme after 1h".to_owned()));
    let note = "step 1 of the escalation, to acme/people, can't happen: the turn ends after 1h";
    assert!(told.contains(note), "{told}");
    let refused = stack.arizuko(&[&support[..], &["--topic", "x"]].concat()).await.expect(1);
    assert!(refused.err.contains("can't happen: web:acme gives up after 1h"), "{refused:?}");
}

#[apply(every_stack)]
async fn a_jid_without_a_link_is_explained_for_its_most_likely_folder(stack: Stack) {
    stack.agent_key("acme/eng").await;
    for (jid, folder) in [
        ("web:acme", "acme"),
        ("web:acme/support", "acme"),
        ("web:acme/eng", "acme/eng"),
        ("web:acme/eng/support", "acme/eng"),
        ("hook:acme/eng/github", "acme/eng"),
        ("hook:acme/eng/github/x", "acme/eng"),
    ] {
        let explained = stack.arizuko(&["route", "explain", jid]).await.expect(0);
        let note = format!("no live link has {jid}: this is what a link of {folder} would do");
        assert!(explained.err.contains(&note), "{explained:?}");
        let document = stack.arizuko(&["route", "explain", jid, "--json"]).await;
        let document = document.expect(0).json();
        assert_eq!(document["linked"], false);
        assert_eq!(document["route"]["target"], folder, "{jid}");
    }
    for (wrong, code) in [("acme", 2), ("web:", 2), ("web:a b", 1), ("web:acme/", 1)] {
        let refused = stack.arizuko(&["route", "explain", wrong]).await;
        assert!(refused.expect(code).out.is_empty(), "{wrong}");
    }
}

fn persona(persona: &str, target: &str) -> Route {
    Route {
        persona: Some(persona.to_owned()),
        target: Some(target.to_owned()),
        ..route("web:acme")
    }
}

#[apply(every_stack)]
async fn a_change_applies_at_every_control_from_the_next_message_on(stack: Stack) {
    let visitors = stack.visit_both("acme").await;
    let mut agents = [stack.attach("acme/one", A).await, stack.attach("acme/two", B).await];
    let before = visitors[0].say("before any route").await;
    for number in 0..6 {
        let (to, name) = ((number / 2) % 2, number.to_string());
        stack.route(persona(&name, ["acme/one", "acme/two"][to])).await;
        for visitor in &visitors {
            let said = visitor.say("hello").await;
            let held = agents[to].turn().await;
            let found = (&held.turn.turn_id, &*held.turn.persona);
            assert_eq!(found, (&said.turn, &*name));
            agents[to].answer(held, "hi").await;
        }
    }
    let waiting = visitors[1].get(&format!("{}/status", before.turn)).await;
    assert_eq!(waiting.expect(200).json()["status"], "queued", "it waits for acme");
}

#[apply(every_stack)]
async fn an_open_turn_keeps_the_persona_and_folder_that_it_began_with(stack: Stack) {
    let visitor = stack.visit("acme").await;
    stack.route(persona("old", "acme/old")).await;
    let queued = visitor.say("queued").await;
    let mut agent = stack.attach("acme/old", B).await;
    let held = agent.turn().await;
    stack.route(persona("new", "acme/new")).await;
    // After a rejection the turn is delivered again, with the persona and folder of the old route.
    agent.reject(&held.turn, Duration::ZERO).await;
    let held = agent.turn().await;
    assert_eq!((&held.turn.turn_id, held.turn.attempt), (&queued.turn, 2));
    assert_eq!((&*held.turn.persona, &*held.turn.folder), ("old", "acme/old"));

    // The conversation's next message follows the new route.
    let next = visitor.say_in(&queued.conversation, "next").await;
    agent.answer(held, "hi").await;
    let key = stack.agent_key("acme/new").await;
    let channel = connect(&stack.control(A), Some(&key)).await;
    let mut other = arizuko_tests::attach::Session::open(channel, hello("acme/new", 1)).await;
    let held = other.turn().await;
    assert_eq!((&held.turn.turn_id, &*held.turn.persona), (&next.turn, "new"));
}
