//! A chat link in other protocols, each read by the protocol's own libraries.

mod a2a;
mod ag_ui;
mod ai;
mod mcp;
mod openai;
mod responses;

use arizuko_tests::prelude::*;

/// Returns the client's argument to send `text` to a link at gateway A and stream the reply.
fn order(library: Library, stack: &Stack, link: &Link, text: &str) -> Value {
    let link = format!("{}/chat/{}", stack.gateway(A), link.token);
    match library {
        Library::OpenAiPython | Library::OpenAiNode => {
            let messages = json!([{"role": "user", "content": text}]);
            json!({"url": format!("{link}/v1"), "body": {"stream": true, "messages": messages}})
        }
        Library::ResponsesPython | Library::ResponsesNode => {
            json!({"url": format!("{link}/v1"), "response": {"stream": true, "input": text}})
        }
        Library::Ai => json!({"url": format!("{link}/ai"), "send": text}),
        Library::McpPython | Library::McpNode => {
            let call = json!({"name": "send_message", "arguments": {"content": text}});
            json!({"url": format!("{link}/mcp"), "calls": [call]})
        }
        Library::A2aPython | Library::A2aNode => {
            let binding = if library == Library::A2aNode { "HTTP+JSON" } else { "JSONRPC" };
            let message = json!({
                "messageId": random_id(), "role": "ROLE_USER", "parts": [{"text": text}],
            });
            let call = json!({"do": "stream", "message": message});
            json!({"url": link, "binding": binding, "calls": [call]})
        }
        Library::AgUi => json!({"url": format!("{link}/ag-ui"), "send": text}),
    }
}

const ALL: [Library; 10] = [
    Library::OpenAiPython,
    Library::OpenAiNode,
    Library::ResponsesPython,
    Library::ResponsesNode,
    Library::Ai,
    Library::McpPython,
    Library::McpNode,
    Library::A2aPython,
    Library::A2aNode,
    Library::AgUi,
];
/// What the libraries call the end of a reply.
const ENDS: [&str; 6] = ["stop", "completed", "ready", "done", "TASK_STATE_COMPLETED", "finished"];

#[apply(embedded_and_pair)]
async fn every_library_reads_the_same_reply(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let mut clients =
        ALL.map(|library| library.start(&stack, &[order(library, &stack, &link, "hello")]));
    for _ in ALL {
        let mut held = agent.turn().await;
        assert_eq!(held.turn.content, "hello".as_bytes());
        agent.append(&mut held, status("thinking")).await;
        for piece in ["é", "\n", "😀 \u{2028}", ""] {
            agent.append(&mut held, delta("m1", piece)).await;
        }
        // The finished form has more than the deltas.
        agent.append(&mut held, message("m1", "é\n😀 \u{2028}and more")).await;
        agent.append(&mut held, message("m2", "Another one.")).await;
        agent.finish(&held).await;
    }
    for (client, library) in clients.iter_mut().zip(ALL) {
        let (text, end) = client.rest().await;
        assert_eq!(text, "é\n😀 \u{2028}and more\n\nAnother one.", "{library:?}");
        assert!(ENDS.contains(&end["done"].as_str().unwrap_or_default()), "{end}");
        let turn = end["metadata"]["turn_id"].as_str().expect("it is named");
        let read = stack.visitor(&link, B).json(turn).await;
        assert_eq!(read["conversation"], end["metadata"]["conversation"]);
        let messages = read["assistant"].as_array().expect("messages").iter();
        let whole: Vec<_> = messages.filter_map(|message| message["content"].as_str()).collect();
        assert_eq!(text, whole.join("\n\n"), "{library:?}");
    }
}

