//! A route that was set with an agent's key applies only to the tokens that the key reaches.

use super::reach::{Routes, agent, outcome, persona};
use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn a_key_cannot_change_the_route_of_a_key_that_reaches_further(stack: Stack) {
    let mut operator = Routes::of(&stack, stack.operator_key(), A).await;
    let set = persona("web:acme/x", "the operator's");
    operator.set(set.clone()).await.expect("operators may");
    let own = agent(&stack, "acme/x", KeyReach::Self_).await;
    let below = agent(&stack, "acme/x", KeyReach::Subtree).await;
    let mut own = Routes::of(&stack, &own, B).await;
    let mut below = Routes::of(&stack, &below, B).await;
    for agent in [&mut own, &mut below] {
        for made in [
            outcome(agent.set(persona("web:acme/x", "mine")).await),
            outcome(agent.apply("", vec![persona("web:acme/x", "mine")]).await),
            outcome(agent.apply("", vec![]).await),
            outcome(agent.delete("web:acme/x").await),
        ] {
            assert_eq!(made, "NOT_ALLOWED");
        }
        let found = agent.explain("web:acme/x").await.expect("it is its own");
        assert_eq!(found.1, "the operator's");
    }
    // A key can change a route that was set with it, until a key with a wider reach sets the route.
    let mine = own.set(persona("web:acme/x/y", "mine")).await;
    assert_eq!(mine.expect("it is its own").only_folder, "acme/x");
    let kept = vec![persona("web:acme/x/y", "still mine"), set];
    let changed = own.apply("", kept).await;
    assert_eq!(changed.expect("the operator's stays as it is"), 1);
    let ours = below.set(persona("web:acme/x/y", "ours")).await;
    assert_eq!(ours.expect("it reaches that").only_folder, "acme/x");
    let refused = own.set(persona("web:acme/x/y", "mine")).await;
    assert_eq!(outcome(refused), "NOT_ALLOWED");
    let root = agent(&stack, "acme", KeyReach::Subtree).await;
    let mut root = Routes::of(&stack, &root, A).await;
    let taken = root.set(persona("web:acme/x/y", "everybody's")).await;
    assert_eq!(taken.expect("it reaches that").only_folder, "");
    let refused = below.set(persona("web:acme/x/y", "ours")).await;
    assert_eq!(outcome(refused), "NOT_ALLOWED");
}

#[apply(every_stack)]
async fn a_key_cannot_overwrite_a_route_that_it_does_not_see(stack: Stack) {
    let hook = stack.issue_hook("acme/eng/x", "ci", "").await;
    let theirs = agent(&stack, "acme/eng/x", KeyReach::Self_).await;
    let mut theirs = Routes::of(&stack, &theirs, A).await;
    theirs.set(persona("hook:acme/eng/x", "theirs")).await.expect("it is its own");
    let own = agent(&stack, "acme/eng", KeyReach::Self_).await;
    let mut own = Routes::of(&stack, &own, B).await;
    assert!(own.list("").await.expect("it may list").is_empty());
    let mine = persona("hook:acme/eng/x", "mine");
    assert_eq!(outcome(own.set(mine.clone()).await), "NOT_ALLOWED");
    assert_eq!(outcome(own.apply("", vec![mine]).await), "NOT_ALLOWED");
    assert_eq!(theirs.explain(&hook.jid).await.expect("it is its own").1, "theirs");
}

#[apply(every_stack)]
async fn a_route_of_one_folders_key_applies_to_that_folders_tokens_only(stack: Stack) {
    let (own, suffixed, below) = (
        stack.issue("acme").await,
        stack.issue_with("acme", "support", Default::default()).await,
        stack.issue("acme/eng").await,
    );
    let mut operator = Routes::of(&stack, stack.operator_key(), A).await;
    let key = stack.agent_key("acme").await;
    let mut agent = Routes::of(&stack, &key, B).await;
    for prefix in ["web:acme", "web:acme/eng"] {
        let set = agent.set(persona(prefix, "mine")).await;
        let expected = if prefix == "web:acme" { "OK" } else { "NOT_ALLOWED" };
        assert_eq!(outcome(set), expected, "{prefix}");
    }
    let mut acme = stack.attach("acme", A).await;
    let mut eng = stack.attach("acme/eng", B).await;
    for (link, persona) in [(&own, "mine"), (&suffixed, "mine"), (&below, "")] {
        let explained = operator.explain(&link.jid).await.expect("operators may");
        assert_eq!(explained.1, persona, "{}", link.jid);
        stack.visitor(link, B).say("hello").await;
        let agent = match explained.0.as_str() {
            "acme" => &mut acme,
            _ => &mut eng,
        };
        let held = agent.turn().await;
        let found = (&*held.turn.jid, &*held.turn.persona);
        assert_eq!(found, (&*link.jid, persona));
        agent.answer(held, "hi").await;
    }
}

#[apply(every_stack)]
async fn a_subtree_key_cannot_redirect_webhooks_of_the_folder_above(stack: Stack) {
    // The JIDs of webhooks of two folders begin with `hook:acme/github`.
    let above = stack.issue_hook("acme", "github", "eng").await;
    let own = stack.issue_hook("acme/github", "gitlab", "").await;
    let key = agent(&stack, "acme/github", KeyReach::Subtree).await;
    let mut agent = Routes::of(&stack, &key, B).await;
    let taken = Route { target: Some("acme/github/spy".to_owned()), ..route("hook:acme/github") };
    agent.set(taken).await.expect("it begins its own webhooks");
    let mut acme = stack.attach("acme", A).await;
    let mut spy = stack.attach("acme/github/spy", B).await;
    stack.caller(&own, A).post("text/plain", "own").await.expect(202);
    assert_eq!(spy.turn().await.turn.content, &b"own"[..]);
    stack.caller(&above, B).post("text/plain", "above").await.expect(202);
    assert_eq!(acme.turn().await.turn.content, &b"above"[..]);
}
