//! No visitor reads, changes or learns of another's conversation.

use arizuko_tests::prelude::*;

/// Asserts that every request with these ids, which are not the visitor's, is a 404.
async fn nothing_is_found(visitor: &Visitor, Posted { turn, conversation }: &Posted) {
    for path in [
        turn.clone(),
        format!("{turn}?after=0"),
        format!("{turn}?html=1"),
        format!("{turn}/status"),
        format!("{turn}/status?wait=1"),
        format!("{turn}/sse"),
        format!("{turn}/sse?last_event_id=1-00000000"),
        format!("c/{conversation}"),
        format!("c/{conversation}?after=0&limit=1&html=1"),
        format!("c/{conversation}/sse"),
        format!("c/{conversation}/sse?html=1"),
        format!("?conversation={conversation}"),
    ] {
        visitor.get(&path).await.refused(404, "NOT_FOUND");
    }
    visitor.post_to(&format!("{turn}/cancel")).await.refused(404, "NOT_FOUND");
    visitor.delete(&format!("c/{conversation}")).await.refused(404, "NOT_FOUND");
    let message = json!({"content": "x", "conversation": conversation});
    visitor.post_json(&message).await.refused(404, "NOT_FOUND");
}

#[apply(every_stack)]
async fn ids_of_another_link_open_nothing(stack: Stack) {
    let mine = stack.visit("acme").await;
    let posted = mine.say("mine").await;
    // Tries a link of the same JID, one of another folder, and a webhook.
    let same = stack.visitor(&stack.issue("acme").await, B);
    let other = stack.visit("other").await;
    same.say("theirs").await;
    nothing_is_found(&same, &posted).await;
    nothing_is_found(&other, &posted).await;
    let hook = stack.issue_hook("acme", "github", "").await;
    let hook = stack.caller(&hook, A);
    for path in ["", "/status", "/sse"] {
        hook.get(&format!("/{}{path}", posted.turn)).await.refused(404, "NOT_FOUND");
    }
    // None of these requests changed anything.
    let history = mine.json(&format!("c/{}", posted.conversation)).await;
    assert_eq!(history["turns"].as_array().map(Vec::len), Some(1));
    assert_eq!(history["turns"][0]["status"], "queued");
}

#[apply(every_stack)]
async fn a_visitor_finds_no_other_conversation_of_the_same_link(stack: Stack) {
    let link = stack.issue("acme").await;
    let (alice, bob) = (stack.visitor(&link, A), stack.visitor(&link, B));
    let hers = alice.say("alice-secret").await;
    let his = bob.say("bob").await;
    assert_ne!(hers.conversation, his.conversation);
    let mut agent = stack.attach("acme", B).await;
    let mut live = bob.follow(&his.conversation).await;
    for _ in 0..2 {
        let held = agent.turn().await;
        let answer = format!("to {}", String::from_utf8_lossy(&held.turn.content));
        agent.answer(held, &answer).await;
    }
    // Nothing that Bob can reach without Alice's ids has anything of hers.
    let seen = live.take(3).await;
    assert!(seen.iter().all(|event| !event.raw.contains("alice")), "{seen:?}");
    for path in [
        "",
        "config",
        &format!("c/{}", his.conversation),
        &format!("?conversation={}", his.conversation),
    ] {
        let answer = bob.get(path).await.expect(200).text();
        assert!(
            !answer.contains("alice") && !answer.contains(&hers.conversation),
            "{path}: {answer}"
        );
    }
    // A cursor from Alice's conversation shows Bob nothing of it.
    let hers_first = alice.follow(&hers.conversation).await.take(1).await.remove(0);
    let path = format!("c/{}/sse", his.conversation);
    let mut events =
        bob.open(&path, Cursor::After(hers_first.id.as_deref().unwrap_or_default())).await.ok();
    let replayed = events.take(4).await;
    assert_eq!(replayed[0].name, "reset");
    assert!(replayed.iter().all(|event| !event.raw.contains("alice")), "{replayed:?}");
}

#[apply(every_stack)]
async fn turn_ids_and_conversation_ids_are_not_interchangeable(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let Posted { turn, conversation } = visitor.say("hello").await;
    let swapped = Posted { turn: conversation, conversation: turn };
    nothing_is_found(&visitor, &swapped).await;
}

#[apply(every_stack)]
async fn a_token_with_any_change_is_refused(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_ADDRESS_REQUESTS", "1000000")]).await;
    let link = stack.issue("acme").await;
    let token = link.token.clone();
    assert!(token.len() >= 43, "at least 256 bits: {token}");
    let swap = |at: usize| {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("ASCII")
    };
    let mut wrong = vec![
        token[..token.len() - 1].to_owned(),
        format!("{token}A"),
        format!("{token}="),
        format!("%20{token}"),
        token.to_lowercase(),
        link.token_id.clone(),
        link.jid.replace(':', "%3A"),
        "A".repeat(43),
        "A".repeat(10_000),
        "%00".into(),
        "%ff%fe".into(),
        "..".into(),
        "*".into(),
    ];
    wrong.extend((0..token.len()).map(swap));
    for token in wrong.iter().filter(|wrong| **wrong != token) {
        for path in
            [format!("/chat/{token}/"), format!("/chat/{token}/config"), format!("/hook/{token}")]
        {
            if token == ".." {
                continue;
            }
            let method = if path.starts_with("/hook") { Method::POST } else { Method::GET };
            let answer = send(stack.at(A, &path).request(method, "")).await;
            assert_eq!(answer.status, 401, "{path}: {}", answer.text());
            let answer = answer.refused(401, "TOKEN_INVALID");
            assert!(answer.header("www-authenticate").starts_with("Bearer error="));
        }
    }
}
