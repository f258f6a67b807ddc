//! The agent gets the method, path and query of a webhook's request as they were sent.

use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn the_method_the_path_and_the_query_reach_the_agent(stack: Stack) {
    let link = stack.issue_hook("acme", "any", "").await;
    let hook = stack.caller(&link, A);
    let mut agent = stack.attach("acme", B).await;
    for (method, path, query) in [
        (Method::POST, "", ""),
        (Method::POST, "/", ""),
        (Method::PUT, "/orders", "a=1&a=2"),
        (Method::PATCH, "/a/b%2Fc/d/e", "x=%7B%7D&y"),
        (Method::POST, "/status/", "="),
        (Method::POST, "/sse", ""),
        (Method::POST, "/AAAAAAAAAAAAAAAAAAAAAA/status", ""),
    ] {
        let mark = if query.is_empty() { "" } else { "?" };
        let request = hook.request(method.clone(), &format!("{path}{mark}{query}"));
        let posted = send(request.body("x")).await.posted();
        let turn = agent.offered().await;
        assert_eq!(turn.turn_id, posted.turn);
        let request = turn.request.expect("it is a webhook's");
        let found = (request.method.as_str(), request.path.as_str(), request.query.as_str());
        assert_eq!(found, (method.as_str(), path, query));
        let base = format!("https://acme.example/hook/{}", link.token_id);
        assert_eq!(request.url, format!("{base}{path}{mark}{query}"), "without the secret");
    }
    let chat = stack.visit("acme").await;
    chat.say("hello").await;
    assert_eq!(agent.offered().await.request, None);
}

#[apply(embedded_and_pair)]
async fn programs_and_operators_see_the_request(stack: Stack) {
    let link = stack.issue_hook("acme", "any", "").await;
    let hook = stack.caller(&link, A);
    let mut plain = stack.agent("acme", &[]).await;
    let request =
        hook.request(Method::PUT, "/orders/new?x=%41").header("x-bytes", b"caf\xe9".as_slice());
    let posted = send(request.body("{}")).await.posted();
    let program = plain.turn().await;
    let variable = |name: &str| program.environment[name].as_str().unwrap_or("none").to_owned();
    assert_eq!(variable("ARIZUKO_METHOD"), "PUT");
    assert_eq!(variable("ARIZUKO_PATH"), "/orders/new");
    assert_eq!(variable("ARIZUKO_QUERY"), "x=%41");
    program.reply("fine").await;
    let shown =
        stack.arizuko(&["turn", "show", &public_id::turn(&posted.turn)]).await.expect(0).out;
    let url = format!("https://acme.example/hook/{}/orders/new?x=%41", link.token_id);
    assert!(shown.contains(&format!("PUT {url}")), "{shown}");
    assert!(!shown.contains(&link.token), "the secret is in {shown}");

    let mut other = stack.agent("acme/json", &["--json"]).await;
    let hook = stack.caller(&stack.issue_hook("acme/json", "any", "").await, A);
    let request = hook.request(Method::POST, "/p?q").header("x-bytes", b"caf\xe9".as_slice());
    send(request.header("x-twice", "1").header("x-twice", "2").body("{}")).await.posted();
    let program = other.turn().await;
    let turn: Value = serde_json::from_slice(&program.input).expect("it is JSON");
    assert_fields(&turn["request"], json!({"method": "POST", "path": "/p", "query": "q"}));
    let headers = turn["headers"].as_array().expect("a list");
    let named =
        |name: &str| headers.iter().filter(|header| header["name"] == name).collect::<Vec<_>>();
    assert_eq!(named("x-twice").len(), 2);
    assert_eq!(named("x-bytes")[0]["value_base64"], "Y2Fm6Q==");
    program.reply("fine").await;
}

#[apply(embedded)]
async fn a_dropped_webhook_leaves_nothing_of_its_request(stack: Stack) {
    stack.route(mode("hook:acme/any", RouteMode::Drop)).await;
    let hook = stack.caller(&stack.issue_hook("acme", "any", "").await, A);
    let request = hook.request(Method::POST, "/secret-path?secret-query");
    let posted = send(request.body("secret-body")).await.posted();
    let shown = stack.arizuko(&["turn", "show", &public_id::turn(&posted.turn), "--json"]).await;
    let shown = shown.expect(0).out;
    assert!(!shown.contains("secret-"), "{shown}");
}
