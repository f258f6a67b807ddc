//! A chat link in the protocols of others, read by their own libraries.

mod ai;
mod mcp;
mod openai;

use arizuko_tests::prelude::*;

/// Returns the client's argument to send `text` to a link at gateway A and stream the reply.
fn order(library: Library, stack: &Stack, link: &Link, text: &str) -> Value {
    let link = format!("{}/chat/{}", stack.gateway(A), link.token);
    match library {
        Library::OpenAiPython | Library::OpenAiNode => {
            let messages = json!([{"role": "user", "content": text}]);
            json!({"url": format!("{link}/v1"), "body": {"stream": true, "messages": messages}})
        }
        Library::Ai => json!({"url": format!("{link}/ai"), "send": text}),
        Library::McpPython | Library::McpNode => {
            let call = json!({"name": "send_message", "arguments": {"content": text}});
            json!({"url": format!("{link}/mcp"), "calls": [call]})
        }
    }
}

const ALL: [Library; 5] =
    [Library::OpenAiPython, Library::OpenAiNode, Library::Ai, Library::McpPython, Library::McpNode];

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
        assert!(
            ["stop", "ready", "done"].contains(&end["done"].as_str().unwrap_or_default()),
            "{end}"
        );
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
        // MCP's have nothing to show before the end.
        if !matches!(library, Library::McpPython | Library::McpNode) {
            while client.told().await["text"] != "so far" {}
        }
    }
    stack.revoke(&link.token_id).await;
    for (client, library) in clients.iter_mut().zip(ALL) {
        let (_, end) = client.rest().await;
        match library {
            Library::OpenAiPython | Library::OpenAiNode => {
                assert_fields(
                    &end,
                    json!({"error": "TOKEN_INVALID", "type": "authentication_error"}),
                );
            }
            Library::McpPython | Library::McpNode => {
                assert_fields(&end, json!({"error": "TOKEN_INVALID", "is_error": true}));
            }
            Library::Ai => {
                let error = end["error"].as_str().unwrap_or_default();
                assert!(error.starts_with("This link is unknown or has ended."), "{end}");
            }
        }
        let mut later = library.start(&stack, &[order(library, &stack, &link, "hello")]);
        let (text, end) = later.rest().await;
        assert_eq!(text, "");
        assert!(end["error"].as_str().is_some_and(|e| e.contains("TOKEN_INVALID")), "{end}");
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
    let part = json!({"type": "text", "text": "a"});
    let chat = json!({"id": conversation, "messages": [{"role": "user", "parts": [part]}]});
    let arguments = json!({"content": "a", "conversation": conversation});
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "send_message", "arguments": arguments},
    });
    let mut all = Vec::new();
    for (path, body) in [("v1/chat/completions", completion), ("ai", chat), ("mcp", call)] {
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
        ];
        let reason = reasons.into_iter().find(|reason| !reason.is_null()).cloned();
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
        // A tool's refusal is the result of a call that has succeeded.
        [status, status, 200].map(|status| (status, Value::from(reason))).to_vec()
    };
    assert_eq!(refusals(&visitor, &foreign, None).await, all(404, "NOT_FOUND"));
    let elsewhere = refusals(&visitor, &posted.conversation, Some("https://evil.example")).await;
    let expected = (403, Value::from("ORIGIN_NOT_ALLOWED"));
    assert_eq!(elsewhere, [expected.clone(), expected.clone(), expected]);
    let stream = visitor.listen(&posted.turn).await;
    let streams = refusals(&visitor, &posted.conversation, None).await;
    assert_eq!(streams, all(429, "TOO_MANY_STREAMS"));
    drop(stream);
    let history = visitor.json(&format!("c/{}", posted.conversation)).await;
    assert_eq!(history["turns"].as_array().map(Vec::len), Some(1), "nothing was taken");
}
