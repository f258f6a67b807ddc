//! Floods of what is counted: messages, credit, events.

use super::{Scene, with_little_room};
use arizuko_proto::v1::{TailRequest, admin_service_client::AdminServiceClient};
use arizuko_tests::prelude::*;
use futures_util::{StreamExt as _, future::join_all, stream};
use tokio::time::timeout;

const ATTACKER: &str = "203.0.113.7";
/// Lets one address send as much as a test wants.
pub(super) const OPEN: [(&str, &str); 3] = [
    ("ARIZUKO_ADDRESS_RATE", "100000"),
    ("ARIZUKO_LINK_RATE", "100000"),
    ("ARIZUKO_HOOK_BURST", "100000"),
];

/// Posts messages with these numbers. Each has its number and this many more bytes. Only a few are
/// posted at a time, since all change one record.
pub(super) async fn post(sender: &Visitor, numbers: std::ops::Range<usize>, bytes: usize) {
    let posts = stream::iter(numbers.map(|number| {
        let text = format!("{number} {}", "x".repeat(bytes));
        sender.post("text/plain", text)
    }));
    let mut answers = posts.buffer_unordered(8);
    while let Some(answer) = answers.next().await {
        answer.expect(202);
    }
}

/// Asserts that a turn has the newest of the messages that were observed, within the bounds. Returns
/// how many there are.
fn newest(observed: &[v1::Observed]) -> usize {
    let bytes: usize = observed.iter().map(|it| it.content.len()).sum();
    assert!(observed.len() <= 100 && bytes <= 1 << 20, "{} of {bytes} bytes", observed.len());
    assert_eq!(observed.last().map(|it| &it.content[..]), Some(&b"the last"[..]));
    observed.len()
}

#[apply(embedded)]
async fn webhooks_that_are_observed(kind: Kind) {
    let mut scene = Scene::new(kind, &OPEN).await;
    let [quiet, loud] = ["quiet", "loud"].map(|it| scene.stack.issue_hook("acme/flood", it, ""));
    let (quiet, loud) = (quiet.await, loud.await);
    let (quiet, loud) = (scene.stack.caller(&quiet, A), scene.stack.caller(&loud, A));
    scene.stack.route(mode("hook:acme/flood/quiet", RouteMode::Observe)).await;
    let mut agent = scene.stack.attach("acme/flood", A).await;
    let wave = async |_: &Scene| {
        let mut counts = Vec::new();
        for bytes in [10, 30_000] {
            post(&quiet, 0..120, bytes).await;
            quiet.post("text/plain", "the last").await.expect(202);
            loud.post("text/plain", "what is new?").await.expect(202);
            let held = agent.turn().await;
            counts.push(newest(&held.turn.observed));
            agent.answer(held, "a lot").await;
        }
        counts[0] == 100 && counts[1] < 40
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn messages_that_are_observed(kind: Kind) {
    let mut scene = Scene::new(kind, &OPEN).await;
    let visitor = scene.stack.visit("acme/flood").await.from_address(ATTACKER);
    let mut agent = scene.stack.attach("acme/flood", A).await;
    let conversation = visitor.say("hello").await.conversation;
    agent.answer_next("hello").await;
    let wave = async |scene: &Scene| {
        scene.stack.route(mode("web:acme/flood", RouteMode::Observe)).await;
        for number in 0..120 {
            let content = if number == 119 { "the last" } else { "by the way" };
            let aside = json!({"content": content, "conversation": conversation});
            visitor.post_json(&aside).await.expect(202);
        }
        scene.stack.route(mode("web:acme/flood", RouteMode::Trigger)).await;
        visitor.say_in(&conversation, "and now?").await;
        let held = agent.turn().await;
        let count = newest(&held.turn.observed);
        agent.answer(held, "now").await;
        count == 100
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn the_history_of_a_turn(kind: Kind) {
    let mut scene = Scene::new(kind, &OPEN).await;
    let visitor = scene.stack.visit("acme/flood").await.from_address(ATTACKER);
    let curious = Hello { history: u32::MAX, ..hello("acme/flood", 100) };
    let mut agent = scene.stack.session(A, curious).await;
    let conversation = visitor.say("hello").await.conversation;
    agent.answer_next("hello").await;
    let (mut turns, mut were_many, mut were_long) = (0, false, false);
    let wave = async |_: &Scene| {
        turns += 1;
        visitor.say_in(&conversation, "and now?").await;
        let mut held = agent.turn().await;
        let history = &held.turn.history;
        let bytes: usize = history.iter().map(|message| message.content.len()).sum();
        assert!(history.len() <= 200 && bytes <= 512 << 10, "{} of {bytes} bytes", history.len());
        were_many |= history.len() == 200;
        were_long |= bytes > 450_000;
        // First many short messages, then long ones.
        let words = "x".repeat(if turns < 6 { 10 } else { 6_000 });
        let reply = (0..60).map(|number| message(&format!("m{number}"), &words));
        agent.push(&mut held, reply.collect()).await;
        agent.stored(&held).await;
        agent.finish(&held).await;
        agent.credit(1).await;
        were_many && were_long
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn credit(kind: Kind) {
    let mut scene = Scene::new(kind, &[SERVED]).await;
    let mut agent = scene.stack.attach("acme/flood", A).await;
    let wave = async |scene: &Scene| {
        for _ in 0..50 {
            agent.credit(u32::MAX).await;
        }
        let credit = scene.stack.metric("arizuko_control_agent_credit", &[]).await;
        // The honest visitor's agent has some credit, too.
        assert!(credit <= 10_010.0, "{credit}");
        credit >= 10_000.0
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn events_that_a_tail_does_not_read(kind: Kind) {
    let mut scene = Scene::new(kind, &OPEN).await;
    // Long names make long events. Each folder keeps its own observed messages.
    let folder = format!("acme/{}", vec!["f".repeat(63); 6].join("/"));
    let mut hooks = Vec::new();
    for number in 0..8 {
        let hook = scene.stack.issue_hook(&format!("{folder}/{number}"), "quiet", "").await;
        scene.stack.route(mode(&hook.jid, RouteMode::Observe)).await;
        hooks.push(scene.stack.caller(&hook, A));
    }
    let control = with_little_room(&scene.stack, scene.stack.operator_key()).await;
    let mut admin = AdminServiceClient::new(control);
    let tail = admin.tail(TailRequest { folder: folder.clone() }).await;
    let mut tail = tail.expect("operators watch").into_inner();
    let mut sent = 0;
    let wave = async |_: &Scene| {
        let posts = hooks.iter().map(async |hook| {
            for _ in 0..10 {
                hook.post("text/plain", "quietly").await.expect(202);
            }
        });
        join_all(posts).await;
        sent += 10 * hooks.len();
        sent >= 1_400
    };
    scene.withstands(wave).await;
    let mut read = 0;
    while let Ok(event) = timeout(Duration::from_secs(1), tail.message()).await {
        assert!(event.expect("the stream goes on").is_some());
        read += 1;
    }
    assert!((1_024..sent).contains(&read), "{read} events of {sent}");
}
