//! Agents that use the modules in `examples`: what the modules promise to handlers, in each
//! language.

mod faults;

use arizuko_tests::prelude::*;

/// Reads a reply to its end. Asserts its text, that each frame comes once, that it ends, and that
/// it has no restart.
async fn whole(visitor: &Visitor, posted: &Posted, text: &str) -> Vec<Event> {
    let seen = read_to_the_end(visitor, &posted.turn).await;
    let said = transcript(&seen).into_iter().map(|(_, text)| text);
    assert_eq!(said.collect::<String>(), text, "{:?}", names(&seen));
    let numbers = seen.iter().filter_map(|event| event.data["n"].as_u64());
    assert!(numbers.eq(1..=seen.len() as u64), "{:?}", names(&seen));
    assert!(!names(&seen).contains(&"restart"), "{:?}", names(&seen));
    assert_eq!(names(&seen).last(), Some(&"turn_done"));
    seen
}

#[apply(embedded_and_pair)]
async fn a_reply_streams_piece_by_piece(language: Language, stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "1", &[]).await;
    let posted = visitor.say("grüß dich").await;
    let mut live = visitor.listen(&posted.turn).await;
    let mut program = agent.turn().await;
    assert_eq!(program.input, "grüß dich".as_bytes());
    assert_eq!(program.environment["ARIZUKO_TURN"], posted.turn.as_str());
    assert_eq!(program.environment["ARIZUKO_JID"], "web:acme");
    program.step(json!({"status": "thinking"})).await;
    assert_eq!(names(&live.take(1).await), ["status"]);
    program.print("one ").await;
    assert_eq!(names(&live.take(1).await), ["delta"]);
    program.print("two").await;
    program.step(json!({"message": "one, two"})).await;
    // This message is too long for one frame. Its frames must not split a character.
    let long = format!("x{}", "é😀".repeat(40_000));
    program.step(json!({"message": long})).await;
    program.exit(0).await;
    let seen = whole(&visitor, &posted, &format!("one, two{long}")).await;
    let begins = match language {
        // Text that is written just before the finished form is only in that form.
        Language::Rust => ["status", "delta", "message", "delta", "delta"],
        _ => ["status", "delta", "delta", "message", "delta"],
    };
    assert_eq!(names(&seen)[..5], begins);
}

#[apply(embedded)]
async fn what_a_handler_returns_is_the_rest_of_its_reply(language: Language, stack: Stack) {
    let visitor = stack.visit("acme").await;
    for flags in [&[][..], &["--plain"]] {
        let mut agent = language.agent(&stack, "1", flags).await;
        for returned in [json!("in one 😀"), json!(["in", " ", "one 😀"])] {
            let posted = visitor.say("hello").await;
            let mut program = agent.turn().await;
            program.print("all ").await;
            program.try_step(json!({"return": returned})).await;
            whole(&visitor, &posted, "all in one 😀").await;
        }
        let posted = visitor.say("hello").await;
        agent.turn().await.try_step(json!({"return": [1]})).await;
        assert_eq!(visitor.end_of(&posted.turn).await["status"], "failed");
    }
}

#[apply(embedded)]
async fn a_handler_says_what_its_turn_took_of_models(language: Language, stack: Stack) {
    let visitor = stack.visit("acme").await;
    // 4,000 tokens are reserved for each turn, until the agent says how many the turn used.
    stack.arizuko(&["token", "edit", "web:acme", "--budget-tokens", "5k/day"]).await.expect(0);
    let mut agent = language.agent(&stack, "1", &[]).await;
    for _ in 0..2 {
        let posted = visitor.say("hello").await;
        let mut program = agent.turn().await;
        program.step(json!({"usage": [90, 10]})).await;
        program.exit(0).await;
        assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
    }
}

