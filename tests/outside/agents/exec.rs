//! `arizuko agent exec`: what a program gets and what becomes of its output.

use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn a_program_gets_the_message_and_the_turns_details_but_no_keys(stack: Stack) {
    let options = LinkOptions { context: "be kind".into(), ..LinkOptions::default() };
    let visitor = stack.visitor(&stack.issue_with("acme/eng", "support", options).await, A);
    let key = stack.agent_key("acme/eng").await;
    let mut agent = Agent::start(&stack, &key, "acme/eng", &[], &[]).await;
    let posted = visitor.say("hello\né").await;
    let program = agent.turn().await;
    assert_eq!(program.input, "hello\né".as_bytes());
    let mut ours: Vec<_> = program
        .environment
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(name, _)| name.starts_with("ARIZUKO"))
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
        .collect();
    ours.sort_unstable();
    let expected = [
        ("ARIZUKO_CONTEXT", "be kind"),
        ("ARIZUKO_CONVERSATION", &posted.conversation),
        ("ARIZUKO_FOLDER", "acme/eng"),
        ("ARIZUKO_HANDED_BY", ""),
        ("ARIZUKO_JID", "web:acme/eng/support"),
        ("ARIZUKO_NOTE", ""),
        ("ARIZUKO_PERSONA", ""),
        ("ARIZUKO_SENDER", "visitor"),
        ("ARIZUKO_TOPIC", ""),
        ("ARIZUKO_TURN", &posted.turn),
        ("ARIZUKO_VISITOR_EMAIL", ""),
        ("ARIZUKO_VISITOR_ID", ""),
        ("ARIZUKO_VISITOR_NAME", ""),
    ];
    assert_eq!(ours, expected, "these variables of ours, and no others");
    let all = program.environment.to_string();
    assert!(!all.contains(&key) && !all.contains(stack.operator_key()), "a key in {all}");
    program.reply("fine").await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
}

#[apply(every_stack)]
async fn output_streams_in_pieces_that_end_between_characters(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.agent("acme", &[]).await;
    let posted = here.say("hello").await;
    let mut events = there.listen(&posted.turn).await;
    let mut program = agent.turn().await;
    program.print("Hello ").await;
    assert_eq!(events.next().await.expect("the first words").data["text"], "Hello ");

    // A character that arrives in pieces is not shown before it is complete.
    let bytes = "a😀é".as_bytes();
    program.print_bytes(&bytes[..3]).await;
    assert_eq!(events.next().await.expect("what is whole").data["text"], "a");
    program.print_bytes(&bytes[3..6]).await;
    assert_eq!(events.next().await.expect("the rest of it").data["text"], "😀");
    program.print_bytes(&bytes[6..]).await;
    assert_eq!(events.next().await.expect("the last one").data["text"], "é");
    program.print_bytes(b"\xff!").await;
    assert_eq!(events.next().await.expect("what is not text").data["text"], "\u{fffd}!");
    program.print_bytes(b"cut \xe2\x82").await;
    assert_eq!(events.next().await.expect("what is whole").data["text"], "cut ");
    program.exit(0).await;
    let rest = events.rest().await;
    let [.., message, done] = &rest[..] else { panic!("{rest:?}") };
    assert_eq!((message.name.as_str(), done.name.as_str()), ("message", "turn_done"));
    assert_eq!(message.data["content"], "Hello a😀é\u{fffd}!cut \u{fffd}");
    let seen = here.read(&posted.turn).await;
    assert_eq!(transcript(&seen).len(), 1);
}

#[apply(embedded)]
async fn a_programs_terminal_colours_reach_nobody(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.agent("acme", &["--status"]).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    program.complain("\x1b[33mstatus: reading\x1b[0m").await;
    program.print_bytes(b"\x1b[1;3").await;
    program.print_bytes(b"1mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07").await;
    program.exit(0).await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(text(&seen), "red link");
    let status = seen.iter().find(|event| event.name == "status").expect("a status");
    assert_eq!(status.data["text"], "reading");
}

