//! A key from control's settings can be revoked once there is another key of its kind.

use arizuko_proto::v1::{ListTokensRequest, token_service_client::TokenServiceClient};
use arizuko_tests::prelude::*;

/// Runs `arizuko key …` with this operator's key.
async fn key(stack: &Stack, by: &str, arguments: &[&str]) -> Outcome {
    let mut command = stack.operators_command();
    run(command.env("ARIZUKO_KEY", by).arg("key").args(arguments), "").await
}

/// Whether a control takes a call with an operator's key.
async fn takes(stack: &Stack, control: Instance, key: &str) -> bool {
    let channel = connect(&stack.control(control), Some(key)).await;
    let mut tokens = TokenServiceClient::new(channel);
    tokens.list_tokens(ListTokensRequest::default()).await.is_ok()
}

#[apply(pair)]
async fn the_first_operators_key_is_revoked_for_good_once_there_is_another(mut stack: Stack) {
    let first = stack.operator_key().to_owned();
    let id = stack.key_from_settings(KeyKind::Operator).await;
    let revoke = ["revoke", &*id];
    let refused = key(&stack, &first, &revoke).await.expect(1);
    assert!(refused.err.contains("create another"), "{refused:?}");
    key(&stack, &first, &["create", "acme"]).await.expect(0);
    key(&stack, &first, &["create", "--gateway"]).await.expect(0);
    key(&stack, &first, &revoke).await.expect(1);
    let rotated = key(&stack, &first, &["rotate", &id]).await.expect(1);
    assert!(rotated.err.contains("settings"), "{rotated:?}");

    let another = key(&stack, &first, &["create", "--operator"]).await.expect(0);
    let another = another.out.trim();
    let mut session = stack.attach_with(&first, hello("acme", 0), B).await;
    key(&stack, another, &revoke).await.expect(0);
    assert!(!takes(&stack, A, &first).await && !takes(&stack, B, &first).await, "at once");
    let status = session.ended().await.expect("its streams end");
    assert_eq!(reason(&status), ErrorReason::KeyInvalid);
    let again = key(&stack, another, &revoke).await.expect(0);
    assert!(again.err.contains("nothing to revoke"), "{again:?}");

    stack.restart(Control(A)).await;
    assert!(!takes(&stack, A, &first).await && takes(&stack, A, another).await);
    assert!(stack.process(Control(A)).said().contains("was revoked or has expired"));
    let listed = key(&stack, another, &["list"]).await.expect(0).out;
    assert!(!listed.contains(&id), "{listed}");
    let last = listed.lines().find(|line| line.contains("operator")).expect("the other key");
    let last = last.split(' ').next().expect("its id");
    let refused = key(&stack, another, &["revoke", last]).await.expect(1);
    assert!(refused.err.contains("create another"), "{refused:?}");
}

#[apply(one_redis)]
async fn the_first_gateways_key_is_revoked_once_there_is_another(mut stack: Stack) {
    let link = stack.issue("acme").await;
    let operator = stack.operator_key().to_owned();
    let id = stack.key_from_settings(KeyKind::Gateway).await;
    let revoke = ["revoke", &*id];
    key(&stack, &operator, &revoke).await.expect(1);
    let another = key(&stack, &operator, &["create", "--gateway"]).await.expect(0);
    stack.visitor(&link, A).get("config").await.expect(200);
    key(&stack, &operator, &revoke).await.expect(0);
    stack.visitor(&link, A).get("config").await.expect(503);

    // With other keys in the store, control starts without any in its settings.
    key(&stack, &operator, &["create", "--operator"]).await.expect(0);
    let redis = stack.redis().url();
    let mut control = stack.program("arizuko-control");
    control.args(["--listen", "127.0.0.1:0", "--redis", &redis]);
    control.args(["--public-url", "https://{root}.example"]);
    let mut control = Process::start("control-c", control, &stack.logs());
    let url = control.line().await;
    let mut gateway = stack.program("arizuko-gateway");
    gateway.args(["--listen", "127.0.0.1:0", "--control", url.rsplit(' ').next().expect("a URL")]);
    gateway.env("ARIZUKO_GATEWAY_KEY", another.out.trim());
    let mut gateway = Process::start("gateway-c", gateway, &stack.logs());
    let url = gateway.line().await;
    let url = url.rsplit(' ').next().expect("a URL").trim_end_matches('/');
    let page = curl(&["--include", &format!("{url}/chat/{}/config", link.token)]).await.expect(0);
    assert!(page.out.starts_with("HTTP/1.1 200"), "{page:?}");
}

#[apply(one_redis)]
async fn a_new_store_needs_the_first_keys(mut stack: Stack) {
    let redis = stack.redis().url();
    let (one, other) = (random_id(), random_id());
    for (keys, told) in [
        (&[][..], "ARIZUKO_OPERATOR_KEY"),
        (&[("ARIZUKO_OPERATOR_KEY", &one)], "ARIZUKO_GATEWAY_KEY"),
        (&[("ARIZUKO_GATEWAY_KEY", &other)], "ARIZUKO_OPERATOR_KEY"),
    ] {
        let mut control = stack.program("arizuko-control");
        control.args(["--listen", "127.0.0.1:0", "--redis", &redis, "--redis-prefix", "new"]);
        let outcome = run(control.envs(keys.iter().copied()), "").await.expect(1);
        assert!(outcome.err.contains(told), "{outcome:?}");
    }
}

#[apply(embedded)]
async fn up_says_what_to_do_about_its_revoked_key(mut stack: Stack) {
    let first = stack.operator_key().to_owned();
    let another = key(&stack, &first, &["create", "--operator"]).await.expect(0);
    let id = stack.key_from_settings(KeyKind::Operator).await;
    key(&stack, another.out.trim(), &["revoke", &id]).await.expect(0);
    stack.kill(Control(A));
    let data = stack.data_dir();
    let up = || {
        let mut up = stack.program("arizuko");
        up.args(["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--json"]);
        up.arg("--data-dir").arg(&data);
        up
    };
    let outcome = run(&mut up(), "").await.expect(1);
    assert!(outcome.err.contains("operator.key was revoked: remove"), "{outcome:?}");
    fs::remove_file(data.join("operator.key")).expect("it is there");
    Process::start("up-again", up(), &stack.logs()).line().await;
}
