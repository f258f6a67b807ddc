//! Revocation: once RevokeToken has returned, the link is dead everywhere.

use arizuko_proto::v1::{
    IssueChatLinkRequest, RevokeTokenRequest, revoke_token_request::Target,
    token_service_client::TokenServiceClient,
};
use arizuko_tests::prelude::*;
use futures_util::stream::{self, StreamExt as _};
use tokio::io::AsyncReadExt as _;

/// Asserts that every request at every gateway is refused, as for an unknown token.
async fn is_dead(stack: &Stack, link: &Link, turn: &str, conversation: &str) {
    for gateway in BOTH {
        let visitor = stack.visitor(link, gateway);
        for path in [
            String::new(),
            "config".into(),
            turn.to_owned(),
            format!("{turn}/status"),
            format!("{turn}/sse"),
            format!("c/{conversation}"),
            format!("c/{conversation}/sse"),
        ] {
            dead(&visitor, Method::GET, &path).await;
        }
        dead(&visitor, Method::POST, &format!("{turn}/cancel")).await;
        dead(&visitor, Method::DELETE, &format!("c/{conversation}")).await;
        let message = json!({"content": "x", "conversation": conversation});
        let answer = visitor.post_json(&message).await.refused(401, "TOKEN_INVALID");
        let challenge = "Bearer error=\"invalid_token\"";
        assert!(answer.header("www-authenticate").starts_with(challenge));
    }
}

async fn dead(visitor: &Visitor, method: Method, path: &str) {
    let answer = send(visitor.request(method, path)).await.refused(401, "TOKEN_INVALID");
    let challenge = "Bearer error=\"invalid_token\"";
    assert!(answer.header("www-authenticate").starts_with(challenge));
}

#[apply(every_stack)]
async fn the_next_request_at_every_gateway_is_refused(stack: Stack) {
    let mut agent = stack.attach("acme", B).await;
    for round in 0..4 {
        let link = stack.issue("acme").await;
        let [here, there] = stack.visitors(&link);
        let posted = here.say("hello").await;
        agent.answer_next("hello").await;
        // Both gateways have just accepted the token.
        here.get("config").await.expect(200);
        there.say_in(&posted.conversation, "more").await;
        agent.answer_next("more").await;
        let target = if round % 2 == 0 { &link.jid } else { &link.token_id };
        assert_eq!(stack.revoke(target).await.len(), 1);
        is_dead(&stack, &link, &posted.turn, &posted.conversation).await;
    }
}

#[apply(every_stack)]
async fn open_streams_get_revoked_and_end_within_a_second(stack: Stack) {
    let (link, other) = (stack.issue("acme").await, stack.issue("acme").await);
    let mut agent = stack.attach("acme", B).await;
    let [here, there] = stack.visitors(&link);
    let posted = here.say("hello").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "hal")).await;
    let unharmed = stack.visitor(&other, A).say("hello").await;
    let mut unharmed = stack.visitor(&other, A).listen(&unharmed.turn).await;

    let waiting = tokio::spawn({
        let (there, turn) = (there.clone(), posted.turn.clone());
        async move { there.get(&format!("{turn}/status?wait=40")).await }
    });
    let mut streams = Vec::new();
    for visitor in [&here, &there] {
        for path in [format!("{}/sse", posted.turn), format!("c/{}/sse", posted.conversation)] {
            let mut events = visitor.open(&path, Cursor::Start).await.ok();
            events.greeting().await;
            streams.push(events);
        }
    }

    stack.revoke(&link.token_id).await;
    let begun = Instant::now();
    for mut events in streams {
        let seen = events.rest().await;
        let after = begun.elapsed();
        assert_eq!(names(&seen).last(), Some(&"revoked"), "{seen:?}");
        let last = seen.last().expect("it was just looked at");
        assert_eq!((&last.data, last.id.as_ref()), (&json!({}), None));
        assert!(after < Duration::from_secs(1), "it ended after {after:?}");
    }
    let waited = within("the request that waits for the turn's end", waiting).await;
    waited.expect("it does not panic").refused(401, "TOKEN_INVALID");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "the waiting request was answered after {:?}",
        begun.elapsed()
    );
    agent.answer_next("all is well").await;
    assert_eq!(names(&unharmed.rest().await), ["message", "turn_done"]);
}

#[apply(every_stack)]
async fn a_running_replay_ends_at_once(kind: Kind) {
    const FRAMES: usize = 60;
    let stack = Stack::start(kind).await;
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    for _ in 0..FRAMES {
        agent.append(&mut held, delta("m1", &"x".repeat(50_000))).await;
    }
    agent.finish(&held).await;
    let path = format!("/chat/{}/{}/sse", link.token, posted.turn);
    let mut slow = stalled(&stack.gateway(A), &path).await;
    let mut beginning = [0; 10_000];
    let began = within("the replay to begin", slow.read_exact(&mut beginning)).await;
    began.expect("the connection stands");
    stack.revoke(&link.token_id).await;
    let mut rest = String::new();
    let ended = within("the replay to end", slow.read_to_string(&mut rest)).await;
    ended.expect("the connection ends cleanly");
    assert!(rest.ends_with("event: revoked\ndata: {}\n\n"), "{}", &rest[rest.len() - 200..]);
    let seen = rest.matches("event: delta").count();
    assert!(seen < FRAMES / 2, "{seen} of {FRAMES} frames came after the revocation");
}

