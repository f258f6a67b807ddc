//! `arizuko agent openai`: a visitor reads a model's answer, or why there is none. The model is
//! aimock, a third-party server that speaks the protocol.

mod dialects;
mod endpoints;

use arizuko_tests::model::Model;
use arizuko_tests::prelude::*;

const KEY: &str = "sk-a-key-that-nobody-may-see";

/// Attaches a model to `acme`.
async fn attach(stack: &Stack, base_url: &str, flags: &[&str]) -> Process {
    let mut agent = stack.operators_command();
    agent.args(["agent", "openai", "--folder", "acme", "--base-url", base_url]);
    agent.args(["--model", "gpt-5"]).args(flags);
    agent.env("ARIZUKO_OPENAI_KEY", KEY);
    let process = Process::start("agent", agent, &stack.logs());
    stack.attended("acme").await;
    process
}

/// Attaches a model that answers with these fixtures.
async fn attach_model(stack: &Stack, flags: &[&str], fixtures: Value) -> (Model, Process) {
    let model = stack.model(KEY, fixtures).await;
    let agent = attach(stack, &model.base_url(), flags).await;
    (model, agent)
}

/// Returns a fixture: the response to a message that contains `message`.
fn to(message: &str, response: Value) -> Value {
    json!({"match": {"userMessage": message}, "response": response})
}

/// Sends a message and returns the events and how the turn ended.
async fn answer_to(stack: &Stack, message: &str) -> (Vec<Event>, Value) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say(message).await;
    let seen = visitor.read(&posted.turn).await;
    (seen, visitor.end_of(&posted.turn).await)
}

/// Returns the events' names without deltas, since a reply that comes all at once has none.
fn without_deltas(seen: &[Event]) -> Vec<&str> {
    let mut names = names(seen);
    names.retain(|name| *name != "delta");
    names
}

#[apply(embedded_and_pair)]
async fn a_visitor_reads_the_models_answer(kind: Kind) {
    let stack = Stack::with(kind, &[SERVED]).await;
    let persona = Some("a concierge".into());
    let topic = Some("leads".into());
    let prefix = route("web:acme");
    stack.route(Route { persona, topic, ..prefix }).await;
    let instructions = stack.folder().join("prompt.md");
    fs::write(&instructions, "Be brief.\n").expect("the stack's folder is ours");
    let instructions = instructions.display().to_string();
    let flags = ["--system-file", &instructions, "--param", "temperature=0.5"];
    let usage = json!({"prompt_tokens": 4711, "completion_tokens": 42});
    let long = "A rather long answer, which is sent in pieces. ".repeat(5);
    let mut hello = to("hello", json!({"content": long, "usage": usage}));
    // How long aimock waits between two pieces, in milliseconds.
    hello["latency"] = 30.into();
    let fixtures = json!([hello, to("more", json!({"content": "No.\n"})),]);
    let (model, agent) = attach_model(&stack, &flags, fixtures).await;
    let options = LinkOptions { context: "the pricing page".into(), ..LinkOptions::default() };
    let link = stack.issue_with("acme", "", options).await;
    let visitor = stack.visitor(&link, B);
    let posted = visitor.say("hello").await;
    let seen = visitor.read(&posted.turn).await;
    let [deltas @ .., message, done] = &seen[..] else { panic!("{seen:?}") };
    let pieces = deltas.iter().map(|delta| delta.data["text"].as_str());
    let pieces = pieces.collect::<Option<String>>().expect("deltas");
    // The message also has the text that had not been sent as deltas.
    assert!(long.starts_with(&pieces) && deltas.len() > 1, "{seen:?}");
    assert_eq!(message.data["content"], long);
    assert_eq!(done.data["status"], "done");
    let tokens = "arizuko_agent_tokens_total";
    stack.metric_becomes(tokens, &["\"prompt\""], 4711.0).await;
    stack.metric_becomes(tokens, &["\"completion\""], 42.0).await;
    let more = visitor.say_in(&posted.conversation, "more?").await;
    let seen = visitor.read(&more.turn).await;
    assert_eq!(text(&seen), "No.");

    // The 4,753 tokens count in the link's budget, and 4,000 are reserved for a new turn.
    stack.arizuko(&["token", "edit", "web:acme", "--budget-tokens", "8500"]).await.expect(0);
    visitor.post_json(&json!({"content": "hello"})).await.refused(429, "BUDGET_SPENT");

    let requests = model.requests().await;
    let [first, second] = &requests[..] else { panic!("{requests:?}") };
    assert_fields(first, json!({"model": "gpt-5", "temperature": 0.5, "stream": true}));
    let system = "Be brief.\n\nYour persona: a concierge\n\nThe topic of this conversation: leads\
                  \n\nAbout the link that the message came by: the pricing page";
    let expected = json!([
        {"role": "system", "content": system},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": long},
        {"role": "user", "content": "more?"},
    ]);
    assert_eq!(second["messages"], expected);
    let log = agent.said();
    assert!(log.contains("prompt_tokens=4711") && log.contains("completion_tokens=42"), "{log}");
}

