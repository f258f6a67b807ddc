//! Exit codes, JSON documents, errors and help.

use arizuko_tests::prelude::*;

fn keys(document: &Value) -> Vec<&str> {
    document.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[apply(every_stack)]
async fn json_prints_one_document_with_stable_names(stack: Stack) {
    let issued = stack.arizuko(&["--json", "token", "issue", "acme", "chat"]).await;
    // `--json` may be a flag of `arizuko` or of the command.
    let issued = if issued.code == Some(2) {
        stack.arizuko(&["token", "issue", "acme", "chat", "--json"]).await
    } else {
        issued
    };
    let issued = issued.expect(0).json();
    assert_eq!(keys(&issued), ["agent_attached", "jid", "token", "token_id", "url"]);
    assert_eq!((&issued["jid"], &issued["agent_attached"]), (&json!("web:acme"), &json!(false)));
    let created = stack.arizuko(&["key", "create", "acme", "--json"]).await.expect(0).json();
    assert_eq!(keys(&created), ["key", "key_id"]);
    let listed = stack.arizuko(&["token", "list", "--json"]).await.expect(0).json();
    assert_eq!(listed["tokens"][0]["token_id"], issued["token_id"]);
    assert_eq!(listed["tokens"][0]["kind"], "TOKEN_KIND_CHAT");
    let keys_listed = stack.arizuko(&["key", "list", "--json"]).await.expect(0).json();
    let newest = keys_listed["keys"].as_array().and_then(|keys| keys.last()).expect("keys");
    assert_eq!(newest["key_id"], created["key_id"]);
    for command in
        [&["status", "--json"][..], &["audit", "--json"], &["token", "list", "acme", "--json"]]
    {
        let outcome = stack.arizuko(command).await.expect(0);
        outcome.json();
        assert_eq!(outcome.err, "", "{command:?}");
    }
    let revoked = stack.arizuko(&["token", "revoke", "web:acme", "--json"]).await.expect(0).json();
    assert_eq!(revoked["revoked"][0]["token_id"], issued["token_id"]);
}

#[apply(every_stack)]
async fn usage_errors_exit_2_and_failures_exit_1_with_advice(stack: Stack) {
    for wrong in [
        &["nonsense"][..],
        &[],
        &["token"],
        &["token", "issue"],
        &["token", "issue", "acme"],
        &["token", "issue", "acme", "hook"],
        &["token", "revoke", "acme"],
        &["token", "issue", "acme", "chat", "--expires", "soon"],
        &["key", "create"],
        &["chat", "not a url"],
        &["up", "--listen", "nowhere"],
        &["audit", "--limit", "x"],
    ] {
        let outcome = stack.arizuko(wrong).await.expect(2);
        assert!(outcome.out.is_empty() && !outcome.err.is_empty(), "{wrong:?}: {outcome:?}");
    }
    for (wrong, told) in [
        (&["token", "issue", "a b", "chat"][..], "a b"),
        (&["token", "issue", "acme", "chat", "--suffix", "a/b"], "suffix"),
        (&["token", "issue", "acme", "chat", "--origin", "acme.com"], "https://acme.com"),
        (&["key", "revoke", "key_x"], "key_"),
        (&["token", "list", "--control", "http://127.0.0.1:1"], "is `arizuko up` running?"),
    ] {
        let outcome = stack.arizuko(wrong).await.expect(1);
        assert!(outcome.err.contains(told) && outcome.out.is_empty(), "{wrong:?}: {outcome:?}");
        assert!(!outcome.err.contains("Status") && outcome.err.lines().count() == 1, "{outcome:?}");
    }
}

#[apply(every_stack)]
async fn completions_are_printed_for_each_shell(stack: Stack) {
    for shell in ["bash", "zsh", "fish"] {
        let script = stack.arizuko(&["completions", shell]).await.expect(0).out;
        assert!(
            script.contains("arizuko") && script.contains("token") && script.len() > 500,
            "{shell}"
        );
    }
}

#[apply(every_stack)]
async fn help_lists_every_command(stack: Stack) {
    let help = stack.arizuko(&["--help"]).await.expect(0);
    for command in [
        "up",
        "token",
        "key",
        "route",
        "inbox",
        "agent",
        "chat",
        "status",
        "audit",
        "tail",
        "completions",
    ] {
        assert!(help.out.contains(command), "{command} in {}", help.out);
        let own = stack.arizuko(&[command, "--help"]).await.expect(0);
        assert!(own.out.contains("Usage:") && own.err.is_empty(), "{own:?}");
    }
    assert!(stack.arizuko(&["--version"]).await.expect(0).out.starts_with("arizuko "));
}
