//! Programs of two versions run together: an agent and a gateway of an earlier contract, or of a
//! later one, with the present control.

use arizuko_tests::{language::repository, prelude::*, tools::interpreter};

/// Runs the agent and the gateway with stubs of a contract.
async fn are_served(stack: &Stack, contract: &str, flags: &[&str]) {
    let stubs = stack.stubs(&repository().join(contract)).await;
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
