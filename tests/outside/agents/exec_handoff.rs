//! Routes and handoffs with `arizuko agent exec`.

use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn an_exit_code_hands_the_turn_off(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let flags = ["--handoff", "75=acme/people", "--handoff", "76="];
    let mut bot = stack.agent("acme", &flags).await;
    let mut people = stack.attach("acme/people", A).await;
    let posted = visitor.say("a human, please").await;
    let mut live = visitor.follow(&posted.conversation).await;
    let mut program = bot.turn().await;
    program.print("I fetch somebody.\n").await;
    program.complain("progress").await;
    program.complain("wants money back").await;
    program.exit(75).await;
    let held = people.turn().await;
    let handed = held.turn.handed.clone().expect("it comes from the program");
    assert_eq!((&*handed.folder, &*handed.note), ("acme", "wants money back"));
    assert_eq!(held.turn.said[0].content, "I fetch somebody.");
    people.answer(held, "Here I am.").await;
    let seen = live.through("turn_done").await;
    let [.., restart, message, done] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((&*restart.name, &restart.data["keep"]), ("restart", &json!(true)));
    assert_eq!(message.data["content"], "Here I am.");
    assert_eq!(done.data["status"], "done");
    // The next message goes to the program again, and another exit code fails the turn.
    let posted = visitor.say_in(&posted.conversation, "more").await;
    bot.turn().await.exit(3).await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "failed");
}

#[apply(every_stack)]
async fn an_exit_code_reassigns_the_conversation(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let flags = ["--handoff", "75=acme/people", "--handoff-conversation"];
    let mut bot = stack.agent("acme", &flags).await;
    let posted = visitor.say("a human, please").await;
    bot.turn().await.exit(75).await;
    let mut people = stack.attach("acme/people", A).await;
    let mut held = people.turn().await;
    people.append(&mut held, message("m1", "yes?")).await;
    people.finish(&held).await;
    visitor.say_in(&posted.conversation, "more").await;
    let mut held = people.turn().await;
    assert_eq!(&held.turn.content[..], b"more");
    people.push(&mut held, vec![handoff("", "yours again", true)]).await;
    let program = bot.turn().await;
    assert_eq!(program.input, b"more");
    assert_eq!(program.environment["ARIZUKO_HANDED_BY"], "acme/people");
    assert_eq!(program.environment["ARIZUKO_NOTE"], "yours again");
    program.exit(0).await;
}

#[apply(every_stack)]
async fn a_program_gets_its_routes_fields_and_who_handed_the_turn_off(stack: Stack) {
    let (persona, topic) = (Some("support engineer".into()), Some("leads".into()));
    stack.route(Route { persona, topic, ..route("web:acme") }).await;
    stack.route(observe_for_visitors("hook:acme")).await;
    let hook = stack.caller(&stack.issue_hook("acme", "github", "").await, A);
    let visitor = stack.visit("acme").await;
    for body in [&b"pushed"[..], b"\xff\x00"] {
        let request = hook.request(Method::POST, "").header("x-event", "push");
        send(request.body(body)).await.expect(202);
    }
    let mut bot = stack.agent("acme", &["--json", "--handoff", "75=acme/eng"]).await;
    let mut eng = stack.agent("acme/eng", &["--json", "--handoff", "75=acme"]).await;
    visitor.say("hello").await;
    let mut program = bot.turn().await;
    assert_eq!(program.environment["ARIZUKO_PERSONA"], "support engineer");
    assert_eq!(program.environment["ARIZUKO_TOPIC"], "leads");
    let turn: Value = serde_json::from_slice(&program.input).expect("one JSON document");
    assert_fields(&turn, json!({"persona": "support engineer", "topic": "leads"}));
    assert_fields(&turn, json!({"said": [], "handed": null}));
    let [text, bytes] = &turn["observed"].as_array().expect("what was observed")[..] else {
        panic!("{turn}")
    };
    assert_fields(text, json!({"content": "pushed", "sender": "github"}));
    assert_eq!(text["jid"], "hook:acme/github");
    assert!(text["headers"].to_string().contains("push"), "{text}");
    assert_fields(bytes, json!({"content": null, "content_base64": "/wA="}));
    program.print("let me ask").await;
    program.complain("is that so?").await;
    program.exit(75).await;

    let program = eng.turn().await;
    let turn: Value = serde_json::from_slice(&program.input).expect("one JSON document");
    let handed = json!({"folder": "acme", "note": "is that so?", "escalated": false});
    assert_eq!(turn["handed"], handed);
    assert_eq!(turn["said"][0]["content"], "let me ask");
    assert_eq!(turn["said"][0]["author"], "AUTHOR_ASSISTANT");
    program.exit(0).await;

    // The history names the person who spoke.
    let posted = visitor.say("another").await;
    let program = bot.turn().await;
    program.exit(0).await;
    visitor.end_of(&posted.turn).await;
    let say =
        ["agent", "say", "--folder", "acme", "--name", "Ann", &posted.conversation, "I am here"];
    stack.arizuko(&say).await.expect(0);
    visitor.say_in(&posted.conversation, "good").await;
    let program = bot.turn().await;
    let turn: Value = serde_json::from_slice(&program.input).expect("one JSON document");
    let said = &turn["history"][1];
    assert_fields(said, json!({"content": "I am here", "author": "AUTHOR_PERSON", "name": "Ann"}));
    program.exit(0).await;
}

#[apply(every_stack)]
async fn a_handoff_to_another_tenant_fails_the_turn_but_not_the_agent(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = stack.agent("acme", &["--handoff", "75=other"]).await;
    let posted = visitor.say("hello").await;
    bot.turn().await.exit(75).await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "failed");
    let next = visitor.say("again").await;
    let program = bot.turn().await;
    program.reply("fine").await;
    let seen = visitor.read(&next.turn).await;
    assert_eq!(names(&seen).last(), Some(&"turn_done"));
    assert_eq!(visitor.end_of(&next.turn).await["status"], "done");
    let wrong = ["agent", "exec", "--handoff", "75=a//b", "--", "true"];
    let wrong = stack.arizuko(&wrong).await.expect(2);
    assert!(wrong.err.contains("acme/people"), "{wrong:?}");
}
