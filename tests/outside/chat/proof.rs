//! Links that take a message only with a proof of work. All solutions are by ALTCHA's own library.

use arizuko_proto::v1::{LinkLimits, ProofOfWork};
use arizuko_tests::{http::Answer, prelude::*};
use base64::{Engine as _, prelude::BASE64_STANDARD};

async fn link(stack: &Stack, suffix: &str, proof_of_work: ProofOfWork) -> Link {
    let proof_of_work = proof_of_work.into();
    let limits = Some(LinkLimits { proof_of_work, ..LinkLimits::default() });
    let options = LinkOptions { limits, ..LinkOptions::default() };
    stack.issue_with("acme", suffix, options).await
}

/// Asserts that a message was refused for want of a proof, and returns the challenge.
fn challenge(answer: Answer) -> Value {
    answer.refused(428, "PROOF_REQUIRED").json()["challenge"].clone()
}

/// Solves the challenge of a refusal.
pub(crate) async fn solve(challenge: &Value) -> String {
    python("solve.py", &[&challenge.to_string()]).await.expect(0).out.trim().to_owned()
}

fn with(proof: &str) -> Value {
    json!({"content": "hello", "altcha": proof})
}

/// Asserts that a proof is refused in these words, with another challenge.
async fn refuses(visitor: &Visitor, proof: &str, words: &str) {
    let answer = visitor.post_json(&with(proof)).await.refused(428, "PROOF_INVALID").json();
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{answer}");
    assert!(answer["challenge"]["signature"].is_string(), "{answer}");
}

#[apply(every_stack)]
async fn a_link_with_proof_of_work_takes_one_message_for_each_solution(stack: Stack) {
    let link = link(&stack, "", ProofOfWork::On).await;
    let [here, there] = stack.visitors(&link);
    let hello = json!({"content": "hello"});
    let asked = challenge(here.post_json(&hello).await);
    assert_eq!(asked["parameters"]["algorithm"], "PBKDF2/SHA-256", "{asked}");
    let proof = solve(&asked).await;
    let key = random_id();
    let first = there.say_once(&key, &with(&proof)).await.posted();
    // Repeats the message with its solution and without it, as if the first answer was lost.
    assert_eq!(here.say_once(&key, &with(&proof)).await.posted(), first);
    assert_eq!(there.say_once(&key, &hello).await.posted(), first);
    for visitor in [&here, &there] {
        refuses(visitor, &proof, "used").await;
    }

    let asked = challenge(here.say_once(&random_id(), &hello).await);
    let proof = solve(&asked).await.replace('+', "%2B").replace('=', "%3D");
    let form = format!("content=by+a+form&altcha={proof}");
    here.post("application/x-www-form-urlencoded", form).await.posted();
    challenge(here.post("text/plain", "hello").await);

    let mut agent = stack.attach("acme", B).await;
    assert_eq!(agent.turn().await.turn.content, "hello".as_bytes());
    assert_eq!(agent.turn().await.turn.content, "by a form".as_bytes());
    // Other links ask for no proof, and ignore one.
    stack.visit("acme").await.post_json(&with("nonsense")).await.posted();
}

#[apply(every_stack)]
async fn a_proof_that_is_not_valid_is_refused_with_its_reason(stack: Stack) {
    let visitor = stack.visitor(&link(&stack, "", ProofOfWork::On).await, A);
    let other = stack.visitor(&link(&stack, "other", ProofOfWork::Auto).await, B);
    let asked = challenge(visitor.post_json(&json!({"content": "hello"})).await);
    let proof = solve(&asked).await;
    refuses(&other, &proof, "no challenge of this link").await;
    let payload = BASE64_STANDARD.decode(&proof).expect("Base64");
    let payload: Value = serde_json::from_slice(&payload).expect("JSON");
    let changed = |pointer: &str, value: Value| {
        let mut payload = payload.clone();
        *payload.pointer_mut(pointer).expect("ALTCHA's payload") = value;
        BASE64_STANDARD.encode(payload.to_string())
    };
    let never = json!(4_000_000_000_u32);
    for (pointer, value, words) in [
        ("/challenge/parameters/expiresAt", never, "no challenge of this link"),
        ("/challenge/parameters/nonce", json!("00"), "no challenge of this link"),
        ("/challenge/signature", json!("00".repeat(32)), "no challenge of this link"),
        ("/solution/derivedKey", json!("00".repeat(32)), "is wrong"),
        ("/solution", Value::Null, "ALTCHA's form"),
    ] {
        refuses(&visitor, &changed(pointer, value), words).await;
    }
    for malformed in ["x", "e30=", &"A".repeat(5_000)] {
        refuses(&visitor, malformed, "ALTCHA's form").await;
    }
    // None of these has used up the challenge.
    visitor.post_json(&with(&proof)).await.posted();
}