#[apply(embedded)]
async fn a_webhooks_context_is_apart_from_the_visitor_and_has_no_secrets(stack: Stack) {
    let fixtures = json!([to("hello", json!({"content": "Hi."}))]);
    let (model, _agent) = attach_model(&stack, &[], fixtures).await;
    let hook = stack.caller(&stack.issue_hook("acme", "github", "").await, A);
    stack.route(observe_for_visitors("hook:acme/github")).await;
    let request = hook.request(Method::POST, "").body("deployed");
    let request = request.header("X-GitHub-Event", "push").header("X-Signature", "a-secret");
    send(request).await.expect(202);
    answer_to(&stack, "hello").await;
    let requests = model.requests().await;
    let [system, user] = &requests[0]["messages"].as_array().expect("messages")[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(user, &json!({"role": "user", "content": "hello"}));
    assert_eq!(system["role"], "system");
    let content = system["content"].as_str().expect("a text");
    for part in ["Untrusted data", "[From github]", "x-github-event: push", "deployed"] {
        assert!(content.contains(part), "{content}");
    }
    assert!(!content.contains("a-secret"), "{content}");
}

#[apply(embedded)]
async fn reasoning_and_tool_calls_show_as_status(stack: Stack) {
    let calling = json!([
        {"type": "toolCall", "name": "get_weather", "arguments": {"city": "Ulm"}},
        {"type": "text", "text": "It is sunny."},
    ]);
    let thoughts = "The city is Ulm.\nI should look\nat the sky.";
    let weather = json!({"reasoning": thoughts, "blocks": calling, "finishReason": "stop"});
    let fixtures = json!([to("weather", weather)]);
    let (model, mut agent) = attach_model(&stack, &[], fixtures).await;
    let told = |seen: &[Event]| {
        let status = seen.iter().filter(|event| event.name == "status");
        let status = status.map(|event| event.data["text"].clone());
        status.collect::<Vec<_>>()
    };
    let (seen, _) = answer_to(&stack, "the weather, please").await;
    assert_eq!(told(&seen), ["Thinking", "Calling get_weather"]);
    assert_eq!(text(&seen), "It is sunny.");
    assert_eq!(seen.last().map(|done| &done.data["status"]), Some(&json!("done")));
    assert_eq!(without_deltas(&seen), ["status", "status", "message", "turn_done"]);

    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit().await.code(), Some(0));
    let _agent = attach(&stack, &model.base_url(), &["--show-reasoning"]).await;
    let (seen, _) = answer_to(&stack, "the weather, please").await;
    let lines = ["The city is Ulm.", "I should look", "Calling get_weather", "at the sky."];
    assert_eq!(told(&seen), lines);
}

#[apply(embedded)]
async fn a_busy_model_is_asked_again_after_its_retry_after(stack: Stack) {
    let refused = |status: u16, index: u8| {
        let error = json!({"message": "not now", "type": "error"});
        json!({
            "match": {"userMessage": "hello", "sequenceIndex": index},
            "response": {"error": error, "status": status, "retryAfter": 1},
        })
    };
    let fixtures = json!([
        refused(429, 0),
        // This refusal comes without Retry-After: aimock sends one only with a 429.
        refused(503, 1),
        refused(429, 2),
        to("hello", json!({"content": "Now."}))
    ]);
    let (model, _agent) = attach_model(&stack, &[], fixtures).await;
    let begun = Instant::now();
    let (seen, standing) = answer_to(&stack, "hello").await;
    assert_eq!(without_deltas(&seen), ["status", "status", "status", "message", "turn_done"]);
    assert_eq!((&*text(&seen), &standing["status"]), ("Now.", &json!("done")));
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(model.requests().await.len(), 4);
}

