//! `/chat/{token}/a2a`, used by A2A's libraries.

use arizuko_tests::prelude::*;

const BOTH_LIBRARIES: [Library; 2] = [Library::A2aPython, Library::A2aNode];
const BOTH_BINDINGS: [&str; 2] = ["JSONRPC", "HTTP+JSON"];

/// Returns a client's argument for these calls.
fn order_of(stack: &Stack, link: &Link, binding: &str, calls: Value) -> Value {
    let url = format!("{}/chat/{}", stack.gateway(A), link.token);
    json!({"url": url, "binding": binding, "calls": calls})
}

/// Returns the call that sends this text in a context, with more fields.
fn call(what: &str, text: &str, context: &str, more: Value) -> Value {
    let parts = json!([{"text": text}]);
    let message = json!({
        "messageId": random_id(), "role": "ROLE_USER", "contextId": context, "parts": parts,
    });
    let mut call = json!({"do": what, "message": message});
    for (name, value) in more.as_object().expect("fields") {
        call[name] = value.clone();
    }
    call
}

#[apply(pair)]
async fn a_task_is_sent_read_cancelled_and_gone_on_with(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for library in BOTH_LIBRARIES {
        for binding in BOTH_BINDINGS {
            let begin = call("send", "hello", "", json!({}));
            let mut client =
                library.start(&stack, &[order_of(&stack, &link, binding, json!([begin]))]);
            let held = agent.turn().await;
            let context = held.turn.conversation.clone();
            agent.answer(held, "one").await;
            let (text, end) = client.rest().await;
            assert_eq!((&*text, &end["done"]), ("one", &json!("TASK_STATE_COMPLETED")));
            assert_eq!(end["metadata"]["conversation"], context);

            // A running task is returned at once, then read and cancelled.
            let at_once = json!({"configuration": {"returnImmediately": true}});
            let begin = call("send", "more", &context, at_once);
            let mut client =
                library.start(&stack, &[order_of(&stack, &link, binding, json!([begin]))]);
            let (_, end) = client.rest().await;
            let id = &end["metadata"]["turn_id"];
            let mut held = agent.turn().await;
            assert_eq!(
                (&*held.turn.turn_id, &held.turn.conversation),
                (id.as_str().expect("an id"), &context)
            );
            agent.append(&mut held, delta("m1", "half")).await;
            let calls = json!([
                {"do": "get", "id": id},
                {"do": "cancel", "id": id},
                {"do": "cancel", "id": id},
                {"do": "subscribe", "id": id},
            ]);
            let mut client = library.start(&stack, &[order_of(&stack, &link, binding, calls)]);
            for state in ["WORKING", "CANCELED", "CANCELED"] {
                let (text, end) = client.rest().await;
                assert_eq!((&*text, &end["done"]), ("half", &json!(format!("TASK_STATE_{state}"))));
            }
            let (_, end) = client.rest().await;
            assert_fields(
                &end,
                json!({"error": "UNSUPPORTED_OPERATION", "kind": "UnsupportedOperationError"}),
            );
        }
    }
}

#[apply(embedded)]
async fn a_task_that_is_cut_at_every_event_goes_on_after_its_cursor(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let orders: Vec<_> = BOTH_LIBRARIES
        .into_iter()
        .flat_map(|library| BOTH_BINDINGS.map(|binding| (library, binding)))
        .collect();
    let mut clients: Vec<_> = orders
        .iter()
        .map(|(library, binding)| {
            let call = call("stream", "hello", "", json!({"cut": 1}));
            library.start(&stack, &[order_of(&stack, &link, binding, json!([call]))])
        })
        .collect();
    for _ in &orders {
        let mut held = agent.turn().await;
        agent.append(&mut held, status("thinking")).await;
        for piece in ["one ", "two ", "three"] {
            agent.append(&mut held, delta("m1", piece)).await;
        }
        agent.append(&mut held, message("m1", "one two three four")).await;
        agent.append(&mut held, message("m2", "five")).await;
        agent.finish(&held).await;
    }
    for (client, order) in clients.iter_mut().zip(&orders) {
        let (text, end) = client.rest().await;
        assert_eq!(text, "one two three four\n\nfive", "{order:?}");
        assert_eq!(end["done"], "TASK_STATE_COMPLETED", "{order:?}");
    }
    // A client without a cursor gets the task as it stands, and what follows.
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("hello").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "one ")).await;
    let subscribe = json!([{"do": "subscribe", "id": posted.turn}]);
    let mut client =
        Library::A2aNode.start(&stack, &[order_of(&stack, &link, "HTTP+JSON", subscribe)]);
    assert_eq!(client.told().await["text"], "one ");
    agent.append(&mut held, delta("m1", "two")).await;
    agent.finish(&held).await;
    assert_eq!(client.rest().await.0, "two");
}

