//! What was delivered, what became of it, and the same delivery again.

use super::issue_hook;
use arizuko_tests::prelude::*;

async fn listed(stack: &Stack, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["delivery", "list", "--json"], arguments].concat();
    let listed = stack.arizuko(&arguments).await.expect(0).json();
    listed["conversations"].as_array().expect("a list").clone()
}

#[apply(embedded_and_pair)]
async fn a_failed_delivery_is_listed_shown_and_replayed_as_it_came(stack: Stack) {
    let [here, there] = issue_hook(&stack, "github", &["--only", "x-kind=a"]).await;
    let mut agent = stack.attach("acme", B).await;
    let deliver = async |id: &str, body: &[u8]| {
        let request = here.request(Method::PUT, "/orders?x=1").header("x-github-delivery", id);
        send(request.header("x-kind", "a").body(body.to_vec())).await.posted().turn
    };
    let first = public_id::turn(&deliver("72d3162e", b"\xffa body").await);
    let mut held = agent.turn().await;
    agent.append(&mut held, respond(response(500, "text/plain", "out of order"))).await;
    let failing = held.turn.clone();
    agent.say(held.fail("the disk is full")).await;
    let second = public_id::turn(&deliver("f6266f16", b"{}").await);
    agent.answer_next("done").await;
    // Neither a visitor's message nor what a filter leaves out is a delivery.
    stack.visit("acme").await.say("hello").await;
    let held = agent.turn().await;
    agent.finish(&held).await;
    there.post("text/plain", "x").await.expect(200);

    let all = listed(&stack, &["acme"]).await;
    let all: Vec<_> = all.iter().map(|one| [&one["turn_id"], &one["delivery"]]).collect();
    assert_eq!(all, [[&json!(second), &json!("f6266f16")], [&json!(first), &json!("72d3162e")]]);
    let failed = listed(&stack, &["hook:acme/github", "--failed"]).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["turn_id"], first.as_str());
    let table = stack.arizuko(&["delivery", "list", "acme", "--limit", "1"]).await.expect(0);
    assert!(table.out.contains(&second) && !table.out.contains(&first), "{}", table.out);
    assert!(table.err.contains("delivery list acme --limit 1 --page"), "{}", table.err);
    let shown = stack.arizuko(&["delivery", "show", &first]).await.expect(0).out;
    for part in [
        "72d3162e",
        "PUT https://acme.example/hook/tok_",
        "500 text/plain",
        "out of order",
        "the disk is full",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    let replayed = stack.arizuko(&["delivery", "replay", &first]).await.expect(0).out;
    let again = agent.offered().await;
    assert!(replayed.contains(&public_id::turn(&again.turn_id)), "{replayed}");
    assert_ne!(again.turn_id, failing.turn_id);
    assert_eq!(
        (&again.content, &again.headers, &again.request),
        (&failing.content, &failing.headers, &failing.request)
    );
    let audit = stack.arizuko(&["audit", "--json"]).await.expect(0).out;
    assert!(audit.contains("delivery.replay") && audit.contains(&first), "{audit}");
    // If the sender repeats its delivery, that is still recognised as a repeat.
    assert_eq!(public_id::turn(&deliver("72d3162e", b"\xffa body").await), first);
}

#[apply(embedded)]
async fn only_what_is_kept_on_a_live_link_is_replayed_and_within_its_limits(stack: Stack) {
    let [hook, _] = issue_hook(&stack, "few", &["--rate", "2/h"]).await;
    let turn = public_id::turn(&hook.post("text/plain", "x").await.posted().turn);
    let replay = async |turn: &str| stack.arizuko(&["delivery", "replay", turn]).await;
    replay(&turn).await.expect(0);
    let told = replay(&turn).await.expect(1).err;
    assert!(told.contains("too many messages"), "{told}");
    stack.arizuko(&["token", "pause", "hook:acme/few"]).await.expect(0);
    replay(&turn).await.expect(1);
    stack.revoke("hook:acme/few").await;
    let told = replay(&turn).await.expect(1).err;
    assert!(told.contains("no such live webhook"), "{told}");

    let said = stack.visit("acme").await.say("hello").await;
    stack.route(mode("hook:acme/dropped", RouteMode::Drop)).await;
    let [dropped, _] = issue_hook(&stack, "dropped", &[]).await;
    let dropped = dropped.post("text/plain", "x").await.posted();
    for other in [said, dropped] {
        let told = replay(&public_id::turn(&other.turn)).await.expect(1).err;
        assert!(told.contains("no such delivery"), "{told}");
    }
}