#[apply(embedded)]
async fn each_failure_of_a_model_has_a_plain_error(stack: Stack) {
    let refused = |status: u16, said: &str| json!({"error": {"message": said, "type": "error"}, "status": status});
    let late =
        json!({"error": {"message": "an hour", "type": "e"}, "status": 429, "retryAfter": 3600});
    let call = json!([{"name": "get_weather", "arguments": {}}]);
    let busy = "The agent is too busy to answer. Please try again later.";
    let away = "The agent is out of reach. Please try again later.";
    let vague = "The agent could not answer.";
    let cases = [
        (refused(429, "slower"), "", busy, "slower"),
        (late, "", busy, "an hour"),
        (refused(502, "upstream is away"), "", away, "upstream is away"),
        (refused(400, "no such model"), "", vague, "no such model"),
        (
            json!({"content": "So far and", "finishReason": "length"}),
            "So far and",
            "The reply grew too long and ends here.",
            "length",
        ),
        (
            json!({"content": "You may", "finishReason": "content_filter"}),
            "You may",
            "The agent may not say more about this.",
            "content_filter",
        ),
        (json!({"toolCalls": call}), "", vague, "wants the tool get_weather"),
        (json!({"content": ""}), "", "The agent had nothing to say.", "is empty"),
    ];
    let message = |index: usize| format!("case {index}.");
    let fixtures = cases.iter().enumerate();
    let fixtures = fixtures.map(|(index, (response, ..))| to(&message(index), response.clone()));
    let fixtures = fixtures.collect::<Value>();
    let (_model, agent) = attach_model(&stack, &["--retry-for", "1s"], fixtures).await;
    for (index, (_, shown, error, detail)) in cases.iter().enumerate() {
        let (seen, standing) = answer_to(&stack, &message(index)).await;
        assert_fields(&standing, json!({"status": "failed", "error": error}));
        assert_eq!(&text(&seen), shown);
        assert!(agent.said().contains(detail), "{detail}: {}", agent.said());
    }
    drop(agent);
    let nobody = format!("{}/v1", Endpoint::start().await.url());
    let agent = attach(&stack, &nobody, &["--retry-for", "1s"]).await;
    let (_, standing) = answer_to(&stack, "hello").await;
    assert_eq!(standing["error"], away);
    assert!(agent.said().contains("refused"), "{}", agent.said());
}

#[apply(embedded)]
async fn a_reply_that_is_cut_off_fails_the_turn(stack: Stack) {
    let whole = "This sentence is cut off in the middle, and nobody ever reads its end.";
    let fixtures = json!([{
        "match": {"userMessage": "hello"},
        "response": {"content": whole},
        "latency": 50,
        "truncateAfterChunks": 3,
    }]);
    let (model, agent) = attach_model(&stack, &[], fixtures).await;
    let (seen, standing) = answer_to(&stack, "hello").await;
    let shown = text(&seen);
    assert!(whole.starts_with(&shown) && !shown.is_empty() && shown != whole, "{shown}");
    assert!(!names(&seen).contains(&"message"), "{seen:?}");
    assert_fields(
        &standing,
        json!({"status": "failed", "error": "The reply was cut off. Please ask again."}),
    );
    assert!(agent.said().contains("cut off: "), "{}", agent.said());
    assert_eq!(model.requests().await.len(), 1, "a reply that has begun is not requested again");
}

#[apply(embedded)]
async fn wrong_flags_are_refused_at_the_start(stack: Stack) {
    let good = ["--folder", "acme", "--base-url", "http://127.0.0.1:9/v1", "--model", "m"];
    for (more, code, told) in [
        (["--system-file", "/nowhere/prompt.md"], 1, "/nowhere/prompt.md"),
        (["--api-key-file", "/nowhere/key"], 1, "/nowhere/key"),
        (["--param", "messages=[]"], 2, "come from the conversation"),
        (["--header", "no-value"], 2, "a name and a value"),
        (["--header", "a b=c"], 2, "can't be a header's name"),
        (["--retry-for", "soon"], 2, "with its units"),
        (["--history", "201"], 2, "201"),
    ] {
        let arguments = [&["agent", "openai"], &good[..], &more].concat();
        let outcome = stack.arizuko(&arguments).await.expect(code);
        assert!(outcome.err.contains(told), "{outcome:?}");
    }
    let wrong = ["agent", "openai", "--base-url", "model.example", "--model", "m"];
    let outcome = stack.arizuko(&wrong).await.expect(2);
    assert!(outcome.err.contains("https://model.example/v1"), "{outcome:?}");
}
