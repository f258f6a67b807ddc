//! Credentials are shown once and appear in no file, log, metric or span; ids of conversations and
//! turns, which give access to whoever has the link, are in no log, span or operator's view.

use arizuko_tests::prelude::*;
use std::{fs::File, io::ErrorKind};

/// Returns every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the stack's folder is readable");
    let paths = entries.map(|entry| entry.expect("its entries, too").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Uses a link in every way, right and wrong; returns the ids that visitors got.
async fn use_it(stack: &Stack, token: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for gateway in BOTH {
        let visitor = stack.at(gateway, &format!("/chat/{token}/"));
        let posted = visitor.say("hello").await;
        ids.extend([posted.turn.clone(), posted.conversation.clone()]);
        for path in [
            "",
            "config",
            "x",
            "?conversation=x",
            &posted.turn,
            &format!("{}/status", posted.turn),
            &format!("c/{}", posted.conversation),
            "..%2f",
            "%00",
        ] {
            visitor.get(path).await;
            send(visitor.request(Method::GET, path).header("accept", "text/html")).await;
        }
        send(visitor.request(Method::GET, "").header("origin", "https://evil.example"))
            .await
            .expect(403);
        send(visitor.request(Method::GET, "").header("referer", format!("http://x/chat/{token}/")))
            .await;
        visitor.open(&format!("{}/sse", posted.turn), Cursor::Start).await.ok().greeting().await;
        visitor
            .open(&format!("c/{}/sse", posted.conversation), Cursor::After(token))
            .await
            .ok()
            .greeting()
            .await;
        visitor.post("application/json", format!("{{\"{token}")).await.expect(400);
        visitor.post("text/plain", "x".repeat(70_000)).await.expect(413);
        visitor.cancel(&posted.turn).await;
        visitor.delete(&format!("c/{}", posted.conversation)).await.expect(204);
        let wrong = stack.at(gateway, &format!("/hook/{token}"));
        wrong.post("text/plain", "x").await.expect(404);
        stack.at(gateway, &format!("/chat/{token}")).get("").await.expect(308);
        stack.at(gateway, &format!("/nowhere/{token}")).get("").await.expect(404);
    }
    ids
}

#[apply(every_stack)]
async fn tokens_and_keys_are_in_no_store_no_log_no_metric_and_no_span(kind: Kind) {
    let collector = Collector::start().await;
    let [endpoint, soon] = collector.settings();
    let mut stack = Stack::with(kind, &[endpoint, soon, SERVED]).await;
    // Records every command that Redis gets.
    let spy = (kind != Kind::Embedded).then(|| {
        let redis = stack.redis();
        let heard = File::create(redis.folder().join("monitor.txt"));
        let heard = heard.expect("the folder is ours");
        redis.cli().arg("monitor").stdout(heard).spawn().expect("redis-cli is installed")
    });
    let link = stack.issue("acme").await;
    let hook = stack.issue_hook("acme", "github", "").await;
    let mut secrets = vec![link.token.clone(), hook.token.clone()];
    let agents_key = stack.agent_key("acme").await;
    for kind in [KeyKind::Operator, KeyKind::Gateway] {
        secrets.push(stack.key(kind, "", Default::default(), false).await.key);
    }
    secrets.extend([agents_key.clone(), stack.operator_key().to_owned()]);

    let mut ids = use_it(&stack, &link.token).await;
    let mut tail = stack.tail("acme/x", &["acme"]).await;
    let mut agent = Agent::start(&stack, &agents_key, "acme", &[], &[]).await;
    let mut working = stack.caller(&hook, A).post("application/json", "{}").await.posted();
    let program = agent.turn().await;
    program.reply("hello").await;
    working = stack.visitor(&link, B).post_json(&json!({"content": working.turn})).await.posted();
    let running = agent.turn().await;
    ids.extend([working.turn.clone(), working.conversation.clone()]);
    let said = ["agent", "say", "--folder", "acme", &working.conversation, "I am here"];
    ids.push(stack.arizuko(&said).await.expect(0).out.trim().to_owned());
    let mut shown = tail.line_with("spoke").await;
    shown += &stack.arizuko(&["audit", "--json"]).await.expect(0).out;
    shown += &stack.arizuko(&["status", "--json"]).await.expect(0).out;
    let minted =
        stack.arizuko(&["token", "issue", "acme", "chat", "--json"]).await.expect(0).json();
    secrets.push(minted["token"].as_str().map(str::to_owned).expect("a token"));
    stack.revoke(&link.jid).await;
    stack.visitor(&link, A).get(&working.turn).await.expect(401);
    drop(running);

    // Writes the metrics, the spans and the operator's views to a file, for the search below.
    let told = stack.folder().join("told.txt");
    let pages = stack.metrics_pages().await;
    assert!(pages.contains("arizuko_gateway_refusals_total"), "{pages}");
    let seen = collector.seen();
    assert!(seen.len() > 20, "{seen:?}");
    let spans = format!("{seen:#?}");
    fs::write(&told, pages + &spans + &shown).expect("the folder is ours");

    // Makes Redis write its whole state to its files.
    if kind != Kind::Embedded {
        let redis = stack.redis();
        let keys = redis.ask(&["--scan"]).await;
        assert!(keys.len() > 100, "the state is in Redis: {}", String::from_utf8_lossy(&keys));
        redis.ask(&["BGREWRITEAOF"]).await;
    }
    within("the agent's end", async { agent.process.kill() }).await;
    drop(spy);
    stack.cut_the_power();

    let mut bytes = 0;
    for path in files(&stack.folder()) {
        // operator.key is meant to hold the operator's key.
        if path.ends_with("operator.key") || fs::metadata(&path).is_ok_and(|file| !file.is_file()) {
            continue;
        }
        let content = match fs::read(&path) {
            Ok(content) => content,
            // Redis may still be rewriting its log in a child process, which has renamed the file.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => panic!("{}: {error}", path.display()),
        };
        bytes += content.len();
        for secret in &secrets {
            let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a credential is in {}", path.display());
        }
        // The store has the ids of conversations and turns, of course. Logs, and what was shown,
        // must not.
        let is_told = path == told || path.extension().is_some_and(|kind| kind == "log");
        for id in ids.iter().filter(|id| is_told && !id.is_empty()) {
            let found = content.windows(id.len()).position(|window| window == id.as_bytes());
            let place = |at: usize| String::from_utf8_lossy(&content[at.saturating_sub(300)..at]);
            assert!(found.is_none(), "an id is in {}: {:?}", path.display(), found.map(place));
        }
    }
    assert!(bytes > 50_000, "only {bytes} bytes were checked");
}
