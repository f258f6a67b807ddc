//! Events out: what happens in a folder reaches the tenant's own systems. The receiver checks and
//! reads the events with the packages of Standard Webhooks and CloudEvents.

mod failures;
mod targets;

use crate::hooks::signatures::SEAL;
use arizuko_tests::{language::repository, prelude::*, tools::interpreter};

/// Receivers are on this machine, so their addresses are private.
const SETTINGS: [(&str, &str); 2] = [SEAL, ("ARIZUKO_PRIVATE_EVENT_TARGETS", "true")];

/// A subscription to a port of this machine, where a receiver may listen.
struct Target {
    port: String,
    secret: String,
    id: String,
}

impl Target {
    async fn subscribe(stack: &Stack, folder: &str, flags: &[&str]) -> Self {
        let port = free_port().to_string();
        let url = format!("http://127.0.0.1:{port}/events");
        let arguments = [&["event", "subscribe", folder, "--url", &url, "--json"], flags].concat();
        let created = stack.arizuko(&arguments).await.expect(0).json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let id = text(&created["subscription"]["subscription_id"]);
        Self { port, secret: text(&created["secret"]), id }
    }

    /// Starts the receiver, which gives these answers first.
    async fn listen(&self, stack: &Stack, answers: &[&str]) -> Receiver {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut python = command(interpreter());
        python.arg(scripts.join("receive.py")).args([&self.port, &self.secret]).args(answers);
        let mut receiver = Process::start("receiver", python, &stack.logs());
        receiver.line_with("listening").await;
        Receiver(receiver)
    }