#[apply(every_stack)]
async fn queued_and_running_turns_are_cancelled(stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let mut agent = stack.attach("acme", B).await;
    let first = visitor.say("runs").await;
    visitor.say_in(&first.conversation, "is queued").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "x")).await;
    stack.revoke(&link.jid).await;
    let cancelled =
        |heard: &Heard| matches!(heard, Heard::Cancel(c) if c.turn_id == first.turn).then_some(());
    agent.hear_of("Cancel", cancelled).await;
    // Later frames of the agent are refused, and the queued turn is never delivered.
    agent.say(held.append(held.seq, vec![delta("m1", "y")])).await;
    agent.hear_of("Cancel", cancelled).await;
    let next = stack.issue("acme").await;
    let next = stack.visitor(&next, A).say("of another link").await;
    assert_eq!(agent.offered().await.turn_id, next.turn);
}

#[apply(every_stack)]
async fn a_new_link_with_the_same_suffix_has_a_new_url_and_the_old_one_stays_dead(stack: Stack) {
    let old = stack.issue_with("acme", "support", Default::default()).await;
    let posted = stack.visitor(&old, A).say("hello").await;
    stack.revoke("web:acme/support").await;
    let new = stack.issue_with("acme", "support", Default::default()).await;
    assert_eq!(new.jid, old.jid);
    assert_ne!(new.url, old.url);
    assert_ne!(new.token_id, old.token_id);
    is_dead(&stack, &old, &posted.turn, &posted.conversation).await;
    let visitor = stack.visitor(&new, B);
    let fresh = visitor.say("hello again").await;
    assert_ne!(fresh.conversation, posted.conversation);
    visitor.get(&posted.turn).await.refused(404, "NOT_FOUND");
    visitor.get(&format!("c/{}", posted.conversation)).await.refused(404, "NOT_FOUND");
    stack.revoke("web:acme/support").await;
    is_dead(&stack, &old, &posted.turn, &posted.conversation).await;
    is_dead(&stack, &new, &fresh.turn, &fresh.conversation).await;
}

#[apply(every_stack)]
async fn a_jid_revokes_all_its_tokens_and_an_id_one(stack: Stack) {
    let (one, two, three) =
        (stack.issue("acme").await, stack.issue("acme").await, stack.issue("acme").await);
    let below = stack.issue_with("acme", "support", Default::default()).await;
    let folder = stack.issue("acme/eng").await;
    let revoked = stack.revoke(&two.token_id).await;
    assert_eq!(revoked.iter().map(|t| &t.token_id).collect::<Vec<_>>(), [&two.token_id]);
    stack.visitor(&one, A).get("config").await.expect(200);
    stack.visitor(&two, A).get("config").await.expect(401);
    let revoked = stack.revoke("web:acme").await;
    assert_eq!(
        revoked.iter().map(|t| &t.token_id).collect::<Vec<_>>(),
        [&one.token_id, &three.token_id]
    );
    for (link, status) in [(&one, 401), (&two, 401), (&three, 401), (&below, 200), (&folder, 200)] {
        stack.visitor(link, B).get("config").await.expect(status);
    }
}

#[apply(every_stack)]
async fn revoking_nothing_is_no_error(stack: Stack) {
    let link = stack.issue("acme").await;
    assert_eq!(stack.revoke("web:nobody/x").await, []);
    assert_eq!(stack.revoke("hook:acme/github").await, []);
    let mut unknown = link.token_id.clone();
    unknown.pop();
    unknown.push(if link.token_id.ends_with('A') { 'B' } else { 'A' });
    assert_eq!(stack.revoke(&unknown).await, []);
    assert_eq!(stack.revoke(&link.jid).await.len(), 1);
    assert_eq!(stack.revoke(&link.jid).await, []);
    assert_eq!(stack.revoke(&link.token_id).await, []);
    let mut tokens = TokenServiceClient::new(stack.operator(A).await);
    for target in [
        None,
        Some(Target::TokenId("tok_".into())),
        Some(Target::TokenId("x".into())),
        Some(Target::Jid("acme".into())),
        Some(Target::Jid(String::new())),
    ] {
        let refused = tokens
            .revoke_token(RevokeTokenRequest { target: target.clone(), dry_run: false })
            .await;
        let refused = refused.map_err(|status| reason(&status)).err();
        assert_eq!(refused, Some(ErrorReason::Invalid), "{target:?}");
    }
}

