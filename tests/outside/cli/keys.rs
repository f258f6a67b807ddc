//! `arizuko key`, and where a command finds its key.

use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn keys_are_created_listed_and_revoked_and_a_revoked_key_ends_its_agent(stack: Stack) {
    let created = stack.arizuko(&["key", "create", "acme", "--name", "the agent"]).await.expect(0);
    let key = created.out.trim();
    let id = created
        .err
        .split(|c: char| c.is_whitespace() || c == ',')
        .find(|word| word.starts_with("key_"));
    let id = id.unwrap_or_else(|| panic!("{created:?}")).to_owned();
    let listed = stack.arizuko(&["key", "list"]).await.expect(0).out;
    assert!(
        listed.contains(&id) && listed.contains("the agent") && !listed.contains(key),
        "{listed}"
    );

    let mut agent = arizuko_tests::agent::Agent::start(&stack, key, "acme", &[], &[]).await;
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let mut running = agent.turn().await;
    stack.arizuko(&["key", "revoke", &id]).await.expect(0);
    running.killed().await;
    assert_eq!(agent.process.exit().await.code(), Some(1), "{}", agent.process.said());
    assert!(agent.process.said().contains("key"), "{}", agent.process.said());
    let mut next = stack.attach("acme", B).await;
    assert_eq!(next.turn().await.turn.turn_id, posted.turn);
    stack.arizuko(&["key", "revoke", &id]).await.expect(0);
    let mut agent = stack.operators_command();
    let mint = agent.env("ARIZUKO_KEY", key).args(["token", "issue", "acme", "chat"]);
    let refused = run(mint, "").await.expect(1);
    assert!(refused.err.contains("revoked") && refused.err.contains("ARIZUKO_KEY"), "{refused:?}");
}

#[apply(every_stack)]
async fn flags_win_over_the_environment_for_key_and_control(stack: Stack) {
    let file = stack.folder().join("operator-key");
    write_secret(&file, &format!("{}\n", stack.operator_key()));
    let list = |key: Option<&str>, key_file: Option<&str>, flags: &[&str]| {
        let mut command = stack.operators_command();
        command.env_remove("ARIZUKO_KEY").args(["token", "list"]).args(flags);
        command.env("ARIZUKO_CONTROL", "http://127.0.0.1:1");
        key.map(|key| command.env("ARIZUKO_KEY", key));
        key_file.map(|file| command.env("ARIZUKO_KEY_FILE", file));
        async move { run(&mut command, "").await }
    };
    let file = file.display().to_string();
    let control = ["--control", &stack.control(B)];
    let with_file = [&control[..], &["--key-file", &file]].concat();
    let wrong = "azk_wrong";
    let succeeds = |outcome: Outcome| outcome.expect(0);
    succeeds(list(Some(stack.operator_key()), None, &control).await);
    succeeds(list(None, Some(&file), &control).await);
    succeeds(list(Some(stack.operator_key()), Some("/nonexistent"), &control).await);
    succeeds(list(Some(wrong), None, &with_file).await);
    for outcome in [
        list(Some(wrong), Some(&file), &control).await,
        list(None, Some("/nonexistent"), &control).await,
    ] {
        outcome.expect(1);
    }
    let bare = list(None, None, &control).await;
    if stack.kind() == Kind::Embedded {
        // The command finds the running `up` and its key.
        bare.expect(0);
    } else {
        let bare = bare.expect(1);
        assert!(bare.err.contains("wants a key") && bare.err.contains("ARIZUKO_KEY"), "{bare:?}");
    }
}
