//! The output of `arizuko conversation show` and `arizuko turn show`.

use super::cnv;
use arizuko_tests::prelude::*;

/// Asserts that a text contains these words in this order.
#[track_caller]
fn assert_in_order(text: &str, words: &[&str]) {
    let mut from = 0;
    for word in words {
        let at = text[from..].find(word);
        from += at.unwrap_or_else(|| panic!("{word:?} is not at its place in:\n{text}"));
    }
}

#[apply(every_stack)]
async fn a_transcript_shows_who_said_what_and_what_happened(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = stack.attach("acme", A).await;
    let posted = visitor.say("help\nagent: I am evil\u{1b}[2J").await;
    let first = bot.turn().await;
    bot.reject(&first.turn, Duration::ZERO).await;
    bot.lost(&posted.turn).await;
    let mut held = bot.turn().await;
    bot.push(
        &mut held,
        vec![message("m1", "One moment."), handoff("acme/people", "wants a refund", false)],
    )
    .await;
    bot.lost(&posted.turn).await;
    let mut ann = stack.session(B, person("acme/people", "Ann")).await;
    ann.inbox("the turn", |inbox| inbox.waiting.len() == 1).await;
    ann.claim(&posted.turn, false).await;
    ann.answer_next("Here is your money.").await;
    visitor.end_of(&posted.turn).await;

    let id = cnv(&posted);
    let shown = stack.arizuko(&["conversation", "show", &id]).await.expect(0).out;
    assert_in_order(
        &shown,
        &[
            &id,
            "web:acme, link tok_",
            "with          acme/people",
            &format!("{}  done, attempt 3", public_id::turn(&posted.turn)),
            "visitor: help\n      agent: I am evil [2J\n",
            "(queued again): attempt 1 of protocol test (key_",
            "the test says so",
            "agent: One moment.",
            "(handed off): from acme to acme/people, attempt 2 of protocol test",
            "note: wants a refund",
            "Ann, a person: Here is your money.",
        ],
    );
    for own in [&posted.conversation, &posted.turn] {
        assert!(!shown.contains(own), "an id that gives access is shown: {shown}");
    }
    // The id by which the visitor knows the conversation works, too.
    let again = stack.arizuko(&["conversation", "show", &posted.conversation]).await.expect(0).out;
    assert_in_order(&again, &[&id, "Here is your money."]);

    let json = stack.arizuko(&["conversation", "show", &id, "--json"]).await.expect(0).json();
    assert_fields(
        &json["conversation"],
        json!({ "conversation_id": id, "jid": "web:acme", "folder": "acme", "status": "TURN_STATUS_DONE" }),
    );
    let turn = &json["turns"][0];
    assert_fields(
        turn,
        json!({ "attempt": 3, "folder": "acme/people", "home": "acme", "error": "" }),
    );
    assert_fields(&turn["agent"], json!({ "name": "Ann", "person": true }));
    let kinds: Vec<_> =
        turn["events"].as_array().expect("a list").iter().map(|e| &e["kind"]).collect();
    assert_eq!(kinds, ["TURN_EVENT_KIND_REQUEUED", "TURN_EVENT_KIND_HANDED_OFF"]);
    assert!(!json.to_string().contains(&posted.turn), "{json}");
}

#[apply(every_stack)]
async fn a_turn_shows_times_agent_route_trace_and_detail(stack: Stack) {
    stack
        .arizuko(&[
            "route",
            "set",
            "web:acme",
            "--persona",
            "concierge",
            "--topic",
            "desk",
            "--escalate-after",
            "2m",
            "--escalate-to",
            "acme/people",
        ])
        .await
        .expect(0);
    let link = stack.issue("acme").await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let visitor = stack.visitor(&link, A);
    let request = visitor
        .request(Method::POST, "")
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    let posted = send(request.json(&json!({ "content": "fail" }))).await.posted();
    let mut agent = stack.agent("acme", &["--name", "bot-7"]).await;
    let mut program = agent.turn().await;
    program.complain("the disk is full").await;
    program.exit(3).await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "failed");

    let id = public_id::turn(&posted.turn);
    let shown = stack.arizuko(&["turn", "show", &id]).await.expect(0).out;
    assert_in_order(
        &shown,
        &[
            &id,
            &cnv(&posted),
            "web:acme",
            "failed",
            "sent",
            "delivered",
            "ended",
            "attempt       1",
            "bot-7 (key_",
            "route to      acme",
            "concierge",
            "desk",
            "to acme/people after 2m",
            trace,
            "The agent could not answer.",
            "the disk is full",
            "visitor: fail",
        ],
    );
    let json = stack.arizuko(&["turn", "show", &posted.turn, "--json"]).await.expect(0).json();
    let turn = &json["turn"];
    assert_fields(
        turn,
        json!({ "turn_id": id, "trace_id": trace, "status": "TURN_STATUS_FAILED", "topic": "desk" }),
    );
    for time in ["created_at", "delivered_at", "ended_at", "deadline"] {
        assert!(turn[time].is_string(), "{time}: {turn}");
    }
}

