//! Endpoints that break the protocol in ways that aimock doesn't. The test itself plays them.

use super::attach;
use arizuko_tests::prelude::*;

/// Returns a chunk with some text.
fn delta(text: &str) -> String {
    chunk(&json!({"choices": [{"index": 0, "delta": {"content": text}}]}))
}

fn chunk(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

#[apply(embedded)]
async fn a_stream_without_a_finish_reason_fails_the_turn(stack: Stack) {
    let mut endpoint = Endpoint::start().await;
    let _agent = attach(&stack, endpoint.url(), &[]).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let mut asked = endpoint.asked().await;
    asked.begin("text/event-stream").await;
    asked.piece(&delta("Half")).await;
    asked.end().await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "failed");
}

#[apply(embedded)]
async fn a_reply_that_breaks_before_its_first_word_is_requested_again(stack: Stack) {
    let mut endpoint = Endpoint::start().await;
    let _agent = attach(&stack, endpoint.url(), &[]).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    // The first connection breaks at once, and the second after a piece of reasoning. The third
    // stream brings an error.
    drop(endpoint.asked().await);
    let mut asked = endpoint.asked().await;
    asked.begin("text/event-stream").await;
    let thought = json!({"choices": [{"index": 0, "delta": {"reasoning": "Hm."}}]});
    asked.piece(&chunk(&thought)).await;
    drop(asked);
    let mut asked = endpoint.asked().await;
    asked.begin("text/event-stream").await;
    asked.piece(&chunk(&json!({"error": {"message": "overloaded", "code": 502}}))).await;
    asked.end().await;
    let mut asked = endpoint.asked().await;
    asked.begin("text/event-stream").await;
    asked.piece(": processing\n\n").await;
    asked.piece(&delta("At last.")).await;
    asked.piece("data: [DONE]\n\n").await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(text(&seen), "At last.");
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
}

#[apply(embedded)]
async fn cancelling_or_stopping_ends_the_request(stack: Stack) {
    let mut endpoint = Endpoint::start().await;
    let mut agent = attach(&stack, endpoint.url(), &[]).await;
    let visitor = stack.visit("acme").await;
    // Cancels before the answer begins, and in the middle of it.
    for begins in [false, true] {
        let posted = visitor.say("hello").await;
        let mut asked = endpoint.asked().await;
        if begins {
            asked.begin("text/event-stream").await;
            asked.piece(&delta("Once upon a time")).await;
            visitor.listen(&posted.turn).await.through("delta").await;
        }
        visitor.cancel(&posted.turn).await;
        asked.hung_up().await;
    }
    // Stopping the agent requeues its turn.
    let posted = visitor.say("hello").await;
    let asked = endpoint.asked().await;
    agent.signal(Signal::SIGTERM);
    asked.hung_up().await;
    assert_eq!(agent.exit().await.code(), Some(0));
    let mut next = stack.attach("acme", B).await;
    assert_eq!(next.turn().await.turn.turn_id, posted.turn);
}

#[apply(embedded)]
async fn an_endpoint_may_lack_parts_of_the_protocol(stack: Stack) {
    let mut endpoint = Endpoint::start().await;
    let _agent = attach(&stack, &format!("{}/v1/?version=3", endpoint.url()), &[]).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let asked = endpoint.asked().await;
    assert_eq!(asked.path, "/v1/chat/completions?version=3");
    assert_eq!(asked.body["stream_options"]["include_usage"], true);
    let refusal =
        json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"]}]});
    asked.answer("422 Unprocessable Entity", "application/json", &refusal.to_string()).await;
    let asked = endpoint.asked().await;
    assert_eq!(asked.body["stream_options"], Value::Null);
    // The endpoint answers in one document instead of a stream, with the content in parts.
    let parts = json!([{"type": "text", "text": "Here "}, {"type": "text", "text": "I am."}]);
    let completion = json!({
        "choices": [{"index": 0, "message": {"content": parts}, "finish_reason": "stop"}],
    });
    asked.answer("200 OK", "application/json", &completion.to_string()).await;
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(text(&seen), "Here I am.");
    // The agent remembers to leave out stream_options. A stream may end without [DONE].
    let posted = visitor.say("hello").await;
    let mut asked = endpoint.asked().await;
    assert_eq!(asked.body["stream_options"], Value::Null);
    asked.begin("text/event-stream; charset=utf-8").await;
    asked.piece(&delta("Still here.")).await;
    let stop = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    asked.piece(&chunk(&stop)).await;
    drop(asked);
    let seen = visitor.read(&posted.turn).await;
    assert_eq!(text(&seen), "Still here.");
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
}

#[apply(embedded)]
async fn the_key_goes_to_the_endpoint_only(stack: Stack) {
    let key = stack.folder().join("key");
    write_secret(&key, "sk-from-a-file\n");
    let key = key.display().to_string();
    let mut endpoint = Endpoint::start().await;
    let agent = attach(&stack, endpoint.url(), &["--api-key-file", &key]).await;
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let asked = endpoint.asked().await;
    assert_eq!(asked.header("authorization"), "Bearer sk-from-a-file");
    let told = json!({"error": {"message": "Incorrect API key provided: sk-from-a-file"}});
    asked.answer("401 Unauthorized", "application/json", &told.to_string()).await;
    let standing = visitor.end_of(&posted.turn).await;
    assert_eq!(standing["error"], "The agent could not answer.");
    let log = agent.said();
    assert!(log.contains("Incorrect API key provided: [the key]"), "{log}");
    assert!(!log.contains("sk-from-a-file"), "{log}");

    // The agent does not follow a redirect.
    let posted = visitor.say("hello").await;
    let elsewhere = "307 Temporary Redirect\r\nlocation: http://127.0.0.1:9/";
    endpoint.asked().await.answer(elsewhere, "text/plain", "").await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "failed");
    assert!(agent.said().contains("http://127.0.0.1:9/"), "{}", agent.said());
}
