//! `arizuko mcp`, called by MCP's library.

use arizuko_tests::prelude::*;

/// Calls tools with a key. Returns what the server lists, and the result of each call.
async fn call(stack: &Stack, key: &str, calls: &[(&str, Value)]) -> (Value, Vec<Value>) {
    let program = stack.program("arizuko");
    let (program, arguments) = (program.as_std().get_program(), program.as_std().get_args());
    let words = [program].into_iter().chain(arguments).map(|word| word.display().to_string());
    let arizuko = json!(words.collect::<Vec<_>>()).to_string();
    let control = stack.control(A);
    let calls = calls
        .iter()
        .map(|(name, arguments)| json!({"name": name, "arguments": arguments}).to_string());
    let arguments: Vec<_> = [arizuko, control, key.to_owned()].into_iter().chain(calls).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let told = python("links.py", &arguments).await.expect(0).out;
    let mut lines = told.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let tools = lines.next().expect("the tools");
    (tools, lines.collect())
}

#[apply(embedded_and_pair)]
async fn a_model_issues_lists_explains_and_revokes_with_its_agents_key(stack: Stack) {
    let key = stack.agent_key("acme").await;
    let link = json!({"jid_suffix": "beta", "options": {"greeting": "Hi!", "lifetime": "3600s"}});
    let (tools, results) = call(
        &stack,
        &key,
        &[
            ("issue_chat_link", link),
            ("issue_webhook", json!({"source": "ci"})),
            ("list_tokens", json!({})),
            ("explain_route", json!({"jid": "web:acme/beta"})),
            ("revoke_token", json!({"jid": "web:acme/beta"})),
            ("list_tokens", json!({"target": {"jid": "web:acme/beta"}})),
        ],
    )
    .await;
    let names: Vec<_> =
        tools.as_array().expect("a list").iter().map(|tool| &tool["name"]).collect();
    let all = ["issue_chat_link", "issue_webhook", "list_tokens", "revoke_token", "explain_route"];
    assert_eq!(names, all);
    let issue = &tools[0];
    assert!(issue["description"].as_str().is_some_and(|it| it.starts_with("IssueChatLink issues")));
    let greeting = &issue["schema"]["properties"]["options"]["properties"]["greeting"];
    assert!(greeting["type"] == "string" && greeting["description"].is_string(), "{greeting}");
    assert!(results.iter().all(|told| told["error"] == false), "{results:?}");
    let [link, hook, listed, explained, revoked, gone] =
        [0, 1, 2, 3, 4, 5].map(|at| &results[at]["result"]);
    assert_fields(link, json!({"jid": "web:acme/beta", "agent_attached": false}));
    assert_eq!(hook["jid"], "hook:acme/ci");
    let ids: Vec<_> =
        listed["tokens"].as_array().expect("tokens").iter().map(|it| &it["token_id"]).collect();
    assert_eq!(ids, [&link["token_id"], &hook["token_id"]]);
    assert_fields(explained, json!({"folder": "acme", "linked": true}));
    assert_eq!(revoked["revoked"][0]["token_id"], link["token_id"]);
    assert_eq!(gone["tokens"], json!([]));
    let page = format!("/chat/{}/", link["token"].as_str().expect("a token"));
    stack.at(B, &page).get("").await.expect(401);
    // What `--json` prints is the same.
    let printed = stack.arizuko(&["route", "explain", "web:acme/beta", "--json"]).await.expect(0);
    assert_eq!(printed.json()["fields"], explained["fields"]);
}

#[apply(embedded)]
async fn what_a_model_may_not_or_says_wrong_is_a_result_with_the_reason(stack: Stack) {
    let key = stack.agent_key("acme").await;
    let calls = [
        ("issue_chat_link", json!({"folder": "other"}), "NOT_ALLOWED"),
        ("issue_chat_link", json!({"jid_suffix": "a/b"}), "INVALID"),
        ("issue_chat_link", json!({"greeting": "Hi!"}), "INVALID"),
        ("issue_chat_link", json!({"options": {"lifetime": "an hour"}}), "INVALID"),
        ("revoke_token", json!({"jid": "web:acme", "token_id": "tok_1"}), "INVALID"),
    ];
    let asked = calls.clone().map(|(name, arguments, _)| (name, arguments));
    for (told, (_, arguments, reason)) in call(&stack, &key, &asked).await.1.iter().zip(calls) {
        assert_fields(told, json!({"error": true}));
        assert_eq!(told["result"]["reason"], reason, "{arguments}: {told}");
        assert!(told["result"]["detail"].as_str().is_some_and(|detail| detail.len() > 10));
    }
    let (_, refused) = call(&stack, "azk_nonsense", &[("list_tokens", json!({}))]).await;
    assert_eq!(refused[0]["result"]["reason"], "KEY_INVALID");
    // `mcp` does not take the key of the `up` that runs here: it is an operator's.
    let unnamed = run(stack.program("arizuko").arg("mcp"), "").await.expect(1);
    assert!(unnamed.err.contains("name the agent's key"), "{unnamed:?}");
}