#[apply(embedded)]
async fn a_failing_handler_shows_the_visitor_its_sentence_only(language: Language, stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "1", &[]).await;
    for (exit, sentence) in [
        (1, "That is beyond me."),
        (2, "The agent could not answer."),
        // The agent has survived the failure before this one.
        (1, "That is beyond me."),
    ] {
        let posted = visitor.say("hello").await;
        agent.turn().await.exit(exit).await;
        let standing = visitor.end_of(&posted.turn).await;
        assert_eq!(standing["status"], "failed");
        assert_eq!(standing["error"], sentence);
    }
}

#[apply(embedded)]
async fn concurrency_bounds_the_turns_that_run_at_a_time(language: Language, stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "2", &[]).await;
    let (first, second) = (visitor.say("a").await, visitor.say("b").await);
    let third = visitor.say("c").await;
    let (mut one, mut two) = (agent.turn().await, agent.turn().await);
    let waiting = visitor.get(&format!("{}/status?wait=1", third.turn)).await;
    assert_eq!(waiting.expect(200).json()["status"], "queued");
    one.print("one").await;
    two.print("two").await;
    one.exit(0).await;
    let mut three = agent.turn().await;
    three.print("three").await;
    two.exit(0).await;
    three.exit(0).await;
    for (posted, text) in [(first, "one"), (second, "two"), (third, "three")] {
        whole(&visitor, &posted, text).await;
    }
}

#[apply(embedded)]
async fn a_handler_that_blocks_past_the_lease_keeps_its_turn(language: Language, kind: Kind) {
    let settings = [("ARIZUKO_LEASE", "2s"), ("ARIZUKO_AGENT_HEARTBEAT", "500ms")];
    let stack = Stack::with(kind, &settings).await;
    let visitor = stack.visit("acme").await;
    let mut coroutine = language.agent(&stack, "1", &[]).await;
    let first = visitor.say("hello").await;
    let mut one = coroutine.turn().await;
    let mut plain = language.agent(&stack, "1", &["--plain"]).await;
    let second = visitor.say("hello").await;
    let mut two = plain.turn().await;
    for program in [&mut one, &mut two] {
        program.print("before ").await;
    }
    // This agent would get any turn that the handlers lose.
    let _next = stack.agent("acme", &[]).await;
    let block = json!({"block": 5});
    tokio::join!(one.step(block.clone()), two.step(block));
    for (program, posted) in [(one, first), (two, second)] {
        program.reply("and after").await;
        whole(&visitor, &posted, "before and after").await;
    }
}

#[apply(embedded_and_pair)]
async fn cancelling_a_turn_ends_its_handler(language: Language, stack: Stack) {
    let visitor = stack.visitor(&stack.issue("acme").await, B);
    for flags in [&[][..], &["--plain"]] {
        let mut agent = language.agent(&stack, "1", flags).await;
        let posted = visitor.say("hello").await;
        let mut program = agent.turn().await;
        program.print("half").await;
        let cancel = visitor.post_to(&format!("{}/cancel", posted.turn)).await;
        cancel.expect(200);
        // A coroutine is cancelled; a plain function fails at its next write.
        if flags.is_empty() {
            program.killed().await;
        } else {
            within("a write to fail", async {
                while program.try_step(json!({"status": "at it"})).await {}
            })
            .await;
        }
        // The agent takes the next turn.
        let posted = visitor.say("hello").await;
        let program = agent.turn().await;
        program.reply("here").await;
        whole(&visitor, &posted, "here").await;
    }
}

#[apply(embedded_and_pair)]
async fn stopping_the_agent_requeues_its_turns(language: Language, stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "1", &["--plain"]).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    program.print("half").await;
    visitor.listen(&posted.turn).await.take(1).await;
    agent.process.signal(Signal::SIGTERM);
    assert_eq!(agent.process.exit().await.code(), Some(0));
    let mut next = stack.attach("acme", B).await;
    let held = next.turn().await;
    assert_eq!((held.turn.turn_id.as_str(), held.turn.attempt), (posted.turn.as_str(), 2));
}

