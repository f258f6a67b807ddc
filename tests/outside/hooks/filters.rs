//! Filters: which deliveries make a turn.

use super::{
    issue_hook,
    signatures::{SEAL, secret_files, sign},
};
use arizuko_tests::{http::Answer, prelude::*};

const SECRET: &str = "It's a Secret to Everybody";

async fn deliver(hook: &Visitor, event: &str, body: &str) -> Answer {
    let request = hook.request(Method::POST, "").header("x-github-event", event);
    let signature = format!("sha256={}", sign(SECRET, body.as_bytes()));
    send(request.header("x-hub-signature-256", signature).body(body.to_owned())).await
}

#[apply(embedded_and_pair)]
async fn only_what_fulfils_all_filters_makes_a_turn(kind: Kind) {
    let stack = Stack::with(kind, &[SEAL, SERVED]).await;
    let files = secret_files(&stack, &[SECRET]);
    let flags = [
        &["--only", "X-GitHub-Event=push,pull_request", "--only-json", "/action=opened,closed"][..],
        &["--only-json", "/pull_request/draft=false", "--verify", "github", &files[0], &files[1]],
    ];
    let [here, there] = issue_hook(&stack, "github", &flags.concat()).await;
    let wanted = r#"{"action":"closed","pull_request":{"draft":false}}"#;
    let mut agent = stack.attach("acme", B).await;
    for (event, body) in [
        ("issues", wanted),
        ("push", r#"{"action":"edited","pull_request":{"draft":false}}"#),
        ("push", r#"{"action":"closed","pull_request":{"draft":true}}"#),
        ("push", r#"{"action":{"closed":1},"pull_request":{"draft":false}}"#),
        ("push", "action=closed"),
        ("push", ""),
    ] {
        for hook in [&here, &there] {
            let answer = deliver(hook, event, body).await.expect(200);
            assert_eq!(answer.json(), json!({"status": "filtered"}), "{event} {body}");
        }
    }
    let counted = stack.metric("arizuko_gateway_filtered_deliveries_total", &[]).await;
    assert!(counted >= 6.0, "{counted}");
    // An unsigned delivery is refused even if a filter would leave it out.
    here.post("text/plain", "action=closed").await.refused(401, "SIGNATURE_INVALID");
    let posted = deliver(&there, "pull_request", wanted).await.posted();
    assert_eq!(agent.offered().await.turn_id, posted.turn, "the first turn is of what was wanted");
}

#[apply(embedded)]
async fn filters_are_edited_shown_and_cleared_and_hold_at_once(stack: Stack) {
    let [hook, _] = issue_hook(&stack, "ci", &["--only", "x-kind=a"]).await;
    let of_kind = async |kind: &str| {
        let request = hook.request(Method::POST, "").header("x-kind", kind);
        send(request.body("{}")).await.status.as_u16()
    };
    assert_eq!((of_kind("a").await, of_kind("b").await), (202, 200));
    let edit = async |flags: &[&str]| {
        stack.arizuko(&[&["token", "edit", "hook:acme/ci"], flags].concat()).await
    };
    edit(&["--only", "x-kind=b", "--only", "x-kind=b,c"]).await.expect(0);
    assert_eq!((of_kind("a").await, of_kind("b").await, of_kind("c").await), (200, 202, 200));
    let shown = stack.arizuko(&["token", "show", "hook:acme/ci"]).await.expect(0).out;
    assert!(shown.contains("x-kind=b,c"), "{shown}");
    edit(&["--clear", "only"]).await.expect(0);
    assert_eq!(of_kind("a").await, 202);

    for (flags, code, told) in [
        (["--only", "x-kind"], 2, "x-github-event=push"),
        (["--only-json", "action=opened"], 2, "/action=opened"),
        (["--only", "x kind=a"], 1, "a header's name looks like"),
        (["--only-json", "/a~b=1"], 1, "a JSON pointer looks like"),
    ] {
        let err = edit(&flags).await.expect(code).err;
        assert!(err.contains(told), "{err}");
    }
    stack.issue("acme").await;
    let err = stack.arizuko(&["token", "edit", "web:acme", "--only", "x-kind=a"]).await;
    let err = err.expect(1).err;
    assert!(err.contains("only a webhook has hook options"), "{err}");
    // A revoked link is unknown, even to a delivery that a filter would leave out.
    stack.revoke("hook:acme/ci").await;
    assert_eq!(of_kind("a").await, 401);
}
