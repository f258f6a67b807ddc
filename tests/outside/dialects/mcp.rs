//! `/chat/{token}/mcp`, used by MCP's libraries.

use arizuko_tests::prelude::*;

#[apply(embedded_and_pair)]
async fn the_tools_do_what_the_api_does(stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, B);
    let mut agent = stack.attach("acme", B).await;
    let url = format!("{}/chat/{}/mcp", stack.gateway(A), link.token);
    // The newest revision of the protocol, and the one before it.
    for (library, version) in [(Library::McpPython, "2026-07-28"), (Library::McpNode, "2025-11-25")]
    {
        let posted = visitor.say("hello").await;
        let mut held = agent.turn().await;
        agent.append(&mut held, delta("m1", "one")).await;
        let call = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
        let turn = json!({"turn_id": posted.turn});
        let conversation = &posted.conversation;
        let calls = [
            call("get_turn_status", turn.clone()),
            call("get_turn_status", json!({"turn_id": posted.turn, "wait": 50})),
            call("get_turn", turn),
            call("send_message", json!({"content": "more", "conversation": conversation})),
            call("send_message", json!({"content": " "})),
            call("get_turn", json!({"turn_id": "AAAAAAAAAAAAAAAAAAAAAA"})),
            call("send_message", json!({"content": "unread"})),
        ];
        let mut client = library.start(&stack, &[json!({"url": url, "calls": calls})]);
        let told = client.told().await;
        assert_fields(&told, json!({"done": "running", "version": version, "is_error": false}));
        assert_eq!(told["tools"], json!(["send_message", "get_turn", "get_turn_status"]));
        agent.finish(&held).await;
        let (text, told) = client.rest().await;
        assert_eq!((&*text, &told["done"]), ("", &json!("done")));
        let (text, told) = client.rest().await;
        assert_eq!((&*text, &told["metadata"]), ("one", &visitor.json(&posted.turn).await));
        let held = agent.turn().await;
        assert_eq!(held.turn.content, "more".as_bytes());
        assert_eq!(held.turn.conversation, *conversation);
        agent.answer(held, "two").await;
        assert_eq!(client.rest().await.0, "two");
        assert_fields(&client.told().await, json!({"error": "INVALID", "is_error": true}));
        assert_fields(&client.told().await, json!({"error": "NOT_FOUND", "is_error": true}));
        // A client that goes away cancels nothing.
        let held = agent.turn().await;
        drop(client);
        let turn = held.turn.turn_id.clone();
        agent.answer(held, "three").await;
        assert_eq!(visitor.end_of(&turn).await["status"], "done");
    }
    // There is no stream besides those of the calls.
    let answer = visitor.get("mcp").await.expect(405);
    assert_eq!(answer.json()["error"]["data"]["reason"], "METHOD_NOT_ALLOWED");
    assert_eq!(answer.header("allow"), "POST");
}