#[apply(embedded)]
async fn a_handler_hands_a_turn_off_with_its_messages(language: Language, stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "1", &[]).await;
    let mut people = stack.attach("acme/people", B).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    program.print("One moment. ").await;
    let handoff = json!({"handoff": "acme/people", "note": "wants a person"});
    program.step(handoff).await;
    program.exit(0).await;
    let held = people.turn().await;
    assert_eq!(held.turn.turn_id, posted.turn);
    assert_eq!(held.turn.said[0].content, "One moment. ");
    let handed = held.turn.handed.clone().expect("it comes from somebody");
    assert_eq!((&*handed.folder, &*handed.note), ("acme", "wants a person"));
    // The handoff frees the agent's place for another turn.
    let posted = visitor.say("hello").await;
    agent.turn().await.exit(0).await;
    whole(&visitor, &posted, "").await;
    // The module refuses a handoff for which control would end the stream.
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    let handoff = json!({"handoff": "other", "note": ""});
    assert!(!program.try_step(handoff).await);
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "failed");
}

#[apply(embedded)]
async fn a_handler_sends_a_message_of_its_own(language: Language, stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "1", &[]).await;
    let posted = visitor.say("hello").await;
    let mut follow = visitor.follow(&posted.conversation).await;
    let mut program = agent.turn().await;
    program.step(json!({"speak": "By the way."})).await;
    let seen = follow.through("message").await;
    let said = seen.last().map(|event| &event.data);
    assert_eq!(said.map(|data| &data["content"]), Some(&json!("By the way.")));
    program.exit(0).await;
}

#[apply(pair)]
async fn an_agent_shows_control_its_certificate(language: Language, kind: Kind) {
    let stack = Stack::with_tls(kind, &[]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "1", &[]).await;
    let posted = visitor.say("hello").await;
    let program = agent.turn().await;
    program.reply("in private").await;
    whole(&visitor, &posted, "in private").await;
}

#[apply(embedded)]
async fn a_handler_issues_links_and_learns_why_one_is_refused(language: Language, kind: Kind) {
    // One of the two links is the visitor's.
    let stack = Stack::with(kind, &[("ARIZUKO_JID_LINKS", "2")]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "1", &[]).await;
    let posted = visitor.say("hello").await;
    let mut program = agent.turn().await;
    for folder in ["acme", "acme", "other"] {
        program.step(json!({"issue": folder})).await;
    }
    program.exit(0).await;
    let told = match language {
        Language::Python | Language::TypeScript => {
            "RESOURCE_EXHAUSTED LIMIT_REACHED true\nPERMISSION_DENIED NOT_ALLOWED false\n"
        }
        Language::Rust => "LIMIT_REACHED true\nNOT_ALLOWED false\n",
    };
    whole(&visitor, &posted, &format!("web:acme\n{told}")).await;
}

#[apply(embedded)]
async fn an_agent_reads_its_key_from_a_file_and_ignores_proxies(language: Language, stack: Stack) {
    let key = stack.folder().join("agent.key");
    write_secret(&key, &stack.agent_key("acme").await);
    let mut variables =
        vec![("ARIZUKO_KEY", ""), ("ARIZUKO_KEY_FILE", key.to_str().expect("text"))];
    // No proxy listens at this address, so an agent that used one would fail.
    let names = ["http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"];
    variables.extend(names.map(|name| (name, "http://127.0.0.1:1")));
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent_with(&stack, &variables).await;
    let posted = visitor.say("hello").await;
    let mut follow = visitor.follow(&posted.conversation).await;
    let mut program = agent.turn().await;
    program.step(json!({"speak": "By the way."})).await;
    follow.through("message").await;
    program.exit(0).await;
}

#[apply(pair)]
async fn a_refused_key_ends_the_agent(language: Language, stack: Stack) {
    let mut module = language.module(&stack, "acme").await;
    module.args(["127.0.0.1:1", "1"]).env("ARIZUKO_KEY", "azk_nonsense");
    let outcome = run(&mut module, "").await.expect(1);
    let says = match language {
        Language::Rust => "the key is unknown, expired or revoked",
        Language::Python | Language::TypeScript => "UNAUTHENTICATED",
    };
    assert!(outcome.err.contains(says), "{outcome:?}");
}
