//! Faults of Redis: it forgets scripts, disconnects subscribers, is full, or is not a primary.

use super::Readers;
use arizuko_tests::prelude::*;

#[apply(on_redis)]
async fn control_loads_the_script_again_after_redis_has_lost_it(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("count").await;
    let readers = Readers::begin(&stack, &link, &posted, 2);
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    let mut text = String::new();
    for number in 0..5 {
        let redis = stack.redis();
        redis.ask(&["SCRIPT", "FLUSH"]).await;
        let word = format!("{number} ");
        agent.append(&mut held, delta("m1", &word)).await;
        text += &word;
    }
    agent.finish(&held).await;
    readers.agree(&text).await;
}

#[apply(on_redis)]
async fn disconnected_subscribers_miss_nothing(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("count").await;
    let readers = Readers::begin(&stack, &link, &posted, 4);
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    let mut text = String::new();
    // Redis disconnects subscribers like this if their output buffers exceed a limit.
    let cut_off = ["CLIENT", "KILL", "TYPE", "PUBSUB"];
    for number in 0..10 {
        let word = format!("{number} ");
        agent.append(&mut held, delta("m1", &word)).await;
        text += &word;
        if number % 2 == 0 {
            let redis = stack.redis();
            redis.ask(&cut_off).await;
        }
    }
    agent.finish(&held).await;
    readers.agree(&text).await;
}

#[apply(on_redis)]
async fn a_stream_ends_even_if_the_last_wake_up_is_lost(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for _ in 0..5 {
        let posted = visitor.say("quick").await;
        let mut live = visitor.listen(&posted.turn).await;
        live.greeting().await;
        let held = agent.turn().await;
        let redis = stack.redis();
        let cut_off = redis.ask(&["CLIENT", "KILL", "TYPE", "PUBSUB"]);
        let begun = Instant::now();
        let ((), _) = tokio::join!(agent.answer(held, "done"), cut_off);
        live.rest().await;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "only a recheck ended the stream, after {took:?}");
    }
}

#[apply(on_redis)]
async fn a_reply_whose_end_a_failover_lost_is_made_again(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let mut agent = stack.agent("acme", &[]).await;
    let mut program = agent.turn().await;
    program.print("half a ").await;
    visitor.listen(&posted.turn).await.take(1).await;
    stack.redis().remember();
    program.reply("reply").await;
    visitor.end_of(&posted.turn).await;
    // This is like a failover to a replica that lacks the end of the reply. The agent was told that
    // the turn is done and has forgotten it, and the agent's session continues.
    let redis = stack.redis();
    redis.forget_the_rest().await;
    let program = agent.turn().await;
    program.reply("a whole reply").await;
    let seen = read_to_the_end(&visitor, &posted.turn).await;
    assert_eq!(transcript(&seen)[0].1, "a whole reply", "{seen:?}");
    assert_eq!(names(&seen).iter().filter(|name| **name == "restart").count(), 1);
}

#[apply(on_redis)]
async fn a_full_redis_takes_nothing_and_loses_nothing(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let before = visitor.say("before").await;
    let redis = stack.redis();
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let message = json!({"content": "during"});
    let refused = visitor.say_once("a-key-that-nobody-can-guess", &message).await;
    assert!(refused.refused(503, "UNAVAILABLE").retry_after() >= 1);
    // The history is readable and holds only the first message.
    let history = visitor.get(&format!("c/{}", before.conversation)).await;
    assert_eq!(history.expect(200).json()["turns"].as_array().map(Vec::len), Some(1));
    let redis = stack.redis();
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let after = visitor.say_once("a-key-that-nobody-can-guess", &message).await.posted();
    let mut agent = stack.attach("acme", B).await;
    for turn in [&before.turn, &after.turn] {
        let held = agent.turn().await;
        assert_eq!(&held.turn.turn_id, turn);
        agent.answer(held, "ok").await;
    }
}

#[apply(on_redis)]
async fn a_redis_that_is_not_a_primary_takes_nothing(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let redis = stack.redis();
    redis.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let message = json!({"content": "during"});
    let refused = visitor.say_once("a-key-that-nobody-can-guess", &message).await;
    assert!(refused.refused(503, "UNAVAILABLE").retry_after() >= 1);
    let redis = stack.redis();
    redis.ask(&["REPLICAOF", "NO", "ONE"]).await;
    visitor.say_until_taken("a-key-that-nobody-can-guess", &message).await;
}

#[apply(on_redis)]
async fn a_revocation_that_did_not_reach_redis_is_an_error(kind: Kind) {
    use arizuko_proto::v1::{
        RevokeTokenRequest, revoke_token_request::Target, token_service_client::TokenServiceClient,
    };
    let mut stack = Stack::start(kind).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("hello").await;
    let mut live = visitor.follow(&posted.conversation).await;
    live.take(1).await;
    let mut tokens = TokenServiceClient::new(stack.operator(B).await);
    let request = || RevokeTokenRequest {
        target: Some(Target::TokenId(link.token_id.clone())),
        dry_run: false,
    };
    stack.redis().freeze();
    let refused = within("an answer", tokens.revoke_token(request())).await;
    assert!(refused.is_err(), "{refused:?}");
    stack.redis().thaw();
    within("the revocation", async { while tokens.revoke_token(request()).await.is_err() {} })
        .await;
    for gateway in BOTH {
        let visitor = stack.visitor(&link, gateway);
        visitor.get("config").await.refused(401, "TOKEN_INVALID");
    }
}