    /// Returns the events that wait or, with the flag `--parked`, those that are parked.
    async fn events(&self, stack: &Stack, flags: &[&str]) -> Vec<Value> {
        let arguments = [&["event", "list", &self.id, "--json"], flags].concat();
        let listed = stack.arizuko(&arguments).await.expect(0).json();
        listed["events"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until an attempt to deliver an event has failed with this error. Returns the event.
    async fn fails(&self, stack: &Stack, why: &str) -> Value {
        let mut failed = Value::Null;
        until(format!("an attempt to fail with {why}"), async || {
            let waiting = self.events(stack, &[]).await;
            let parked = self.events(stack, &["--parked"]).await;
            let with_error = |event: &Value| {
                event["last_error"].as_str().is_some_and(|error| error.contains(why))
            };
            failed = waiting.into_iter().chain(parked).find(with_error).unwrap_or_default();
            !failed.is_null()
        })
        .await;
        failed
    }
}

struct Receiver(Process);

impl Receiver {
    /// Waits for the next event, and asserts that it is one of this kind.
    async fn next(&mut self, kind: &str) -> Value {
        let line = self.0.line().await;
        let event: Value = serde_json::from_str(&line).expect("it prints JSON");
        assert_eq!(event["type"], format!("arizuko.{kind}"), "{event}");
        event
    }
}

/// Says something, and lets the agent answer.
async fn exchange(visitor: &Visitor, agent: &mut Session, conversation: Option<&str>) -> Posted {
    let posted = match conversation {
        Some(conversation) => visitor.say_in(conversation, "hello").await,
        None => visitor.say("hello").await,
    };
    agent.answer_next("hi").await;
    posted
}

#[apply(embedded_and_pair)]
async fn what_happens_comes_once_signed_and_in_order(kind: Kind) {
    let stack = Stack::with(kind, &[&SETTINGS[..], &[SERVED]].concat()).await;
    let target = Target::subscribe(&stack, "acme", &[]).await;
    let failures = Target::subscribe(&stack, "acme", &["--events", "turn.failed,escalated"]).await;
    let elsewhere = Target::subscribe(&stack, "acme/eng", &[]).await;
    let mut receiver = target.listen(&stack, &[]).await;
    let mut of_failures = failures.listen(&stack, &[]).await;
    let link = stack.issue("acme").await;
    let [here, there] = stack.visitors(&link);
    let mut agent = stack.attach("acme", B).await;

    let first = exchange(&here, &mut agent, None).await;
    let conversation = &first.conversation;
    let mut turns = vec![first.turn.clone()];
    for _ in 0..3 {
        turns.push(exchange(&there, &mut agent, Some(conversation)).await.turn);
    }
    let failing = here.say_in(conversation, "hello").await.turn;
    let held = agent.turn().await;
    agent.say(held.fail("the disk is full")).await;
    here.read(&failing).await;
    let cancelled = there.say_in(conversation, "hello").await.turn;
    there.post_to(&format!("{cancelled}/cancel")).await.expect(200);
    here.delete(&format!("c/{conversation}")).await.expect(204);

    let subject = public_id::conversation(conversation);
    for turn in &turns {
        let event = receiver.next("turn.done").await;
        let source = "https://acme.example/acme";
        assert_fields(&event, json!({ "path": "/events", "subject": subject, "source": source }));
        assert_fields(
            &event["data"],
            json!({
                "folder": "acme",
                "jid": "web:acme",
                "token_id": link.token_id,
                "conversation_id": subject,
                "turn_id": public_id::turn(turn),
            }),
        );
    }
    let failed = receiver.next("turn.failed").await;
    assert_eq!(failed["data"]["turn_id"], public_id::turn(&failing));
    assert!(!failed.to_string().contains("disk"), "an event has no text: {failed}");
    let ended = receiver.next("turn.cancelled").await;
    assert_eq!(ended["data"]["turn_id"], public_id::turn(&cancelled));
    let deleted = receiver.next("conversation.deleted").await;
    assert_eq!(deleted["data"]["by"], "visitor");

    let of_failures = of_failures.next("turn.failed").await;
    assert_eq!(of_failures["data"], failed["data"]);
    assert_ne!(of_failures["id"], failed["id"], "each subscription has events of its own");
    let delivered = turns.len() as f64 + 4.0;
    let labels = ["outcome=\"delivered\""];
    stack.metric_becomes("arizuko_control_events_total", &labels, delivered).await;
    for target in [&target, &failures, &elsewhere] {
        assert_eq!(target.events(&stack, &[]).await, [] as [Value; 0], "{}", target.id);
    }
}

#[apply(embedded)]
async fn the_receiver_in_the_document_takes_events(kind: Kind) {
    let stack = Stack::with(kind, &SETTINGS).await;
    let target = Target::subscribe(&stack, "acme", &["--events", "turn.done"]).await;
    let document = fs::read_to_string(repository().join("docs/events.md")).expect("it is there");
    let example = document.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let mut python = command(interpreter());
    python.args(["-c", example.expect("it has an example")]);
    python.env("SECRET", &target.secret).env("PORT", &target.port);
    let mut receiver = Process::start("example", python, &stack.logs());
    receiver.listens(target.port.parse().expect("a number")).await;
    let posted =
        exchange(&stack.visit("acme").await, &mut stack.attach("acme", B).await, None).await;
    let expected = format!("arizuko.turn.done {}", public_id::conversation(&posted.conversation));
    assert_eq!(receiver.line().await, expected);
    until("nothing to wait", async || target.events(&stack, &[]).await.is_empty()).await;
}

#[apply(embedded)]
async fn an_escalation_and_an_operators_deletion_are_events(kind: Kind) {
    let stack = Stack::with(kind, &SETTINGS).await;
    let kinds = ["--events", "escalated,conversation.deleted"];
    let target = Target::subscribe(&stack, "acme", &kinds).await;
    let mut receiver = target.listen(&stack, &[]).await;
    let soon = Duration::from_secs(1);
    stack.route(escalation("web:acme", soon, "acme/people", "")).await;
    let posted = stack.visit("acme").await.say("hello").await;
    let escalated = receiver.next("escalated").await;
    assert_fields(&escalated["data"], json!({ "folder": "acme", "to": "acme/people" }));
    let id = public_id::conversation(&posted.conversation);
    stack.arizuko(&["conversation", "delete", &id, "--yes"]).await.expect(0);
    let deleted = receiver.next("conversation.deleted").await;
    assert_fields(&deleted["data"], json!({ "conversation_id": id, "by": "operator" }));
}

#[apply(embedded)]
async fn a_subscription_is_listed_and_ends_with_its_events(kind: Kind) {
    let stack = Stack::with(kind, &SETTINGS).await;
    let target = Target::subscribe(&stack, "acme", &["--events", "turn.done"]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    exchange(&visitor, &mut agent, None).await;
    target.fails(&stack, "the connection failed").await;
    let listed = stack.arizuko(&["event", "subscriptions", "acme", "--json"]).await.expect(0);
    assert!(!listed.out.contains("whsec_"), "the secret is shown once: {listed:?}");
    let listed = &listed.json()["subscriptions"][0];
    assert_fields(listed, json!({ "subscription_id": target.id, "kinds": ["turn.done"] }));

    stack.arizuko(&["event", "unsubscribe", &target.id]).await.expect(0);
    let again = stack.arizuko(&["event", "unsubscribe", &target.id]).await.expect(0);
    assert!(again.err.contains("nothing to end"), "{}", again.err);
    let told = stack.arizuko(&["event", "list", &target.id]).await.expect(1).err;
    assert!(told.contains("no such subscription"), "{told}");
    exchange(&visitor, &mut agent, None).await;
    let store = stack.data_dir();
    until("the store to have no events", async || {
        let script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(\
            \"SELECT (SELECT count(*) FROM record WHERE name LIKE 'event:%') + \
            (SELECT count(*) FROM member WHERE set_name LIKE 'events:%')\").fetchone()[0])";
        let mut python = command("python3");
        python.args(["-c", script]).arg(store.join("arizuko.db"));
        run(&mut python, "").await.expect(0).out.trim() == "0"
    })
    .await;
    let audit = stack.arizuko(&["audit", "acme", "--json"]).await.expect(0).out;
    assert!(audit.contains("event.subscribe") && audit.contains("event.unsubscribe"), "{audit}");
}
