//! Paused links: they take no messages at any gateway until they are resumed.

use arizuko_tests::{prelude::*, tools::dial};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn refuses(stack: &Stack, link: &Link, hook: &Link, conversation: &str) {
    for gateway in BOTH {
        let visitor = stack.visitor(link, gateway);
        for message in
            [json!({"content": "x"}), json!({"content": "x", "conversation": conversation})]
        {
            let refused = visitor.post_json(&message).await.refused(403, "LINK_PAUSED");
            assert_eq!(refused.retry_after(), 30);
        }
        let stream = visitor.get(&format!("c/{conversation}/sse")).await;
        assert_eq!(stream.refused(403, "LINK_PAUSED").retry_after(), 30);
        let form = visitor.request(Method::POST, "").header("accept", "text/html");
        let page = send(
            form.header("content-type", "application/x-www-form-urlencoded").body("content=x"),
        )
        .await
        .expect(403)
        .text();
        assert!(page.contains("Paused for now"), "{page}");
        let completion = visitor.request(Method::POST, "v1/chat/completions");
        let asked = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        send(completion.json(&asked)).await.expect(403);
        // A webhook answers 503 instead of 403, since its senders would give up on a 403.
        let delivery = stack.caller(hook, gateway).post("text/plain", "x").await;
        assert_eq!(delivery.refused(503, "LINK_PAUSED").retry_after(), 30);
        let page = stack.visitor(link, gateway).get("").await.expect(200).text();
        assert!(page.contains("This chat is paused for now."), "{page}");
    }
}

/// Sends only the head of a large message, and returns the status of the answer.
async fn answer_without_body(stack: &Stack, path: &str) -> String {
    let mut unsent = dial(&stack.gateway(A), "127.0.0.1").await;
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n");
    let head = format!("{head}Content-Length: 100000\r\n\r\n");
    unsent.write_all(head.as_bytes()).await.expect("the gateway reads heads");
    let mut answer = [0; 12];
    within("an answer", unsent.read_exact(&mut answer)).await.expect("the gateway answers");
    String::from_utf8_lossy(&answer[9..]).into_owned()
}

#[apply(embedded_and_pair)]
async fn a_paused_link_takes_nothing_until_it_is_resumed(stack: Stack) {
    let (link, hook) = (stack.issue("acme").await, stack.issue_hook("acme", "ci", "").await);
    let mut agent = stack.attach("acme", B).await;
    let [here, there] = stack.visitors(&link);
    let posted = here.say_once("the key of the first message", &json!({"content": "hello"})).await;
    let posted = posted.posted();
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "hal")).await;
    stack.caller(&hook, A).post("text/plain", "before").await.expect(202);
    agent.answer_next("delivered").await;
    let mut streams = Vec::new();
    for visitor in [&here, &there] {
        for path in [format!("{}/sse", posted.turn), format!("c/{}/sse", posted.conversation)] {
            let mut events = visitor.open(&path, Cursor::Start).await.ok();
            events.greeting().await;
            streams.push(events);
        }
    }

    stack.arizuko(&["token", "pause", &link.url]).await.expect(0);
    let begun = Instant::now();
    stack.arizuko(&["token", "pause", &hook.token_id]).await.expect(0);
    refuses(&stack, &link, &hook, &posted.conversation).await;
    for mut events in streams {
        let seen = events.rest().await;
        assert_eq!(names(&seen).last(), Some(&"paused"), "{seen:?}");
        assert!(begun.elapsed() < Duration::from_secs(4), "it ended after {:?}", begun.elapsed());
    }
    let (chat, delivery) = (format!("/chat/{}/", link.token), format!("/hook/{}", hook.token));
    let refused =
        tokio::join!(answer_without_body(&stack, &chat), answer_without_body(&stack, &delivery));
    assert_eq!(refused, ("403".to_owned(), "503".to_owned()));
    for shows in [&["show", &link.url][..], &["list"]] {
        let shown = stack.arizuko(&[&["token"], shows].concat()).await.expect(0);
        assert!(shown.out.contains("paused"), "{}", shown.out);
    }

    // What was taken before the pause is answered and can be read, and a repeat of it finds its
    // turn.
    let repeat = json!({"content": "hello"});
    let repeat = there.say_once("the key of the first message", &repeat).await.expect(202);
    assert_eq!(repeat.json()["turn_id"], posted.turn.as_str());
    agent.append(&mut held, message("m1", "hallo")).await;
    agent.finish(&held).await;
    assert_eq!(there.end_of(&posted.turn).await["status"], "done");

    for target in [&link.jid, &hook.token_id] {
        stack.arizuko(&["token", "resume", target]).await.expect(0);
    }
    for gateway in BOTH {
        let more = json!({"content": "more", "conversation": posted.conversation});
        let more = stack.visitor(&link, gateway).post_json(&more).await.posted();
        agent.answer_next("more").await;
        stack.visitor(&link, gateway).read(&more.turn).await;
        stack.caller(&hook, gateway).post("text/plain", "after").await.expect(202);
        agent.answer_next("delivered").await;
    }
    let audit = stack.arizuko(&["audit", "acme"]).await.expect(0).out;
    for action in ["token.pause", "token.resume"] {
        assert_eq!(audit.matches(action).count(), 2, "{audit}");
    }
}