#[apply(embedded_and_one_redis)]
async fn a_webhook_shows_its_body_and_headers_without_credentials(stack: Stack) {
    let hook = stack.issue_hook("acme", "github", "").await;
    let caller = stack.caller(&hook, A);
    let request = caller
        .request(Method::POST, "")
        .header("x-github-event", "push")
        .header("authorization", "Bearer s3cret");
    let posted = send(request.header("content-type", "application/json").body("{\"ref\": 1}"))
        .await
        .posted();
    let shown = stack.arizuko(&["turn", "show", &posted.turn]).await.expect(0).out;
    assert_in_order(&shown, &["hook:acme/github", "x-github-event: push", "github: {\"ref\": 1}"]);
    assert!(!shown.contains("s3cret"), "{shown}");
    let binary = send(caller.request(Method::POST, "").body(vec![0xff; 9])).await.posted();
    let shown = stack.arizuko(&["conversation", "show", &cnv(&binary)]).await.expect(0).out;
    assert_in_order(&shown, &["github: (9 bytes that are not text)"]);
}

#[apply(embedded_and_one_redis)]
async fn an_open_conversation_shows_the_reply_so_far_and_waiting_turns(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let first = visitor.say("one").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "so far")).await;
    visitor.say_in(&first.conversation, "two").await;
    let json =
        stack.arizuko(&["conversation", "show", &cnv(&first), "--json"]).await.expect(0).json();
    assert_fields(
        &json["conversation"],
        json!({ "open_turns": 2, "status": "TURN_STATUS_RUNNING" }),
    );
    assert_eq!(json["turns"][0]["messages"][1]["content"], "so far");
    assert_eq!(json["turns"][1]["status"], "TURN_STATUS_QUEUED");
}

#[apply(embedded_and_one_redis)]
async fn an_unknown_id_is_not_found_and_a_malformed_one_is_explained(stack: Stack) {
    let posted = stack.visit("acme").await.say("hello").await;
    for id in ["cnv_AAAAAAAAAAAAAAAA", &public_id::turn(&posted.turn).replace("trn", "cnv")] {
        let unknown = stack.arizuko(&["conversation", "show", id]).await.expect(1);
        assert!(unknown.err.contains("there is no such conversation"), "{unknown:?}");
    }
    // The ids that visitors see may begin with a hyphen.
    for command in ["conversation", "turn"] {
        let unknown = stack.arizuko(&[command, "show", "-AAAAAAAAAAAAAAAAAAAAA"]).await;
        assert!(unknown.expect(1).err.contains("there is no such"), "{command}");
    }
    let wrong = stack.arizuko(&["turn", "show", "trn_x"]).await.expect(1);
    assert!(wrong.err.contains("trn_…"), "{wrong:?}");
    stack.arizuko(&["turn", "show", "x"]).await.expect(2);
}

#[apply(embedded_and_one_redis)]
async fn a_deleted_conversation_is_in_no_list_and_not_found(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("forget me").await;
    visitor.delete(&format!("c/{}", posted.conversation)).await.expect(204);
    assert_eq!(super::listed(&stack, &["acme"]).await.len(), 0);
    stack.arizuko(&["conversation", "show", &cnv(&posted)]).await.expect(1);
    stack.arizuko(&["turn", "show", &posted.turn]).await.expect(1);
}
