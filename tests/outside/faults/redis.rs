//! What Redis can do to us: it forgets scripts, cuts off who listens, is full, or no primary.

use super::Readers;
use arizuko_tests::prelude::*;

#[apply(on_redis)]
async fn a_redis_that_forgets_the_script_is_told_it_again(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("count").await;
    let readers = Readers::begin(&stack, &link, &posted, 2);
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    let mut text = String::new();
    for number in 0..5 {
        let redis = stack.redis().expect("this stack has one");
        redis.ask(&["SCRIPT", "FLUSH"]).await;
        let word = format!("{number} ");
        agent.append(&mut held, delta("m1", &word)).await;
        text += &word;
    }
    agent.finish(&held).await;
    readers.agree(&text).await;
}

#[apply(on_redis)]
async fn subscribers_that_redis_cuts_off_miss_nothing(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("count").await;
    let readers = Readers::begin(&stack, &link, &posted, 4);
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    let mut text = String::new();
    // As it does with those whose output buffer is over its limit.
    let cut_off = ["CLIENT", "KILL", "TYPE", "PUBSUB"];
    for number in 0..10 {
        let word = format!("{number} ");
        agent.append(&mut held, delta("m1", &word)).await;
        text += &word;
        if number % 2 == 0 {
            let redis = stack.redis().expect("this stack has one");
            redis.ask(&cut_off).await;
        }
    }
    agent.finish(&held).await;
    readers.agree(&text).await;
}

#[apply(on_redis)]
async fn the_last_wake_up_may_be_lost_and_the_stream_still_ends(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let mut agent = stack.attach("acme", B).await;
    for _ in 0..5 {
        let posted = visitor.say("quick").await;
        let mut live = visitor.listen(&posted.turn).await;
        live.greeting().await;
        let held = agent.turn().await;
        let redis = stack.redis().expect("this stack has one");
        let cut_off = redis.ask(&["CLIENT", "KILL", "TYPE", "PUBSUB"]);
        let begun = Instant::now();
        let ((), _) = tokio::join!(agent.answer(held, "done"), cut_off);
        live.rest().await;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "only a recheck ended it, after {took:?}");
    }
}

#[apply(on_redis)]
async fn a_reply_whose_end_was_lost_is_given_again(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("hello").await;
    let mut agent = stack.agent("acme", &[]).await;
    let mut program = agent.turn().await;
    program.print("half a ").await;
    visitor.listen(&posted.turn).await.take(1).await;
    stack.redis().expect("this stack has one").remember();
    program.print("reply").await;
    program.exit(0).await;
    visitor.end_of(&posted.turn).await;
    // As a failover to a replica that had not got it. The agent has been told that it is done, and
    // has forgotten the turn; its session goes on.
    let redis = stack.redis().expect("as before");
    redis.forget_the_rest().await;
    let mut program = agent.turn().await;
    program.print("a whole reply").await;
    program.exit(0).await;
    let seen = read_to_the_end(&visitor, &posted.turn).await;
    assert_eq!(transcript(&seen)[0].1, "a whole reply", "{seen:?}");
    assert_eq!(names(&seen).iter().filter(|name| **name == "restart").count(), 1);
}

#[apply(on_redis)]
async fn a_redis_that_is_full_takes_nothing_and_loses_nothing(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let before = visitor.say("before").await;
    let redis = stack.redis().expect("this stack has one");
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let message = json!({"content": "during"});
    let refused = visitor.say_once("a-key-that-nobody-can-guess", &message).await;
    assert!(refused.refused(503, "UNAVAILABLE").retry_after() >= 1);
    // What is there can be read, and nothing half-done is among it.
    let history = visitor.get(&format!("c/{}", before.conversation)).await;
    assert_eq!(history.expect(200).json()["turns"].as_array().map(Vec::len), Some(1));
    let redis = stack.redis().expect("this stack has one");
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
async fn a_redis_that_is_no_primary_takes_nothing(mut stack: Stack) {
    let visitor = stack.visitor(&stack.issue("acme").await, A);
    let redis = stack.redis().expect("this stack has one");
    redis.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let message = json!({"content": "during"});
    let refused = visitor.say_once("a-key-that-nobody-can-guess", &message).await;
    assert!(refused.refused(503, "UNAVAILABLE").retry_after() >= 1);
    let redis = stack.redis().expect("this stack has one");
    redis.ask(&["REPLICAOF", "NO", "ONE"]).await;
    within("a message to be taken", async {
        while visitor.say_once("a-key-that-nobody-can-guess", &message).await.status != 202 {}
    })
    .await;
}

#[apply(on_redis)]
async fn a_revocation_that_redis_did_not_hear_of_is_not_told_as_done(kind: Kind) {
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
    let request = || RevokeTokenRequest { target: Some(Target::TokenId(link.token_id.clone())) };
    stack.redis().expect("this stack has one").freeze();
    let refused = within("an answer", tokens.revoke_token(request())).await;
    assert!(refused.is_err(), "{refused:?}");
    stack.redis().expect("this stack has one").thaw();
    within("the revocation", async { while tokens.revoke_token(request()).await.is_err() {} })
        .await;
    for gateway in BOTH {
        let visitor = stack.visitor(&link, gateway);
        visitor.get("config").await.refused(401, "TOKEN_INVALID");
    }
}