#[apply(every_stack)]
async fn with_json_a_program_gets_the_whole_turn_and_its_history(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.agent("acme", &["--json"]).await;
    let first = visitor.say("one").await;
    let program = agent.turn().await;
    let turn: Value = serde_json::from_slice(&program.input).expect("one JSON document");
    assert_fields(&turn, json!({"turn_id": first.turn, "content": "one"}));
    assert_fields(&turn, json!({"jid": "web:acme", "folder": "acme", "attempt": 1}));
    assert_eq!(turn["history"], json!([]));
    program.reply("1").await;
    visitor.say_in(&first.conversation, "two").await;
    let program = agent.turn().await;
    let turn: Value = serde_json::from_slice(&program.input).expect("one JSON document");
    let history = turn["history"].as_array().cloned().unwrap_or_default();
    let contents: Vec<_> = history.iter().map(|message| message["content"].clone()).collect();
    assert_eq!(contents, ["one", "1"], "{turn}");
    let authors: Vec<_> = history.iter().map(|message| message["author"].clone()).collect();
    assert_eq!(authors, ["AUTHOR_USER", "AUTHOR_ASSISTANT"], "{turn}");
}

#[apply(every_stack)]
async fn a_program_gets_a_webhooks_body_and_headers(stack: Stack) {
    let hook = stack.caller(&stack.issue_hook("acme", "github", "").await, A);
    let mut agent = stack.agent("acme", &[]).await;
    let body = b"\x00\xff{}\r\n".to_vec();
    let request = hook.request(Method::POST, "").header("x-event", "push").body(body.clone());
    send(request).await.expect(202);
    let program = agent.turn().await;
    assert_eq!(program.input, body);
    assert_eq!(program.environment["ARIZUKO_SENDER"], "github");
    assert_eq!(program.environment["ARIZUKO_JID"], "hook:acme/github");
    program.exit(0).await;
    drop(agent);

    let mut agent = stack.agent("acme", &["--json"]).await;
    let request = hook.request(Method::POST, "").header("x-event", "push").body("text");
    send(request).await.expect(202);
    let program = agent.turn().await;
    let turn: Value = serde_json::from_slice(&program.input).expect("one JSON document");
    assert!(turn["headers"].to_string().contains("push"), "{turn}");
    assert!(turn.to_string().contains("text"), "{turn}");
}

#[apply(every_stack)]
async fn with_status_only_marked_lines_on_standard_error_reach_the_visitor(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.agent("acme", &["--status"]).await;
    let posted = visitor.say("hello").await;
    let mut events = visitor.listen(&posted.turn).await;
    let mut program = agent.turn().await;
    program.complain("Traceback: password=hunter2").await;
    program.complain("title: Order 17").await;
    let event = events.next().await.expect("the title");
    assert_eq!((event.name.as_str(), &event.data["title"]), ("title", &json!("Order 17")));
    program.complain("status: Reading é").await;
    let event = events.next().await.expect("the status");
    assert_eq!((event.name.as_str(), &event.data["text"]), ("status", &json!("Reading é")));
    program.print("done").await;
    assert_eq!(events.next().await.expect("the reply").name, "delta");
    program.exit(0).await;
    assert_eq!(names(&events.rest().await), ["message", "turn_done"]);
}

#[apply(every_stack)]
async fn a_long_answer_arrives_whole(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut exec = stack.operators_command();
    exec.args(["agent", "exec", "--folder", "acme", "--", "python3", "-IS"]).arg(script("long.py"));
    let _agent = Process::start("agent", exec, &stack.logs());
    stack.attended("acme").await;
    let posted = visitor.say("600000").await;
    let seen = within("all of a long answer", async { visitor.read(&posted.turn).await }).await;
    let text = text(&seen);
    let expected: String = (0..)
        .map(|n| format!("{n} é😀\n"))
        .take_while({
            let mut bytes = 0;
            move |line| {
                bytes += line.len();
                bytes <= 600_000
            }
        })
        .collect();
    assert!(text.trim_end() == expected.trim_end(), "{} and {} bytes", text.len(), expected.len());
    assert_eq!(seen.last().map(|event| event.data["status"].clone()), Some(json!("done")));
    assert!(seen.iter().all(|event| event.raw.len() < 200_000), "frames stay small");
}