#[apply(embedded_and_pair)]
async fn revoking_the_link_ends_each_in_its_own_words(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let mut clients =
        ALL.map(|library| library.start(&stack, &[order(library, &stack, &link, "hello")]));
    for _ in ALL {
        let mut held = agent.turn().await;
        agent.append(&mut held, delta("m1", "so far")).await;
    }
    for (client, library) in clients.iter_mut().zip(ALL) {
        // MCP's libraries show nothing before the end.
        if !matches!(library, Library::McpPython | Library::McpNode) {
            while client.told().await["text"] != "so far" {}
        }
    }
    stack.revoke(&link.token_id).await;
    for (client, library) in clients.iter_mut().zip(ALL) {
        let (_, end) = client.rest().await;
        match library {
            Library::OpenAiPython
            | Library::OpenAiNode
            | Library::ResponsesPython
            | Library::ResponsesNode => {
                assert_fields(
                    &end,
                    json!({"error": "TOKEN_INVALID", "type": "authentication_error"}),
                );
            }
            Library::McpPython | Library::McpNode => {
                assert_fields(&end, json!({"error": "TOKEN_INVALID", "is_error": true}));
            }
            Library::A2aPython | Library::A2aNode | Library::Ai => {
                let error = end["error"].as_str().unwrap_or_default();
                assert!(error.contains("This link is unknown or has ended."), "{end}");
            }
            Library::AgUi => assert_eq!(end["error"], "TOKEN_INVALID"),
        }
        let mut later = library.start(&stack, &[order(library, &stack, &link, "hello")]);
        let (text, end) = later.rest().await;
        assert_eq!(text, "");
        // A2A's libraries can't read the link's card.
        let (reason, no_card) = ("TOKEN_INVALID", "401");
        assert!(
            end["error"].as_str().is_some_and(|e| e.contains(reason) || e.contains(no_card)),
            "{end}"
        );
    }
}

/// The pieces of a reply.
const PIECES: [&str; 3] = ["one ", "two ", "three"];
/// After how many characters of this reply its streams are cut.
const CUTS: [usize; 3] = [1, 5, 9];

/// Repeats a client's argument, each time with another cut, and at last without one.
fn cut(mut order: Value) -> Vec<Value> {
    order["run"] = random_id().into();
    order["headers"] = json!({"Idempotency-Key": random_id()});
    let mut orders = vec![order; CUTS.len() + 1];
    for (order, after) in orders.iter_mut().zip(CUTS) {
        order["cut"] = after.into();
    }
    orders
}

#[apply(embedded)]
async fn a_stream_that_is_cut_at_every_frame_is_read_to_its_end(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let order = |library| order(library, &stack, &link, "hello");
    let again = [
        Library::OpenAiPython,
        Library::OpenAiNode,
        Library::ResponsesPython,
        Library::ResponsesNode,
        Library::AgUi,
    ];
    let mut clients = again.map(|library| library.start(&stack, &cut(order(library))));
    // The AI SDK does not send the message again, but goes on with the conversation's reply.
    let mut ai = Library::Ai.start(&stack, &cut(order(Library::Ai))[..1]);
    let mut turns = Vec::new();
    for _ in 0..=again.len() {
        turns.push(agent.turn().await);
    }
    for piece in PIECES {
        for held in &mut turns {
            agent.append(held, delta("m1", piece)).await;
        }
    }
    let whole = PIECES.concat();
    let (text, end) = ai.rest().await;
    assert!(whole.starts_with(&text), "{text}");
    let mut resume = order(Library::Ai);
    (resume["send"], resume["id"]) = (Value::Null, end["metadata"]["conversation"].clone());
    let mut ai = Library::Ai.start(&stack, &cut(resume));
    for (client, library) in clients.iter_mut().zip(again).chain([(&mut ai, Library::Ai)]) {
        for least in CUTS {
            let (text, _) = client.rest().await;
            let is_prefix = whole.starts_with(&text) && text.len() >= least;
            assert!(is_prefix, "{library:?}: {text}");
        }
    }
    // Waits until all clients have begun to read for the last time. The AI SDK must begin before
    // its turn ends, since afterwards it has nothing to resume.
    let mut beginnings = Vec::new();
    for client in clients.iter_mut().chain([&mut ai]) {
        beginnings.push(client.told().await["text"].as_str().unwrap_or_default().to_owned());
    }
    for held in &turns {
        agent.finish(held).await;
    }
    let all = clients.iter_mut().zip(again).chain([(&mut ai, Library::Ai)]);
    for ((client, library), beginning) in all.zip(beginnings) {
        assert_eq!(beginning + &client.rest().await.0, whole, "{library:?}");
    }
}

