//! Programs of two versions run together: an agent and a gateway of an earlier contract, or of a
//! later one, with the present control.

use arizuko_tests::{
    language::{repository, stubs},
    prelude::*,
    tools::interpreter,
};

/// Runs the agent and the gateway with stubs of a contract.
async fn are_served(stack: &Stack, contract: &str, flags: &[&str]) {
    let stubs = stubs(&stack.folder(), &repository().join(contract)).await;
    let link = stack.issue("acme").await;
    let gateway = stack.key(KeyKind::Gateway, "", KeyReach::Unspecified, false).await;
    let mut both = command(interpreter());
    both.arg(script("versions.py")).arg(stack.control(A).trim_start_matches("http://"));
    both.args([&stack.agent_key("acme").await, &gateway.key, &link.token]).args(flags);
    both.env("PYTHONPATH", stubs).env("PYTHONDONTWRITEBYTECODE", "1");
    let seen: Value = run(&mut both, "").await.expect(0).json();
    assert_fields(
        &seen,
        json!({
            "name": "acme",
            "frames": ["user", "delta", "turn_done"],
            "user": "hello",
            "assistant": ["You said: hello"],
            "error": "",
        }),
    );
}

#[apply(embedded)]
async fn an_agent_and_a_gateway_of_another_version_are_served(stack: Stack) {
    are_served(&stack, "tests/data/contract-1", &[]).await;
    are_served(&stack, "proto", &["--newer"]).await;
}

/// Such a control has no streams of calls, so each call is a request of its own.
#[apply(embedded)]
async fn a_gateway_asks_a_control_of_an_earlier_version(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut control = command(interpreter());
    control.arg(script("earlier_control.py")).arg(stack.control(A).trim_start_matches("http://"));
    let mut control = Process::start("earlier-control", control, &stack.logs());
    let mut gateway = program("arizuko-gateway", &stack.folder());
    gateway.args(["--listen", "127.0.0.1:0", "--control", &control.line().await]);
    let key = stack.key(KeyKind::Gateway, "", KeyReach::Unspecified, false).await;
    gateway.env("ARIZUKO_GATEWAY_KEY", &key.key);
    let mut gateway = Process::start("gateway-of-it", gateway, &stack.logs());
    let listens = gateway.line().await;
    let url = format!("{}/chat", listens.rsplit(' ').next().expect("a URL"));
    let page = format!("{url}/{}/", link.token);
    let status = ["--write-out", " %{http_code}"];
    let message = [&status[..], &["--json", r#"{"content": "hello"}"#, &page]].concat();
    assert!(curl(&message).await.expect(0).out.ends_with(" 202"));
    assert!(curl(&[&status[..], &[&page]].concat()).await.expect(0).out.ends_with(" 200"));
    let wrong = format!("{url}/{}/", random_id());
    let refused = curl(&[&status[..], &[&wrong]].concat()).await.expect(0).out;
    assert!(refused.ends_with(" 401"), "{refused}");
}