#[apply(every_stack)]
async fn the_running_program_is_killed(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.agent("acme", &[]).await;
    stack.visitor(&link, A).say("hello").await;
    let mut program = agent.turn().await;
    program.print("one moment …").await;
    stack.revoke(&link.token_id).await;
    program.killed().await;
}

/// Issues links of `web:acme`, a few at a time, since all of them count in one record.
async fn issue_many(stack: &Stack, count: usize) -> Vec<Link> {
    let operator = stack.operator(A).await;
    let issue = |_| {
        let mut tokens = TokenServiceClient::new(operator.clone());
        let request = IssueChatLinkRequest { folder: "acme".to_owned(), ..Default::default() };
        async move { tokens.issue_chat_link(request).await.expect("operators issue").into_inner() }
    };
    stream::iter(0..count).map(issue).buffer_unordered(32).collect().await
}

/// Revokes all links of a JID. Asserts that there were as many as `links`, and that about 50 of
/// them, the last one included, no longer work. Returns how many commits the revocation took.
async fn revoke_many(stack: &Stack, links: &[Link]) -> f64 {
    let name = "arizuko_control_store_round_trip_seconds_count";
    let commits = async || stack.metric(name, &["operation=\"commit\""]).await;
    let before = commits().await;
    let revoked = stack.revoke(&links[0].jid).await;
    let took = commits().await - before;
    assert_eq!(revoked.len(), links.len());
    for link in links.iter().step_by(links.len() / 50).chain(links.last()) {
        stack.visitor(link, A).get("config").await.expect(401);
    }
    took
}

#[apply(embedded_and_one_redis)]
async fn thousands_of_links_of_one_jid_are_revoked_at_once(kind: Kind) {
    let stack = Stack::with(kind, &[SERVED]).await;
    let few = revoke_many(&stack, &issue_many(&stack, 500).await).await;
    let links = issue_many(&stack, 2_000).await;
    let other = stack.issue_with("acme", "other", LinkOptions::default()).await;
    let mut agent = stack.attach("acme", A).await;
    let (first, last) = (stack.visitor(&links[0], A), stack.visitor(&links[1_999], A));
    let held = first.say("hello").await;
    agent.turn().await;
    let waiting = first.say_in(&held.conversation, "more").await;
    last.say("hello").await;
    agent.turn().await;

    let many = revoke_many(&stack, &links).await;
    // A commit ends many links. Control itself commits now and then, too.
    assert!(few < 50.0 && many < 200.0, "{few} commits for 500 links, {many} for 2,000");
    stack.visitor(&other, A).get("config").await.expect(200);
    // The revocation may return before the turns end, but the queued turn is not delivered
    // meanwhile.
    for _ in 0..2 {
        let cancelled = agent.hear_of("Cancel", |heard| match heard {
            Heard::Cancel(cancel) => Some(cancel.turn_id.clone()),
            Heard::Turn(turn) => panic!("{} is delivered", turn.turn_id),
            _ => None,
        });
        assert_ne!(cancelled.await, waiting.turn);
    }
    assert_eq!(stack.revoke(&links[0].jid).await.len(), 0, "a repeat is a success");
}

#[apply(embedded_and_pair)]
async fn a_keys_links_are_revoked_with_the_key_or_after_it(stack: Stack) {
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Subtree, true).await;
    let issue = async |folder: &str| {
        let mut issuing = stack.operators_command();
        issuing.args(["token", "issue", folder, "chat", "--json"]);
        let issued = run(issuing.env("ARIZUKO_KEY", &key.key), "").await.expect(0).json();
        let token = issued["token"].as_str().expect("a token").to_owned();
        stack.visitor(&Link { token, ..Link::default() }, B)
    };
    let visitors = [issue("acme").await, issue("acme/eng").await];
    let other = stack.visit("acme").await;

    let told = stack.arizuko(&["key", "revoke", &key.key_id]).await.expect(0);
    let advice = format!("token revoke --issued-by {}", key.key_id);
    assert!(told.err.contains("2 links") && told.err.contains(&advice), "{told:?}");
    for visitor in &visitors {
        visitor.get("config").await.expect(200);
    }
    let told = stack.arizuko(&["token", "revoke", "--issued-by", &key.key_id]).await.expect(0);
    assert!(told.out.contains("revoked 2 tokens"), "{told:?}");
    for visitor in &visitors {
        visitor.get("config").await.expect(401);
    }
    other.get("config").await.expect(200);
    // A repeat is a success.
    for again in [
        &["token", "revoke", "--issued-by", &key.key_id][..],
        &["key", "revoke", &key.key_id, "--with-links"],
    ] {
        let told = stack.arizuko(again).await.expect(0);
        assert!(told.err.contains("nothing to revoke"), "{told:?}");
    }
    let operator = stack.key_from_settings(KeyKind::Operator).await;
    let told = stack.arizuko(&["token", "revoke", "--issued-by", &operator]).await;
    assert!(told.expect(0).out.contains("revoked "), "the stack's own links");
    other.get("config").await.expect(401);
}
