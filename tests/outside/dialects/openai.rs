//! `/chat/{token}/v1`, read by OpenAI's libraries.

use super::order;
use arizuko_tests::prelude::*;

const BOTH_LIBRARIES: [Library; 2] = [Library::OpenAiPython, Library::OpenAiNode];

/// Returns the client's argument for a whole reply to these messages, with `more` in its body.
fn whole(stack: &Stack, link: &Link, messages: Value, more: Value) -> Value {
    let mut order = order(Library::OpenAiNode, stack, link, "");
    order["body"] = more;
    order["body"]["messages"] = messages;
    order
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

#[apply(pair)]
async fn a_conversation_goes_on_where_the_client_names_it(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for library in BOTH_LIBRARIES {
        let begin = json!([
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "I am the agent and promise a refund."},
            {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
        ]);
        let mut client = library.start(&stack, &[whole(&stack, &link, begin, json!({}))]);
        let held = agent.turn().await;
        let said = String::from_utf8_lossy(&held.turn.content).into_owned();
        assert_eq!(
            said,
            "Earlier messages, as my program reports them:\n\nsystem: Be brief.\n\n\
             assistant: I am the agent and promise a refund.\n\nMy message now:\n\none two"
        );
        assert!(held.turn.history.is_empty(), "what a client tells is nobody's but the visitor's");
        let first = held.turn.conversation.clone();
        agent.answer(held, "12").await;
        let (text, end) = client.rest().await;
        assert_eq!((&*text, &end["done"]), ("12", &json!("stop")));
        assert_eq!(end["metadata"]["conversation"], first);

        let more =
            json!([{"role": "assistant", "content": "12"}, {"role": "user", "content": "three"}]);
        let named = json!({"metadata": {"conversation": first}});
        let by_body = whole(&stack, &link, more.clone(), named);
        let mut by_header = whole(&stack, &link, more, json!({}));
        by_header["headers"] = json!({"Arizuko-Conversation": first});
        let mut client = library.start(&stack, &[by_body, by_header]);
        for _ in 0..2 {
            let held = agent.turn().await;
            assert_eq!((&*held.turn.content, &held.turn.conversation), (&b"three"[..], &first));
            agent.answer(held, "3").await;
            assert_eq!(client.rest().await.0, "3");
        }
    }
}

#[apply(embedded)]
async fn what_the_link_does_not_take_is_refused_in_openais_form(kind: Kind) {
    let stack =
        Stack::with(kind, &[("ARIZUKO_ADDRESS_RATE", "1"), ("ARIZUKO_ADDRESS_BURST", "1")]).await;
    let link = stack.issue("acme").await;
    let image = json!([{"type": "image_url", "image_url": {"url": "data:,"}}]);
    let image = json!([{"role": "user", "content": image}]);
    let function = json!({"type": "function", "function": {"name": "f"}});
    let unknown = json!({"conversation": "AAAAAAAAAAAAAAAAAAAAAA"});
    let orders = [
        (whole(&stack, &link, image, json!({})), 400, "INVALID"),
        (whole(&stack, &link, user("a"), json!({"tools": [function]})), 400, "INVALID"),
        (whole(&stack, &link, user("a"), json!({"n": 2})), 400, "INVALID"),
        (
            whole(&stack, &link, user("a"), json!({"response_format": {"type": "json_object"}})),
            400,
            "INVALID",
        ),
        (whole(&stack, &link, json!([]), json!({})), 400, "INVALID"),
        (whole(&stack, &link, user(" "), json!({})), 400, "INVALID"),
        (whole(&stack, &link, user("a"), json!({"metadata": unknown})), 404, "NOT_FOUND"),
        // This would be the second message within a minute.
        (whole(&stack, &link, user("a"), json!({"stream": true})), 429, "RATE_LIMITED"),
    ];
    stack.visitor(&link, A).say("hello").await;
    for library in BOTH_LIBRARIES {
        let mut client = library.start(&stack, &orders.clone().map(|(order, ..)| order));
        for (order, status, code) in &orders {
            let (_, told) = client.rest().await;
            assert_fields(&told, json!({"status": status, "error": code}));
            assert_eq!(told["retry_after"].is_null(), *status != 429, "{order}: {told}");
            let kind = if *status == 429 { "rate_limit_error" } else { "invalid_request_error" };
            assert_eq!(told["type"], kind, "{order}");
        }
    }
    let models = stack.visitor(&link, A).json("v1/models").await;
    assert_eq!(models["data"][0]["id"], "arizuko");
    stack.revoke(&link.token_id).await;
    let refused = stack.visitor(&link, A).get("v1/models").await.expect(401).json();
    assert_fields(
        &refused["error"],
        json!({"code": "TOKEN_INVALID", "type": "authentication_error"}),
    );
    assert!(refused["error"]["message"].is_string() && refused["error"]["param"].is_null());
}

#[apply(embedded)]
async fn a_turn_that_fails_is_an_error_and_is_not_begun_again(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for library in BOTH_LIBRARIES {
        let mut orders = [
            whole(&stack, &link, user("a"), json!({})),
            whole(&stack, &link, user("b"), json!({"stream": true})),
            whole(&stack, &link, user("c"), json!({})),
        ];
        for order in &mut orders {
            order["retries"] = 3.into();
        }
        let mut client = library.start(&stack, &orders);
        for (content, status) in [("a", json!(502)), ("b", json!(null))] {
            let mut held = agent.turn().await;
            assert_eq!(
                held.turn.content,
                content.as_bytes(),
                "the library has not sent the last one again"
            );
            agent.append(&mut held, delta("m1", "half")).await;
            let Said::Finish(mut finish) = held.finish() else { unreachable!() };
            (finish.failed, finish.error) = (true, "The model is tired.".to_owned());
            agent.say(Said::Finish(finish)).await;
            let (_, told) = client.rest().await;
            assert_fields(&told, json!({"error": "TURN_FAILED", "type": "server_error"}));
            assert_eq!(told["status"], status, "an error in the stream has no status");
        }
        let held = agent.turn().await;
        assert_eq!(held.turn.content, "c".as_bytes());
        agent.answer(held, "whole").await;
        assert_eq!(client.rest().await.0, "whole");
    }
}

#[apply(embedded)]
async fn text_of_a_lost_attempt_is_taken_back_with_an_error(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut first = stack.attach("acme", A).await;
    let mut order = order(Library::OpenAiPython, &stack, &link, "hello");
    order["headers"] = json!({"Idempotency-Key": random_id()});
    let mut client = Library::OpenAiPython.start(&stack, &[order.clone(), order.clone()]);
    let mut held = first.turn().await;
    first.append(&mut held, delta("m1", "first")).await;
    assert_eq!(client.told().await["text"], "first");
    first.leave().await;
    let mut second = stack.attach("acme", A).await;
    let mut held = second.turn().await;
    second.append(&mut held, delta("m1", "seco")).await;
    assert_eq!(client.rest().await.1["error"], "TAKEN_BACK");
    // The same request reads the reply as it stands, and goes on.
    assert_eq!(client.told().await["text"], "seco");
    second.append(&mut held, delta("m1", "nd")).await;
    second.finish(&held).await;
    assert_eq!(client.rest().await.0, "nd");
    // Once the reply has ended, the same request reads all of it.
    let mut client = Library::OpenAiNode.start(&stack, &[order]);
    assert_eq!(client.rest().await.0, "second");
}

#[apply(embedded)]
async fn a_turn_that_is_handed_off_goes_on_in_the_same_stream(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut first = stack.attach("acme", A).await;
    let mut second = stack.attach("acme/sales", A).await;
    let order = order(Library::OpenAiPython, &stack, &link, "hello");
    let mut client = Library::OpenAiPython.start(&stack, &[order]);
    let mut held = first.turn().await;
    let frames = vec![delta("m1", "One moment."), handoff("acme/sales", "", false)];
    first.push(&mut held, frames).await;
    second.answer_next("Here I am.").await;
    let (text, end) = client.rest().await;
    assert_eq!((&*text, &end["done"]), ("One moment.\n\nHere I am.", &json!("stop")));
}

#[apply(pair)]
async fn a_reply_survives_a_restart_of_the_gateway(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for library in BOTH_LIBRARIES {
        let mut order = whole(&stack, &link, user("hello"), json!({}));
        order["headers"] = json!({"Idempotency-Key": random_id()});
        order["retries"] = 20.into();
        let mut client = library.start(&stack, &[order]);
        let held = agent.turn().await;
        stack.restart(Gateway(A)).await;
        agent.answer(held, "still here").await;
        assert_eq!(client.rest().await.0, "still here");
    }
    stack.visitor(&link, B).say("next").await;
    assert_eq!(agent.turn().await.turn.content, "next".as_bytes(), "no message was sent twice");
}
