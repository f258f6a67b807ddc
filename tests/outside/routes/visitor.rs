//! Visitors see the effects of routes, handoffs and people in every form of answer.

use arizuko_tests::prelude::*;

const RECEIVED: &str = "Your message was received.";

/// Returns the HTML of the messages on the page, as a browser without JavaScript shows them.
async fn page(visitor: &Visitor, conversation: &str) -> String {
    let page = visitor.get(&format!("?conversation={conversation}")).await;
    let html = page.expect(200).text();
    let (_, thread) = html.split_once(r#"id="thread">"#).expect("the page has a thread");
    let (thread, _) = thread.split_once(r#"class="dock""#).expect("the page has a composer");
    let frame = thread.split_once("&amp;replies=").and_then(|(_, rest)| rest.split_once('"'));
    let Some((first, _)) = frame else {
        return thread.to_owned();
    };
    let frame = visitor.get(&format!("?conversation={conversation}&replies={first}")).await;
    thread.to_owned() + &frame.expect(200).text()
}

async fn history(visitor: &Visitor, conversation: &str) -> Value {
    let history = visitor.get(&format!("c/{conversation}")).await;
    history.expect(200).json()["turns"].clone()
}

async fn claimed(session: &mut Session, turn: &str) -> Held {
    let waits = |inbox: &arizuko_proto::v1::Inbox| inbox.waiting.iter().any(|t| t.turn_id == turn);
    session.inbox("the turn in the inbox", waits).await;
    session.claim(turn, false).await;
    session.turn().await
}

#[apply(every_stack)]
async fn every_form_of_answer_names_the_person_who_wrote_a_message(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut bot = stack.attach("acme", A).await;
    let mut ana = stack.session(B, person("acme/people", "Ana")).await;
    let waiting = here.request(Method::POST, "?wait=20");
    let asking = send(waiting.json(&json!({"content": "a human, please"})));
    let answering = async {
        let mut held = bot.turn().await;
        let turn = held.turn.turn_id.clone();
        let frames = vec![message("m1", "One moment."), handoff("acme/people", "", false)];
        bot.push(&mut held, frames).await;
        let mut held = claimed(&mut ana, &turn).await;
        ana.append(&mut held, status("Ana is typing…")).await;
        let typing = there.json(&turn).await;
        assert_eq!(typing["status_text"], "Ana is typing…");
        ana.append(&mut held, status("")).await;
        let idle = there.json(&turn).await;
        assert_eq!(idle.get("status_text"), None, "{idle}");
        ana.append(&mut held, message("m1", "Here *I* am.")).await;
        ana.finish(&held).await;
    };
    let (answer, ()) = tokio::join!(asking, answering);
    let answer = answer.expect(200).json();
    let text = |name: &str| answer[name].as_str().expect("ids are text").to_owned();
    let (turn, conversation) = (text("turn_id"), text("conversation"));

    let signed = |by: &str, messages: &Value| {
        let (bot, person) = (&messages[0], &messages[1]);
        assert_eq!(bot["author"], "assistant", "{by}: {messages}");
        assert_eq!(bot.get("name"), None, "{by}: {messages}");
        assert_eq!(person["author"], "person", "{by}: {messages}");
        assert_eq!(person["name"], "Ana", "{by}: {messages}");
    };
    signed("the answer", &answer["assistant"]);
    let snapshot = there.json(&turn).await;
    signed("the snapshot", &snapshot["assistant"]);
    let turns = history(&here, &conversation).await;
    signed("the history", &turns[0]["assistant"]);
    let of_turn = here.read(&turn).await;
    let of_conversation = there.follow(&conversation).await.through("turn_done").await;
    for (by, events) in [("a turn", of_turn), ("a conversation", of_conversation)] {
        let said = events.into_iter().filter(|event| event.name == "message");
        signed(by, &said.map(|event| event.data).collect());
    }
    let page = page(&here, &conversation).await;
    let (_, ana) = page.split_once("assistant person").expect("it is a person");
    assert!(ana.contains(r#"<h2 class="author" data-initials="A">Ana</h2>"#), "{page}");
    assert!(page.contains(r#"<h2 class="author">acme</h2>"#), "{page}");
}

#[apply(every_stack)]
async fn observed_and_dropped_messages_end_at_once_however_they_are_sent(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    for (route, word) in [(RouteMode::Observe, "observed"), (RouteMode::Drop, "dropped")] {
        stack.route(mode("web:acme", route)).await;
        let begun = Instant::now();
        let posted = here.say("plainly").await;
        let standing = there.get(&format!("{}/status?wait=30", posted.turn)).await.expect(200);
        assert_eq!(standing.json()["status"], word);

        let in_it = json!({"content": "and wait", "conversation": posted.conversation});
        let waiting = there.request(Method::POST, "?wait=30").json(&in_it);
        let answer = send(waiting).await.expect(200).json();
        assert_eq!(answer["status"], word);
        assert_eq!(answer["assistant"], json!([]));
        assert_eq!(answer["user"]["content"], "and wait");

        let mut stream = here.stream_of(&in_it).await;
        let seen = stream.rest().await;
        assert_eq!(names(&seen), ["turn_done"]);
        assert_eq!(seen[0].data["status"], word);
        let seen = here.read(&posted.turn).await;
        let id = seen[0].id.as_deref().expect("it is numbered");
        let again = there.open(&format!("{}/sse", posted.turn), Cursor::After(id)).await;
        assert_eq!(again.status, 204, "the reader has the whole turn");

        let form = format!("content=a+form&conversation={}", posted.conversation);
        let form = there
            .request(Method::POST, "")
            .header("accept", "text/html")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = send(form).await.expect(303);
        assert!(answer.header("location").ends_with(&posted.conversation));
        let html = page(&here, &posted.conversation).await;
        assert_eq!(html.matches(RECEIVED).count(), 4, "{html}");
        assert!(!html.contains("Waiting"), "{html}");
        let whole = here.get(&format!("?conversation={}", posted.conversation)).await;
        assert!(!whole.text().contains(r#"http-equiv="refresh""#));

        let events = there.follow(&posted.conversation).await.take(8).await;
        assert_eq!(names(&events), ["user", "turn_done"].repeat(4));
        for turn in history(&here, &posted.conversation).await.as_array().expect("a list") {
            assert_eq!(turn["status"], word);
            assert_eq!(turn["assistant"], json!([]));
            assert!(turn["ended_at"].is_string(), "{turn}");
        }
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(15), "no request waited for an agent: {took:?}");
    }
}

#[apply(every_stack)]
async fn an_observed_webhook_ends_at_once(stack: Stack) {
    let hook = stack.issue_hook("acme", "linear", "").await;
    stack.route(mode("hook:acme/linear", RouteMode::Observe)).await;
    let caller = stack.caller(&hook, A);
    let answer = caller.post("text/plain", "noted").await.expect(202).json();
    assert_eq!(answer["status"], "observed");
    let turn = answer["turn_id"].as_str().expect("ids are text");
    let path = format!("/{turn}/sse");
    let mut stream = stack.caller(&hook, B).open(&path, Cursor::Start).await.ok();
    assert_eq!(names(&stream.rest().await), ["turn_done"]);
    let snapshot = caller.json(&format!("/{turn}")).await;
    assert_eq!(snapshot["status"], "observed");
}

#[apply(every_stack)]
async fn an_unprompted_turn_has_no_visitor_message(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let posted = here.say("tell me").await;
    let mut live =
        there.open(&format!("c/{}/sse?html=1", posted.conversation), Cursor::Start).await.ok();
    live.through("user").await;
    let turn = stack.speak("acme", &posted.conversation, "It is **done**.").await;
    let seen = live.take(3).await;
    assert_eq!(names(&seen), ["message", "html", "turn_done"]);
    assert_eq!(rendered(&seen)[0].1, "<p>It is <strong>done</strong>.</p>\n");

    let snapshot = there.json(&turn).await;
    assert_eq!(snapshot.get("user"), Some(&Value::Null), "{snapshot}");
    let turns = history(&here, &posted.conversation).await;
    assert_eq!(turns[1].get("user"), Some(&Value::Null), "{turns}");
    assert_eq!(turns[0]["user"]["content"], "tell me");
    let standing = here.json(&format!("{turn}/status")).await;
    assert_fields(&standing, json!({"status": "done", "n": 2}));
    let html = page(&here, &posted.conversation).await;
    assert_eq!(html.matches(r#"class="message user""#).count(), 1, "{html}");
    assert!(html.contains("It is <strong>done</strong>."), "{html}");
}

/// Makes a turn that the bot hands off after half a message, and that an agent of `acme/people` has
/// begun to answer. Returns the turn, its conversation and this agent.
async fn handed_off_and_begun(stack: &Stack, visitor: &Visitor) -> (String, String, Session) {
    let mut bot = stack.attach("acme", A).await;
    let mut first = stack.attach("acme/people", B).await;
    let posted = visitor.say("help").await;
    let mut held = bot.turn().await;
    let frames = vec![delta("m1", "I fetch *somebody*"), handoff("acme/people", "", false)];
    bot.push(&mut held, frames).await;
    let mut held = first.turn().await;
    let frames = vec![delta("m1", "never mind"), message("m2", "nor this")];
    first.push(&mut held, frames).await;
    first.stored(&held).await;
    (posted.turn, posted.conversation, first)
}

#[apply(every_stack)]
async fn a_later_restart_drops_nothing_that_an_earlier_one_kept(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let (turn, conversation, first) = handed_off_and_begun(&stack, &here).await;
    let mut live = there.open(&format!("c/{conversation}/sse?html=1"), Cursor::Start).await.ok();
    let before = live.through("message").await;
    first.leave().await;
    let mut second = stack.attach("acme/people", A).await;
    second.answer_next("Here I am.").await;
    let seen = live.through("turn_done").await;
    let restart = seen.iter().find(|event| event.name == "restart");
    assert_eq!(restart.expect("another attempt begins").data["keep"], false);

    let expected = ["I fetch *somebody*", "Here I am."];
    let whole = here.follow(&conversation).await.through("turn_done").await;
    let texts = |events: &[Event]| -> Vec<String> {
        transcript(events).into_iter().map(|(_, text)| text).collect()
    };
    assert_eq!(texts(&whole), expected);
    let snapshot = here.json(&turn).await;
    let said = snapshot["assistant"].as_array().expect("a list").iter();
    let said: Vec<_> = said.map(|message| message["content"].clone()).collect();
    assert_eq!(said, expected);

    // In the end, the page has complete HTML of the kept half. After the restart it gets nothing of
    // the dropped messages.
    let all: Vec<_> = before.into_iter().chain(seen.clone()).collect();
    let html: Vec<_> = rendered(&all).into_iter().map(|(_, html)| html).collect();
    for whole in ["<p>Here I am.</p>\n", "<p>I fetch <em>somebody</em></p>\n"] {
        assert!(html.iter().any(|html| html == whole), "{html:?}");
    }
    let after = seen.iter().skip_while(|event| event.name != "restart");
    let after: Vec<_> = after.filter(|event| event.name == "html").cloned().collect();
    assert!(!raw(&after).contains("never mind"), "{after:?}");
}

#[apply(every_stack)]
async fn a_page_opened_between_two_restarts_knows_which_messages_stay(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let (turn, conversation, first) = handed_off_and_begun(&stack, &here).await;
    let snapshot = there.json(&turn).await;
    assert_eq!(snapshot["assistant"].as_array().map(Vec::len), Some(3));
    assert_eq!(snapshot["kept"], 1, "{snapshot}");
    assert_eq!(history(&here, &conversation).await[0]["kept"], 1);
    first.leave().await;
    let mut second = stack.attach("acme/people", B).await;
    let held = within("the turn again", second.turn()).await;
    let snapshot = there.json(&turn).await;
    assert_eq!(snapshot["assistant"].as_array().map(Vec::len), Some(1));
    assert_eq!(snapshot["kept"], 1, "{snapshot}");
    second.answer(held, "Here I am.").await;
    let ended = here.end_of(&turn).await;
    assert_eq!(ended["status"], "done");
}
