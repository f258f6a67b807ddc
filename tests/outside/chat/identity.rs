//! Visitors for whom a site vouches, by a JWT in the header `Arizuko-Visitor`.

use crate::hooks::signatures::SEAL;
use arizuko_tests::{http::Answer, prelude::*};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use std::time::SystemTime;

const SECRET: &str = "a secret that the site shares with control";
const MINUTE: i64 = 60;

/// Returns the time `from_now` seconds from now, in seconds since 1970.
fn seconds(from_now: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    now.as_secs() as i64 + from_now
}

/// Signs claims by HMAC. The header may name another algorithm.
fn sign(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature =
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// Returns a JWT that says that the visitor of a link is `sub`.
fn vouch(link: &Link, sub: &str) -> String {
    let claims = json!({"sub": sub, "aud": link.token_id, "exp": seconds(MINUTE)});
    sign(&json!({"alg": "HS256"}), &claims, SECRET)
}

/// Issues a chat link of `acme` with this key.
async fn link(stack: &Stack, key: &str) -> Link {
    let options = LinkOptions { visitor_keys: vec![key.to_owned()], ..LinkOptions::default() };
    stack.issue_with("acme", "", options).await
}

async fn say_as(visitor: &Visitor, jwt: &str, message: Value) -> Answer {
    let request = visitor.request(Method::POST, "").header("arizuko-visitor", jwt);
    send(request.json(&message)).await
}

async fn conversations(visitor: &Visitor, jwt: &str) -> Answer {
    send(visitor.request(Method::GET, "c").header("arizuko-visitor", jwt)).await
}

#[apply(embedded_and_pair)]
async fn agents_and_people_see_who_a_visitor_is_and_what_nobody_vouches_for(kind: Kind) {
    let stack = Stack::with(kind, &[SEAL]).await;
    let link = link(&stack, SECRET).await;
    let [here, there] = stack.visitors(&link);
    let mut agent = stack.attach("acme", B).await;
    let claims = json!({
        "sub": "42", "aud": [link.token_id], "exp": seconds(MINUTE), "iat": seconds(0),
        "name": "Ann Lee", "email": "ann@acme.example", "page": "https://acme.example/account",
        "plan": "pro", "seats": 3,
    });
    let jwt = sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims, SECRET);
    let page = json!({
        "url": "https://acme.example/pricing", "title": "Pricing", "language": "en",
        "data": {"cart": "2 items"},
    });
    let posted = say_as(&here, &jwt, json!({"content": "hi", "page": page})).await.posted();
    let held = agent.turn().await;
    let identity = held.turn.identity.clone().expect("the visitor is known");
    assert_eq!(
        [&*identity.id, &identity.name, &identity.email, &identity.page],
        ["42", "Ann Lee", "ann@acme.example", "https://acme.example/account"]
    );
    let others: Value = serde_json::from_str(&identity.claims).expect("JSON");
    assert_eq!(others, json!({"plan": "pro", "seats": 3}));
    let seen = held.turn.page.clone().expect("the page");
    assert_eq!(
        [&*seen.url, &seen.title, &seen.language, &seen.data["cart"]],
        ["https://acme.example/pricing", "Pricing", "en", "2 items"]
    );
    agent.answer(held, "hello").await;
    // To find all that a person said, it is enough to know who the person is to the site.
    for who in ["ann@acme.example", "lee 42"] {
        let found = stack.arizuko(&["conversation", "list", "acme", "--search", who]).await;
        assert!(found.expect(0).out.contains("Ann Lee ann@acme.example"));
    }
    // Nobody vouches for a message without a JWT, even in the same conversation.
    here.end_of(&posted.turn).await;
    here.say_in(&posted.conversation, "more").await;
    let held = agent.turn().await;
    assert_eq!((&held.turn.identity, &held.turn.page), (&None, &None));
    agent.answer(held, "yes?").await;
    let shown = stack.arizuko(&["conversation", "show", &posted.conversation]).await;
    let shown = shown.expect(0).out;
    let visitor =
        r#"visitor       Ann Lee <ann@acme.example> (verified: 42) {"plan":"pro","seats":3}"#;
    assert!(shown.contains(visitor), "{shown}");
    let place = "(unverified: on Pricing, https://acme.example/pricing, en, cart=2 items)";
    assert_eq!(shown.matches(place).count(), 1, "{shown}");

    // On another device, the same visitor finds the conversation, and another visitor doesn't.
    let listed = conversations(&there, &vouch(&link, "42")).await.expect(200).json();
    assert_eq!(listed["id"], "42");
    let [only] = listed["conversations"].as_array().expect("a list").as_slice() else {
        panic!("{listed}");
    };
    assert_fields(only, json!({"conversation": posted.conversation, "title": "hi"}));
    let others = conversations(&there, &vouch(&link, "43")).await.expect(200).json();
    assert_eq!(others, json!({"id": "43", "conversations": []}));
    let message = json!({"content": "me?", "conversation": posted.conversation});
    say_as(&there, &vouch(&link, "43"), message.clone()).await.refused(404, "NOT_FOUND");
    say_as(&there, &vouch(&link, "42"), message).await.posted();
    here.delete(&format!("c/{}", posted.conversation)).await.expect(204);
    let listed = conversations(&there, &vouch(&link, "42")).await.expect(200).json();
    assert_eq!(listed["conversations"], json!([]));
}