/// Sends the same message in each protocol, in this conversation, and returns the status and the
/// reason of each refusal.
async fn refusals(
    visitor: &Visitor,
    conversation: &str,
    origin: Option<&str>,
) -> Vec<(u16, Value)> {
    let completion = json!({
        "messages": [{"role": "user", "content": "a"}],
        "metadata": {"conversation": conversation},
    });
    let response = json!({"input": "a", "conversation": conversation});
    let part = json!({"type": "text", "text": "a"});
    let chat = json!({"id": conversation, "messages": [{"role": "user", "parts": [part]}]});
    let arguments = json!({"content": "a", "conversation": conversation});
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "send_message", "arguments": arguments},
    });
    let message = json!({
        "messageId": "1", "role": "ROLE_USER", "contextId": conversation, "parts": [{"text": "a"}],
    });
    let rest = json!({"message": message});
    let rpc = json!({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": rest});
    let input = json!({
        "threadId": conversation, "runId": "1", "messages": [{"role": "user", "content": "a"}],
    });
    let mut all = Vec::new();
    for (path, body) in [
        ("v1/chat/completions", completion),
        ("v1/responses", response),
        ("ai", chat),
        ("mcp", call),
        ("a2a/message:send", rest),
        ("a2a", rpc),
        ("ag-ui", input),
    ] {
        let request = visitor.request(Method::POST, path).json(&body);
        let request = request.header("accept", "application/json, text/event-stream");
        let request = match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        };
        let answer = send(request).await;
        let told = answer.json();
        let reasons = [
            &told["reason"],
            &told["error"]["data"]["reason"],
            &told["error"]["code"],
            &told["result"]["structuredContent"]["reason"],
            &told["error"]["details"][0]["metadata"]["reason"],
            &told["error"]["data"][0]["metadata"]["reason"],
        ];
        let reasons = reasons.into_iter().filter(|reason| reason.is_string());
        let reason = reasons.into_iter().next().cloned();
        all.push((answer.status.as_u16(), reason.unwrap_or_default()));
    }
    all
}

#[apply(embedded)]
async fn every_protocol_keeps_to_the_links_limits_and_to_its_conversations(kind: Kind) {
    let limits = [("ARIZUKO_STREAMS_PER_ADDRESS", "1")];
    let stack = Stack::with(kind, &limits).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("a").await;
    let foreign = stack.visit("acme").await.say("a").await.conversation;
    let all = |status: u16, reason: &str| {
        // A tool's refusal is the result of a call that has succeeded, so its status is 200. A2A
        // over JSON-RPC answers with 200, too, if there is no such conversation.
        let rpc = if status == 404 { 200 } else { status };
        let all = [status, status, status, 200, status, rpc, status];
        all.map(|status| (status, Value::from(reason))).to_vec()
    };
    assert_eq!(refusals(&visitor, &foreign, None).await, all(404, "NOT_FOUND"));
    let elsewhere = refusals(&visitor, &posted.conversation, Some("https://evil.example")).await;
    let expected = (403, Value::from("ORIGIN_NOT_ALLOWED"));
    assert_eq!(elsewhere, vec![expected; 7]);
    let stream = visitor.listen(&posted.turn).await;
    let streams = refusals(&visitor, &posted.conversation, None).await;
    assert_eq!(streams, all(429, "TOO_MANY_STREAMS"));
    drop(stream);
    let history = visitor.json(&format!("c/{}", posted.conversation)).await;
    assert_eq!(history["turns"].as_array().map(Vec::len), Some(1), "nothing was taken");
}
