//! `/chat/{token}/mcp`, used by MCP's libraries.

use arizuko_tests::{prelude::*, tools::deno};

#[apply(pair)]
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
    // The library's own refusals are in our words, as JSON-RPC.
    let post = |accept: &str, body: &'static str| {
        let request = visitor.request(Method::POST, "mcp").header("accept", accept);
        send(request.header("content-type", "application/json").body(body))
    };
    let unread = post("application/json", "{}").await.expect(406);
    assert_eq!(unread.json()["error"]["data"]["reason"], "NOT_ACCEPTABLE");
    let unread = post("application/json, text/event-stream", "{}").await.expect(400);
    assert_eq!(unread.json()["error"]["message"], "The body is not a message of MCP.");
}

/// Runs those scenarios of the official conformance suite that a server without the suite's own
/// tools can pass. One of these is left out: it is about servers that ask for no credential.
#[apply(embedded)]
async fn the_official_conformance_suite_finds_nothing(stack: Stack) {
    let link = stack.issue("acme").await;
    let url = format!("{}/chat/{}/mcp", stack.gateway(A), link.token);
    let suite = "clients/node_modules/@modelcontextprotocol/conformance/dist/index.js";
    for scenario in ["server-initialize", "ping", "tools-list", "server-sse-multiple-streams"] {
        // The suite needs a newer Node.js than Debian has.
        let mut deno = command(deno());
        deno.args(["run", "--allow-all", "--node-modules-dir=manual"]);
        deno.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(suite));
        deno.args(["server", "--url", &url, "--scenario", scenario]);
        let ended = run(deno.current_dir(stack.folder()), "").await.expect(0);
        assert!(!ended.out.contains("FAILURE"), "{}", ended.out);
    }
}

/// A client that takes tasks need not wait for a reply.
#[apply(embedded)]
async fn a_turn_is_a_task_to_a_client_that_takes_tasks(stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let mut agent = stack.attach("acme", A).await;
    let url = format!("{}/chat/{}/mcp", stack.gateway(A), link.token);
    let calls = json!([{"name": "send_message", "arguments": {"content": "hello"}}]);
    let order = |tasks: &str| [json!({"url": url, "calls": calls, "tasks": tasks})];

    let mut client = Library::McpPython.start(&stack, &order("take"));
    let task = client.told().await;
    let held = agent.turn().await;
    assert_fields(&task, json!({"task": "working", "id": held.turn.turn_id}));
    agent.answer(held, "hello to you").await;
    assert_eq!(client.told().await["task"], "completed");
    let (text, told) = client.rest().await;
    let turn = told["metadata"]["turn_id"].as_str().expect("an id").to_owned();
    assert_eq!((&*text, &told["metadata"]), ("hello to you", &visitor.json(&turn).await));

    // A turn that fails is a task whose result is an error.
    let mut client = Library::McpPython.start(&stack, &order("take"));
    assert_eq!(client.told().await["task"], "working");
    let held = agent.turn().await;
    agent.say(held.fail("The model is tired.")).await;
    assert_eq!(client.told().await["task"], "completed");
    let told = client.rest().await.1;
    assert_fields(&told, json!({"done": "failed", "is_error": true}));

    let mut client = Library::McpPython.start(&stack, &order("cancel"));
    let task = client.told().await;
    assert_eq!(client.told().await["task"], "cancelled");
    let turn = task["id"].as_str().expect("an id");
    assert_eq!(visitor.end_of(turn).await["status"], "cancelled");
}
