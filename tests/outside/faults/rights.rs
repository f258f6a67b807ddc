//! A Redis that lacks a command, or whose user lacks a right: control says so, and applies every
//! batch as a whole or not at all.

use arizuko_tests::prelude::*;

/// Returns the rights in docs/operations.md, word by word.
fn least_rights() -> Vec<String> {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let document = fs::read_to_string(document).expect("it is there");
    let line = document.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER arizuko "));
    let line = line.expect("it has the rights").replace("PASSWORD", "secret");
    line.split(' ').map(str::to_owned).collect()
}

/// Returns a command that starts a control on this Redis.
fn control(folder: &Folder, redis: &str) -> tokio::process::Command {
    let mut control = program("arizuko-control", folder.path());
    control.args(["--listen", "127.0.0.1:0", "--redis", redis]);
    control.env("ARIZUKO_OPERATOR_KEY", random_id()).env("ARIZUKO_GATEWAY_KEY", random_id());
    control
}

#[apply(on_redis)]
async fn the_least_rights_are_enough(kind: Kind) {
    let mut stack = Stack::with_rights(kind, &least_rights()).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("hello").await;
    let mut live = visitor.follow(&posted.conversation).await;
    let mut agent = stack.attach("acme", B).await;
    let mut held = agent.turn().await;
    agent.append(&mut held, delta("m1", "hi ")).await;
    agent.append(&mut held, delta("m1", "there")).await;
    agent.finish(&held).await;
    assert_eq!(names(&live.take(4).await), ["user", "delta", "delta", "turn_done"]);
    let cancelled = visitor.say_in(&posted.conversation, "stop").await;
    visitor.cancel(&cancelled.turn).await;
    stack.redis().ask(&["SCRIPT", "FLUSH"]).await;
    stack.redis().ask(&["CLIENT", "KILL", "TYPE", "PUBSUB"]).await;
    let again = visitor.say("again").await;
    stack.restart(Control(A)).await;
    visitor.get(&format!("c/{}", again.conversation)).await.expect(200);
    visitor.delete(&format!("c/{}", again.conversation)).await.expect(204);
    stack.revoke(&link.token_id).await;
    visitor.get("config").await.refused(401, "TOKEN_INVALID");
    let denied = stack.redis().ask(&["ACL", "LOG"]).await;
    let denied = String::from_utf8_lossy(&denied).into_owned();
    let lines: Vec<_> = denied.lines().collect();
    for object in lines.windows(2).filter(|pair| pair[0] == "object").map(|pair| pair[1]) {
        // Control can do without these: it uses them for warnings, and to name itself in Redis's
        // list of clients.
        assert!(["config|get", "role", "client", "client|setinfo"].contains(&object), "{object}");
    }
}

#[apply(one_redis)]
async fn without_one_of_the_least_rights_control_does_not_start() {
    let folder = Folder::new();
    let mut redis = Redis::start(&folder.path().join("redis"), &folder.logs()).await;
    let rights = least_rights();
    let needed = rights.iter().filter(|right| right.starts_with(['+', '&', '~']));
    for needed in needed {
        let others: Vec<_> = rights.iter().filter(|right| *right != needed).cloned().collect();
        redis.allow(&others).await;
        let outcome = run(&mut control(&folder, &redis.url()), "").await.expect(1);
        let told = &outcome.err;
        assert!(told.contains("docs/operations.md"), "without {needed}: {told}");
    }
}

#[apply(one_redis)]
async fn a_redis_without_a_command_is_refused() {
    for (missing, told) in [
        ("SSUBSCRIBE", "SSUBSCRIBE"),
        ("HELLO", "HELLO"),
        ("RPUSH", "Invalid command"),
        ("ZCOUNT", "Unknown Redis command"),
    ] {
        let folder = Folder::new();
        let flags = ["--rename-command", missing, ""];
        let redis = Redis::with_flags(&folder.path().join("redis"), &folder.logs(), &flags).await;
        let outcome = run(&mut control(&folder, &redis.url()), "").await.expect(1);
        let said = &outcome.err;
        assert!(said.contains(told), "without {missing}: {said}");
        assert!(said.contains("arizuko needs Redis 7.0 or later"), "without {missing}: {said}");
    }
}

#[apply(on_redis)]
async fn a_right_that_is_taken_away_leaves_nothing_half_done(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let before = visitor.say("before").await;
    let held = agent.turn().await;
    agent.answer(held, "ok").await;
    let message = json!({"content": "during", "conversation": before.conversation});
    for (number, (taken, given)) in
        [("resetchannels", "allchannels"), ("-zadd", "+@all"), ("-rpush", "+@all")]
            .into_iter()
            .enumerate()
    {
        let key = format!("a-key-that-nobody-can-guess-{number}");
        stack.redis().ask(&["ACL", "SETUSER", "default", taken]).await;
        let refused = visitor.say_once(&key, &message).await;
        assert!(refused.refused(503, "UNAVAILABLE").retry_after() >= 1, "{taken}");
        stack.redis().ask(&["ACL", "SETUSER", "default", given]).await;
        let taken = visitor.say_until_taken(&key, &message).await;
        let held = agent.turn().await;
        assert_eq!(held.turn.turn_id, taken.turn);
        agent.answer(held, "ok").await;
    }
    let said = fs::read_to_string(stack.logs().join("control-a.log")).expect("it is text");
    assert!(said.contains("may not run SPUBLISH"), "{said}");
    let history = visitor.json(&format!("c/{}", before.conversation)).await;
    let turns = history["turns"].as_array().expect("turns").iter();
    let said: Vec<_> = turns.map(|turn| turn["user"]["content"].clone()).collect();
    assert_eq!(said, ["before", "during", "during", "during"]);
    let mut events = visitor.follow(&before.conversation).await;
    let seen = events.take(12).await;
    assert_eq!(names(&seen), ["user", "message", "turn_done"].repeat(4));
}

#[apply(one_redis)]
async fn a_log_ahead_of_its_record_is_healed(mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let before = visitor.say("before").await;
    let redis = stack.redis();
    let logs = redis.ask(&["SCAN", "0", "COUNT", "1000", "TYPE", "list"]).await;
    let logs = String::from_utf8_lossy(&logs).into_owned();
    let log = logs.lines().find(|log| log.contains(&before.conversation)).expect("its log");
    // Entries like those that are left when a batch fails after it has appended.
    redis.ask(&["RPUSH", log, "2 {}", "3 {}"]).await;
    let after = visitor.say_in(&before.conversation, "after").await;
    let mut agent = stack.attach("acme", A).await;
    for turn in [&before.turn, &after.turn] {
        let held = agent.turn().await;
        assert_eq!(&held.turn.turn_id, turn);
        agent.answer(held, "ok").await;
    }
    let mut events = visitor.follow(&before.conversation).await;
    let seen = events.take(6).await;
    assert_eq!(names(&seen), ["user", "user", "message", "turn_done", "message", "turn_done"]);
}