#[apply(embedded)]
async fn a_challenge_expires_after_ten_minutes(kind: Kind) {
    let mut stack = Stack::with_loose_clocks(kind, &[]).await;
    let link = link(&stack, "", ProofOfWork::On).await;
    let hello = json!({"content": "hello"});
    let visitor = stack.visitor(&link, A);
    let asked =
        [challenge(visitor.post_json(&hello).await), challenge(visitor.post_json(&hello).await)];
    let proofs = [solve(&asked[0]).await, solve(&asked[1]).await];
    for (clock, is_good) in [("+540s", true), ("+660s", false)] {
        stack.set_clocks(clock);
        stack.restart(Control(A)).await;
        let visitor = stack.visitor(&link, A);
        if is_good {
            visitor.post_json(&with(&proofs[0])).await.posted();
        } else {
            refuses(&visitor, &proofs[1], "expired").await;
        }
    }
}

#[apply(embedded)]
async fn auto_asks_while_half_of_the_links_open_turns_are_open(kind: Kind) {
    let limits = [("ARIZUKO_LINK_TURNS", "6"), ("ARIZUKO_ADDRESS_RATE", "1000")];
    let stack = Stack::with(kind, &limits).await;
    let visitor = stack.visitor(&link(&stack, "", ProofOfWork::Auto).await, A);
    let hello = json!({"content": "hello"});
    for _ in 0..3 {
        visitor.post_json(&hello).await.posted();
    }
    let mut proofs = Vec::new();
    for _ in 0..4 {
        let asked = challenge(visitor.post_json(&hello).await);
        proofs.push(solve(&asked).await);
    }
    for proof in &proofs[..3] {
        visitor.post_json(&with(proof)).await.posted();
    }
    // With proofs of work, the second half of the link's 6 open turns is taken, but no more turns
    // than that.
    visitor.post_json(&with(&proofs[3])).await.refused(429, "TOO_MANY_TURNS");
    let mut agent = stack.attach("acme", A).await;
    for _ in 0..6 {
        agent.answer_next("done").await;
    }
    visitor.post_json(&hello).await.posted();
    // The refusal has not used up the challenge of this proof.
    visitor.post_json(&with(&proofs[3])).await.posted();
    refuses(&visitor, &proofs[3], "used").await;
}

#[apply(embedded_and_one_redis)]
async fn auto_asks_while_half_of_the_links_rate_is_used_up(kind: Kind) {
    let limits = [
        ("ARIZUKO_LINK_RATE", "1"),
        ("ARIZUKO_LINK_BURST", "6"),
        ("ARIZUKO_TRUSTED_PROXY", "127.0.0.0/8"),
    ];
    let stack = Stack::with(kind, &limits).await;
    let visitor = stack.visitor(&link(&stack, "", ProofOfWork::Auto).await, A);
    let at = |number: usize| visitor.clone().from_address(format!("192.0.2.{number}"));
    let hello = json!({"content": "hello"});
    for number in 0..3 {
        at(number).post_json(&hello).await.posted();
    }
    for number in 3..6 {
        let asked = challenge(at(number).post_json(&hello).await);
        at(number).post_json(&with(&solve(&asked).await)).await.posted();
    }
    let asked = challenge(at(6).post_json(&hello).await);
    at(6).post_json(&with(&solve(&asked).await)).await.refused(429, "RATE_LIMITED");
}

#[apply(every_stack)]
async fn a_visitor_without_javascript_reads_what_is_needed(stack: Stack) {
    let visitor = stack.visitor(&link(&stack, "", ProofOfWork::On).await, B);
    let form = visitor.request(Method::POST, "").header("accept", "text/html");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let page = send(form.body("content=hello")).await.expect(428).text();
    assert!(page.contains("JavaScript is needed") && page.contains("Go back"), "{page}");
}

#[apply(embedded)]
async fn challenges_count_in_the_requests_of_an_address(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_ADDRESS_REQUESTS", "100")]).await;
    let visitor = stack.visitor(&link(&stack, "", ProofOfWork::On).await, A);
    let mut asked = 0;
    let refused = loop {
        let answer = visitor.post_json(&json!({"content": "hello"})).await;
        if answer.status != 428 {
            break answer;
        }
        asked += 1;
    };
    refused.refused(429, "RATE_LIMITED");
    assert!((4..=8).contains(&asked), "{asked} challenges of 10 requests each");
}