#[apply(embedded)]
async fn sites_sign_with_a_secret_or_a_private_key(kind: Kind) {
    let stack = Stack::with(kind, &[SEAL]).await;
    let link = stack.issue("acme").await;
    let claims = json!({"sub": "42", "aud": link.token_id, "exp": seconds(MINUTE)}).to_string();
    let file = stack.folder().join("key.pem");
    let arguments = ["token", "visitor-keys", &link.token_id, "--visitor-key-file"];
    let arguments = [&arguments[..], &[file.to_str().expect("a path")]].concat();
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let made = python("vouch.py", &[algorithm, &claims]).await.expect(0).out;
        let made: Value = serde_json::from_str(&made).expect("JSON");
        let [key, jwt] = ["key", "jwt"].map(|name| made[name].as_str().expect("a text"));
        write_secret(&file, key);
        stack.arizuko(&arguments).await.expect(0);
        let shown = stack.arizuko(&["token", "show", &link.token_id]).await.expect(0).out;
        assert!(shown.contains(&format!("visitor-key  {algorithm}\n")), "{shown}");
        let visitor = stack.visitor(&link, A);
        let known = conversations(&visitor, jwt).await.expect(200).json();
        assert_eq!(known["id"], "42", "{algorithm}");
        // A public key is no secret.
        let forged = sign(&json!({"alg": "HS256"}), &json!({"sub": "42"}), key.trim());
        let refused = conversations(&visitor, &forged).await.refused(403, "IDENTITY_INVALID");
        if algorithm != "HS256" {
            let told = refused.json()["detail"].to_string();
            assert!(told.contains("another algorithm"), "{told}");
        }
    }
    stack.arizuko(&["token", "visitor-keys", &link.token_id]).await.expect(0);
    let refused = conversations(&stack.visitor(&link, A), &vouch(&link, "42")).await;
    let told = refused.refused(403, "IDENTITY_INVALID").json()["detail"].to_string();
    assert!(told.contains("no key"), "{told}");

    for weak in ["short", "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----\n"] {
        write_secret(&file, weak);
        let refused = stack.arizuko(&arguments).await.expect(1);
        assert!(refused.err.contains("visitor key"), "{}", refused.err);
    }
}

#[apply(embedded_and_pair)]
async fn a_forged_expired_or_replayed_jwt_is_refused_and_says_why(kind: Kind) {
    let stack = Stack::with(kind, &[SEAL]).await;
    let link = link(&stack, SECRET).await;
    let other = stack.issue("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let good = json!({"sub": "42", "aud": link.token_id, "exp": seconds(MINUTE)});
    let with = |change: Value| {
        let mut claims = good.clone();
        for (name, value) in change.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        claims
    };
    let signed = |claims: &Value| sign(&json!({"alg": "HS256"}), claims, SECRET);
    let mut cut = signed(&good);
    cut.truncate(cut.rfind('.').expect("two dots") + 1);
    let cases = [
        (sign(&json!({"alg": "HS256"}), &good, &SECRET.replace('a', "e")), "signature is wrong"),
        (sign(&json!({"alg": "HS512"}), &good, SECRET), "another algorithm"),
        (sign(&json!({"alg": "none"}), &good, ""), "unknown variant `none`"),
        (cut, "signature is wrong"),
        (signed(&with(json!({"exp": seconds(-2 * MINUTE)}))), "has expired"),
        (signed(&with(json!({"exp": seconds(62 * MINUTE)}))), "more than an hour"),
        (signed(&with(json!({"exp": null}))), "it is malformed"),
        (signed(&with(json!({"nbf": seconds(5 * MINUTE)}))), "not valid yet"),
        (signed(&with(json!({"aud": other.token_id}))), "for another link"),
        (signed(&with(json!({"aud": null}))), "aud"),
        (signed(&with(json!({"sub": ""}))), "`sub` is empty"),
        (signed(&with(json!({"name": "x".repeat(101)}))), "`name` must be one line"),
        (signed(&with(json!({"email": "a\nb"}))), "`email` must be one line"),
        ("nonsense".to_owned(), "not a JWT"),
    ];
    for (number, (jwt, why)) in cases.iter().enumerate() {
        let visitor = stack.visitor(&link, BOTH[number % 2]);
        let refused = say_as(&visitor, jwt, json!({"content": "hi"})).await;
        let told = refused.refused(403, "IDENTITY_INVALID").json()["detail"].to_string();
        assert!(told.contains(why), "{why}: {told}");
    }
    let visitor = stack.visitor(&link, A);
    conversations(&visitor, "").await.refused(400, "INVALID");
    say_as(&visitor, &"x".repeat(4_097), json!({"content": "hi"})).await.refused(400, "INVALID");
    let page = json!({"title": "x".repeat(301)});
    visitor.post_json(&json!({"content": "hi", "page": page})).await.refused(400, "INVALID");

    let posted = say_as(&visitor, &signed(&good), json!({"content": "hi"})).await.posted();
    assert_eq!(agent.offered().await.turn_id, posted.turn, "the first turn is of the valid JWT");
}
