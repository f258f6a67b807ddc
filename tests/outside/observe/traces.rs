//! One trace, from the visitor's message to the last frame at the reader.

use arizuko_tests::prelude::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

#[apply(every_stack)]
async fn one_trace_covers_the_message_the_reply_and_its_readers(kind: Kind) {
    let mut collector = Collector::start().await;
    let stack = Stack::with(kind, &collector.settings()).await;
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.agent("acme", &["--json"]).await;

    let request = here.request(Method::POST, "");
    let request = request.header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    let posted = send(request.json(&json!({"content": "hello"}))).await.posted();
    let mut program = agent.turn().await;
    let turn: Value = serde_json::from_slice(&program.input).expect("JSON");
    let mut events = there.listen(&posted.turn).await;
    program.print("one ").await;
    events.take(1).await;
    program.reply("two").await;
    events.rest().await;

    let (gateway, control) = match kind {
        Kind::Embedded => ("arizuko", "arizuko"),
        _ => ("arizuko-gateway", "arizuko-control"),
    };
    let post = collector.span(TRACE, "POST /chat/{token}/").await;
    assert_eq!((post.service.as_str(), post.parent.as_str()), (gateway, CALLER));
    let taken = "arizuko.v1.GatewayService/PostMessage";
    let taken = collector.span(TRACE, taken).await;
    assert_eq!((taken.service.as_str(), &taken.parent), (control, &post.id));
    for name in ["deliver the turn", "accept the turn", "store the first frame", "finish the turn"]
    {
        let span = collector.span(TRACE, name).await;
        assert_eq!((span.service.as_str(), &span.parent), (control, &taken.id), "{name}");
        assert!(span.whole.contains(&public_id::turn(&posted.turn)), "{span:?}");
    }
    let answered = collector.span(TRACE, "answer the turn").await;
    assert_eq!(answered.service, "arizuko-agent");
    assert_eq!(answered.parent, taken.id);
    // The program's document carries the span of its agent.
    assert_eq!(turn["traceparent"], format!("00-{TRACE}-{}-01", answered.id));
    let delivered = "deliver the last frame";
    let first = collector.span(TRACE, delivered).await;
    assert_eq!((first.service.as_str(), &first.parent), (gateway, &taken.id));

    // A reader of the whole conversation gets the same frame later.
    there.follow(&posted.conversation).await.through("turn_done").await;
    let both = collector.spans(TRACE, delivered, 2).await;
    assert_eq!(both[1].parent, taken.id);
}

#[apply(every_stack)]
async fn an_invalid_trace_context_begins_a_new_trace(kind: Kind) {
    let mut collector = Collector::start().await;
    let stack = Stack::with(kind, &collector.settings()).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for nonsense in ["", "nonsense", "00-0000000000000000-00-01"] {
        let request = visitor.request(Method::POST, "");
        let request = request.header("traceparent", nonsense);
        send(request.json(&json!({"content": "x"}))).await.posted();
        let held = agent.turn().await;
        let trace = held.turn.traceparent.split('-').nth(1).map(str::to_owned);
        let trace = trace.unwrap_or_default();
        assert_eq!(trace.len(), 32, "{:?}", held.turn.traceparent);
        agent.answer(held, "y").await;
        let post = collector.span(&trace, "POST /chat/{token}/").await;
        assert_eq!(post.parent, "");
        collector.span(&trace, "finish the turn").await;
    }
}

#[apply(one_redis)]
async fn the_last_spans_are_sent_when_a_process_stops(kind: Kind) {
    let mut collector = Collector::start().await;
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
        ("OTEL_SERVICE_NAME", "renamed"),
    ];
    let mut stack = Stack::with(kind, &settings).await;
    let visitor = stack.visit("acme").await;
    let request = visitor.request(Method::POST, "");
    let request = request.header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    send(request.json(&json!({"content": "x"}))).await.posted();
    assert_eq!(collector.seen(), []);
    for part in [Gateway(A), Control(A)] {
        let process = stack.process(part);
        process.signal(Signal::SIGTERM);
        assert!(within("the end of a process", process.exit()).await.success());
    }
    let post = collector.span(TRACE, "POST /chat/{token}/").await;
    assert_eq!(post.service, "renamed");
    let taken = "arizuko.v1.GatewayService/PostMessage";
    assert_eq!(collector.span(TRACE, taken).await.parent, post.id);
}