#[apply(embedded)]
async fn what_a_link_does_not_take_is_refused_in_a2as_words(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let with = |field: &str, value: Value| {
        let mut call = call("send", "hello", "", json!({}));
        call["message"][field] = value;
        call
    };
    let calls = [
        (
            with("parts", json!([{"raw": "AAAA"}])),
            "CONTENT_TYPE_NOT_SUPPORTED",
            "ContentTypeNotSupportedError",
        ),
        (
            with("taskId", json!("AAAAAAAAAAAAAAAAAAAAAA")),
            "UNSUPPORTED_OPERATION",
            "UnsupportedOperationError",
        ),
        (with("contextId", json!("AAAAAAAAAAAAAAAAAAAAAA")), "NOT_FOUND", "TaskNotFoundError"),
        (with("parts", json!([{"text": " "}])), "INVALID", "InvalidParamsError"),
        (json!({"do": "get", "id": "AAAAAAAAAAAAAAAAAAAAAA"}), "NOT_FOUND", "TaskNotFoundError"),
    ];
    for library in BOTH_LIBRARIES {
        let orders: Vec<_> = BOTH_BINDINGS
            .iter()
            .flat_map(|binding| {
                calls.iter().map(|(call, ..)| order_of(&stack, &link, binding, json!([call])))
            })
            .collect();
        let mut client = library.start(&stack, &orders);
        for (call, reason, kind) in calls.iter().chain(&calls) {
            let (_, told) = client.rest().await;
            assert_eq!(told["error"], *reason, "{call}");
            let told = told["kind"].as_str().unwrap_or_default();
            // One library has another name for INVALID requests.
            assert!(
                told == *kind || told == kind.replace("InvalidParams", "RequestMalformed"),
                "{told}: {call}"
            );
        }
    }
    // A failed turn says why, and so does the answer to a body that is not a JSON-RPC request.
    let call = call("stream", "hello", "", json!({}));
    let mut client =
        Library::A2aNode.start(&stack, &[order_of(&stack, &link, "JSONRPC", json!([call]))]);
    let held = agent.turn().await;
    agent.say(held.fail("The model is tired.")).await;
    let (_, end) = client.rest().await;
    assert_eq!(end["done"], "TASK_STATE_FAILED");
    assert_eq!(end["because"], "The agent could not answer.");
    let visitor = stack.visitor(&link, A);
    for (body, code) in [
        ("{", -32700),
        ("[]", -32600),
        (r#"{"jsonrpc": "2.0", "id": {}, "method": "GetTask"}"#, -32600),
        (r#"{"jsonrpc": "2.0", "id": "a", "method": "ListTasks"}"#, -32601),
        (r#"{"jsonrpc": "2.0", "id": "a", "method": "GetTask", "params": {}}"#, -32602),
    ] {
        let request =
            visitor.request(Method::POST, "a2a").header("content-type", "application/json");
        let answer = send(request.body(body)).await.expect(200).json();
        assert_eq!(answer["error"]["code"], code, "{body}");
    }
    let old = visitor.request(Method::GET, "a2a/tasks/AAAAAAAAAAAAAAAAAAAAAA");
    let answer = send(old.header("a2a-version", "0.3")).await.expect(400).json();
    assert_eq!(answer["error"]["details"][0]["reason"], "VERSION_NOT_SUPPORTED");
}
