//! POST `/chat/{token}/`: a message becomes a turn.

use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn a_json_message_makes_a_turn_and_a_conversation(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let answer = visitor.post_json(&json!({"content": "hello\n\"there\" é😀"})).await;
    let first = answer.clone().posted();
    let document = answer.json();
    assert_eq!(document["status"], "queued");
    assert_eq!(document["agent_attached"], false);
    assert_eq!(document["user"]["content"], "hello\n\"there\" é😀");
    let at = document["user"]["created_at"].as_str().unwrap_or_default();
    assert!(at.len() == "2026-01-01T00:00:00.000Z".len() && at.ends_with('Z'), "{at}");

    let second = visitor.say_in(&first.conversation, "and more").await;
    assert_eq!(second.conversation, first.conversation);
    assert_ne!(second.turn, first.turn);
    let elsewhere =
        visitor.post_json(&json!({"content": "x", "conversation": null})).await.posted();
    assert_ne!(elsewhere.conversation, first.conversation);

    let mut agent = stack.attach("acme", B).await;
    let attached = visitor.post_json(&json!({"content": "y"})).await.expect(202).json();
    assert_eq!(attached["agent_attached"], true);
    let turn = agent.turn().await.turn;
    assert_eq!(turn.content, "hello\n\"there\" é😀".as_bytes());
    assert_eq!((turn.jid.as_str(), turn.folder.as_str()), ("web:acme", "acme"));
    assert_eq!((turn.sender.as_str(), turn.attempt), ("visitor", 1));
}

#[apply(every_stack)]
async fn a_form_or_plain_text_is_a_message(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;

    let form = "application/x-www-form-urlencoded";
    let first = visitor.post(form, "content=one+%26%20two%0D%0A%C3%A9").await.posted();
    assert_eq!(agent.offered().await.content, "one & two\r\né".as_bytes());
    let more = format!("conversation={}&content=three", first.conversation);
    let more = visitor.post(&format!("{form}; charset=utf-8"), more).await.posted();
    assert_eq!(more.conversation, first.conversation);

    visitor.post("text/plain; charset=utf-8", "{\"content\": 1}\né").await.posted();
    assert_eq!(agent.offered().await.content, "{\"content\": 1}\né".as_bytes());
}

#[apply(every_stack)]
async fn a_post_can_be_answered_with_the_stream(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let answering = async {
        agent.answer_next("hello to you").await;
    };
    let streaming = async {
        let mut events = visitor.stream_of(&json!({"content": "hello"})).await;
        let header =
            |name: &str| events.headers[name].to_str().map(str::to_owned).unwrap_or_default();
        let (turn, conversation) = (header("arizuko-turn"), header("arizuko-conversation"));
        let seen = events.rest().await;
        assert_eq!(names(&seen), ["message", "turn_done"]);
        assert_eq!(seen[0].data["turn_id"], turn.as_str());
        let replayed = visitor.read(&turn).await;
        assert_eq!(replayed, seen, "the same as the turn's own stream");
        visitor.say_in(&conversation, "and on").await;
    };
    tokio::join!(answering, streaming);
}

