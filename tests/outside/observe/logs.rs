//! The log: one line for each failure, with the ids of what the failure is about.

use arizuko_tests::prelude::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const JSON: (&str, &str) = ("ARIZUKO_LOG_FORMAT", "json");

/// Returns the log lines of all processes whose names begin with `name`.
fn lines(stack: &Stack, name: &str) -> Vec<Value> {
    let logs = fs::read_dir(stack.logs()).expect("the stack's folder is readable");
    let logs = logs.map(|log| log.expect("its entries, too").path());
    let logs = logs.filter(|log| {
        let file = log.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(name)
    });
    let text: String = logs.map(|log| fs::read_to_string(log).expect("it is text")).collect();
    assert!(!text.is_empty(), "{name} has logged something");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Returns the fields of the spans around a line.
fn spans(line: &Value) -> String {
    line["spans"].to_string()
}

#[apply(every_stack)]
async fn a_json_line_names_its_turn(kind: Kind) {
    let stack = Stack::with(kind, &[JSON]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.agent("acme", &[]).await;
    let posted = visitor.say("hello").await;
    agent.turn().await.exit(3).await;
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "failed");
    // The agent logs before it tells control, but the line may reach the file a moment later.
    agent.process.kill();
    let told = lines(&stack, "agent");
    let warned = told.iter().filter(|line| line["level"] == "WARN");
    let warned: Vec<_> = warned.collect();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(spans(warned[0]).contains(&public_id::turn(&posted.turn)), "{}", warned[0]);
    assert!(
        spans(warned[0]).contains(&public_id::conversation(&posted.conversation)),
        "{}",
        warned[0]
    );
    let server = if kind == Kind::Embedded { "up" } else { "gateway" };
    let answered = lines(&stack, server);
    let answered = answered
        .iter()
        .find(|line| line["message"] == "answered" && spans(line).contains("\"status\":202"));
    let answered = answered.expect("each answer is logged at this level");
    assert!(spans(answered).contains(&public_id::turn(&posted.turn)), "{answered}");
}

#[apply(on_redis)]
async fn a_store_failure_is_logged_once_with_its_ids_and_trace(kind: Kind) {
    let mut stack = Stack::with(kind, &[JSON]).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("hello").await;
    let redis = stack.redis();
    redis.kill();
    let request = visitor.request(Method::GET, &posted.turn);
    let request = request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    send(request).await.refused(503, "UNAVAILABLE");
    let told = lines(&stack, "gateway");
    let told = told.iter().filter(|line| line["level"] == "WARN" && spans(line).contains(TRACE));
    for line in told.clone() {
        assert!(spans(line).contains(&public_id::turn(&posted.turn)), "{line}");
    }
    // The gateway tried control twice, and each failure is one line.
    assert_eq!(told.count(), 2);
    let told = lines(&stack, "control");
    // These lines have no turn's id: control fails when it reads the gateway's key, before it knows
    // what the call is about.
    let told = told
        .iter()
        .filter(|line| line["message"] == "store out of reach" && spans(line).contains("GetTurn"));
    for line in told.clone() {
        assert!(!line.to_string().contains(&link.token), "{line}");
    }
    assert_eq!(told.count(), 2);
}

#[apply(embedded)]
async fn no_level_puts_messages_into_the_log(kind: Kind) {
    let stack = Stack::with(kind, &[("RUST_LOG", "trace")]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let posted = visitor.say("a question-for-nobody-else").await;
    agent.answer_next("an *answer-for-nobody-else*").await;
    let html = visitor.json(&format!("{}?html=1", posted.turn)).await;
    assert!(html.to_string().contains("<em>answer-for-nobody-else</em>"), "{html}");
    let log = fs::read_to_string(stack.logs().join("up.log")).expect("it is text");
    assert!(log.contains("DEBUG"), "it is below warnings");
    let told: Vec<_> = log.lines().filter(|line| line.contains("for-nobody-else")).collect();
    assert!(told.is_empty(), "{told:#?}");
}