#[apply(every_stack)]
async fn a_post_can_wait_for_the_reply(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let nobody =
        send(visitor.request(Method::POST, "?wait=1").json(&json!({"content": "a"}))).await;
    let nobody = nobody.expect(202).json();
    assert_fields(&nobody, json!({"status": "queued", "assistant": null}));

    let mut agent = stack.attach("acme", B).await;
    let left = agent.turn().await;
    agent.finish(&left).await;
    let answering = async {
        agent.answer_next("**done**").await;
    };
    let waiting = send(visitor.request(Method::POST, "?wait=20").json(&json!({"content": "b"})));
    let (answer, ()) = tokio::join!(waiting, answering);
    let answer = answer.expect(200).json();
    assert_eq!(answer["status"], "done");
    assert_eq!(answer["assistant"][0]["content"], "**done**");
    assert_eq!(answer["assistant"][0]["author"], "assistant");
    assert_eq!(answer["assistant"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer.get("error"), None);
}

#[apply(every_stack)]
async fn without_javascript_a_post_redirects_to_a_page_with_the_conversation(stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let form = visitor.request(Method::POST, "").header("accept", browser);
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let answer = send(form.body("content=%3Cb%3Ehello%3C%2Fb%3E&conversation=")).await.expect(303);
    let location = answer.header("location").to_owned();
    let begin = format!("/chat/{}/?conversation=", link.token);
    let conversation = location.strip_prefix(&begin).unwrap_or_else(|| panic!("{location}"));

    let page = stack.at(B, &location).get("").await.expect(200).text();
    assert!(page.contains("&lt;b&gt;hello&lt;/b&gt;") && !page.contains("<b>hello"), "{page}");
    let field = format!("value=\"{conversation}\"");
    assert!(page.contains(&field), "no hidden field to go on with: {page}");
}

#[apply(every_stack)]
async fn without_javascript_a_frame_refreshes_until_the_reply_is_there(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let path = format!("?conversation={}", posted.conversation);
    let refresh = "http-equiv=\"refresh\"";
    let page = visitor.get(&path).await.expect(200).text();
    let frame = format!("{path}&replies={}", posted.turn);
    assert!(page.contains(&frame.replace('&', "&amp;")) && !page.contains(refresh), "{page}");
    let framed = visitor.get(&frame).await.expect(200);
    assert!(framed.text().contains(refresh), "{}", framed.text());
    assert!(framed.header("content-security-policy").contains("frame-ancestors 'self'"));

    let mut agent = stack.attach("acme", B).await;
    agent.answer_next("*hi* <script>alert(1)</script>").await;
    let page = visitor.get(&path).await.expect(200).text();
    let framed = visitor.get(&frame).await.expect(200).text();
    assert!(!framed.contains(refresh) && framed.contains("<em>hi</em>"), "{framed}");
    assert!(
        !page.contains("<iframe")
            && page.contains("<em>hi</em>")
            && !page.contains("<script>alert"),
        "{page}"
    );
    assert!(page.contains("class=\"message assistant\""), "{page}");
}

#[apply(every_stack)]
async fn an_invalid_message_is_refused_with_a_reason(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    for (kind, body) in [
        (json, "{"),
        (json, "[]"),
        (json, "\"hello\""),
        (json, "{}"),
        (json, r#"{"content": 5}"#),
        (json, r#"{"content": ""}"#),
        (json, r#"{"content": " \n\t "}"#),
        (json, r#"{"content": "x", "conversation": "c"}"#),
        (json, r#"{"content": "x", "conversation": "../../../../etc/pas"}"#),
        (json, r#"{"content": "x", "conversation": 7}"#),
        (form, "conversation="),
        (form, "content="),
        ("text/plain", " "),
    ] {
        let answer = visitor.post(kind, body).await;
        assert_eq!(answer.status, 400, "{kind}: {body}: {}", answer.text());
        answer.refused(400, "INVALID");
    }
    visitor.post("text/plain", b"caf\xe9".to_vec()).await.refused(400, "INVALID");
    visitor.post(json, b"{\"content\": \"caf\xe9\"}".to_vec()).await.refused(400, "INVALID");

    // The refusal says in our own words what is wrong.
    let said = visitor.post(form, r#"{"content": "hi"}"#).await.refused(400, "INVALID");
    assert!(said.text().contains("curl --json"), "{}", said.text());
    for kind in [json, "text/plain"] {
        visitor.post(kind, "\u{feff}{}").await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    let latin = format!("{form}; charset=ISO-8859-1");
    visitor.post(&latin, "content=caf%E9").await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    let said = visitor.post(json, r#"{"content": "\ud83d"}"#).await.refused(400, "INVALID");
    assert!(said.text().contains("half a character"), "{}", said.text());
    let posted = visitor.say("hello").await;
    let said = visitor.get(&format!("{}/status?wait=x", posted.turn)).await.refused(400, "INVALID");
    assert!(said.text().contains("`wait`"), "{}", said.text());

    for kind in ["application/xml", "multipart/form-data; boundary=x", "", "json"] {
        visitor.post(kind, "hello").await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    send(visitor.request(Method::POST, "").body("x")).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    send(visitor.request(Method::PUT, "").body("x")).await.refused(405, "METHOD_NOT_ALLOWED");
}

#[apply(every_stack)]
async fn a_message_over_the_size_limit_is_refused(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let most = 64 << 10;
    visitor.post("text/plain", "x".repeat(most)).await.posted();
    visitor.post("text/plain", "x".repeat(most + 1)).await.refused(413, "TOO_LARGE");
    // The limit applies to the message, not to the body, which is longer since JSON escapes
    // characters of the message.
    visitor.post_json(&json!({"content": "\u{1}".repeat(20_000)})).await.posted();
    // The refusal arrives even though the gateway does not read the whole body.
    visitor.post("text/plain", "x".repeat(3 << 20)).await.refused(413, "TOO_LARGE");
}

#[apply(every_stack)]
async fn a_conversation_of_another_link_is_not_found(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let other = stack.visit("acme").await;
    let posted = visitor.say("mine").await;
    let message = json!({"content": "x", "conversation": posted.conversation});
    other.post_json(&message).await.refused(404, "NOT_FOUND");
    let message = json!({"content": "x", "conversation": "AAAAAAAAAAAAAAAAAAAAAA"});
    visitor.post_json(&message).await.refused(404, "NOT_FOUND");
}

#[apply(every_stack)]
async fn the_trace_of_a_message_reaches_the_agent(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = visitor.request(Method::POST, "");
    let request = request.header("traceparent", trace);
    send(request.json(&json!({"content": "x"}))).await.posted();
    let mut agent = stack.attach("acme", B).await;
    let turn = agent.offered().await;
    assert!(turn.traceparent.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{turn:?}");
}
