//! `arizuko doctor`: what it finds, and what it advises.

use arizuko_tests::prelude::*;
use arizuko_tests::tools::nginx;

/// Returns the findings on a subject: the level of each, and its text with the remedy.
fn on(outcome: &Outcome, subject: &str) -> Vec<(String, String)> {
    let findings = outcome.json()["findings"].take();
    let findings = findings.as_array().expect("a list").iter();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    findings
        .filter(|finding| finding["subject"] == subject)
        .map(|finding| {
            let said = text(finding, "found") + " → " + &text(finding, "remedy");
            (text(finding, "level"), said)
        })
        .collect()
}

#[apply(every_stack)]
async fn doctor_finds_nothing_wrong_and_leaves_nothing_behind(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let outcome = stack.arizuko(&["doctor", "--json"]).await.expect(0);
    let findings = outcome.json()["findings"].take();
    let findings = findings.as_array().expect("a list");
    // The links of this stack begin with http://127.0.0.1.
    assert!(on(&outcome, "url")[0].1.contains("work on this machine alone"), "{outcome:?}");
    let others = || findings.iter().filter(|finding| finding["subject"] != "url");
    assert!(others().all(|finding| finding["level"] == "ok"), "{outcome:?}");
    for subject in
        ["control", "store", "waiting", "keys", "agents", "clock", "gateway", "talk", "revocation"]
    {
        assert_eq!(on(&outcome, subject).len(), 1, "{subject}: {outcome:?}");
    }
    let read = stack.arizuko(&["doctor"]).await.expect(0);
    let remedies = 1;
    assert_eq!(read.out.lines().count(), findings.len() + remedies, "a line for each finding");
    let left = stack.arizuko(&["token", "list", "arizuko-doctor", "--json"]).await;
    assert_eq!(left.expect(0).json()["tokens"], json!([]), "its link is gone");
}

#[apply(every_stack)]
async fn doctor_names_a_link_that_no_agent_answers(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    stack.visit("acme/eng").await.say("anybody?").await;
    // Once a second, control counts what waits.
    until("the message to be counted", async || {
        let status = stack.arizuko(&["status", "--json"]).await.expect(0).json();
        let mut folders = status["folders"].as_array().expect("a list").iter();
        folders.any(|folder| folder["folder"] == "acme/eng")
    })
    .await;
    let outcome = stack.arizuko(&["doctor", "--json"]).await.expect(0);
    let (level, said) = on(&outcome, "waiting").remove(0);
    assert_eq!(level, "warning");
    assert!(said.contains("1 message waits in acme/eng") && said.contains("nobody"), "{said}");
    let see = "arizuko conversation list acme/eng --status waiting";
    assert!(said.ends_with(&format!("see them: {see}")), "{said}");
    let (level, said) = on(&outcome, "agents").remove(0);
    assert_eq!(level, "warning");
    assert!(
        said.contains("to answer web:acme/eng → arizuko agent exec --folder acme/eng"),
        "{said}"
    );
    let _agent = stack.attach("acme/eng", B).await;
    let outcome = stack.arizuko(&["doctor", "--json"]).await.expect(0);
    assert_eq!(on(&outcome, "agents")[0].0, "ok");
}

#[apply(embedded)]
async fn doctor_looks_at_every_link_and_every_step_of_an_escalation(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    for number in 0..210 {
        stack.issue_with("acme", &format!("link-{number}"), LinkOptions::default()).await;
    }
    stack.issue("zoo/sales").await;
    stack.issue_with("zoo/sales", "fairs", LinkOptions::default()).await;
    stack.route(escalation("web:zoo", Duration::from_secs(60), "zoo/people", "")).await;
    let _agent = stack.attach("zoo/sales", A).await;
    let found = on(&stack.arizuko(&["doctor", "--json"]).await.expect(0), "agents");
    let [(_, unanswered), (_, step)] = &found[..] else { panic!("{found:?}") };
    assert!(unanswered.starts_with("no agent is attached to acme to answer web:acme/link-0, "));
    assert!(unanswered.contains(" and 205 more → "), "{unanswered}");
    assert!(
        step.starts_with(
            "nobody is attached to zoo/people, to which messages of web:zoo/sales, \
             web:zoo/sales/fairs escalate → arizuko inbox zoo/people, or arizuko agent exec"
        ),
        "{step}"
    );
}

#[apply(every_stack)]
async fn doctor_stops_at_a_refused_key(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let mut command = stack.operators_command();
    command.env("ARIZUKO_KEY", "nobody-has-made-this-key").args(["doctor", "--json"]);
    let outcome = run(&mut command, "").await.expect(1);
    assert_eq!(outcome.json()["findings"].as_array().map(Vec::len), Some(1), "{outcome:?}");
    assert_eq!(on(&outcome, "control")[0].0, "failure");
    assert!(outcome.err.contains("1 check failed"), "{outcome:?}");
}

#[apply(embedded)]
async fn doctor_finds_a_public_url_that_leads_elsewhere(kind: Kind) {
    let other = Stack::with_real_links(kind, &[]).await;
    let stack = Stack::with_public_url(kind, &[], &other.gateway(A)).await;
    let outcome = stack.arizuko(&["doctor", "--json"]).await.expect(1);
    let (level, said) = on(&outcome, "talk").remove(0);
    assert_eq!(level, "failure");
    assert!(said.contains("another installation answers at"), "{said}");
}

#[apply(pair)]
async fn doctor_finds_a_gateway_that_links_do_not_reach(kind: Kind) {
    let mut stack = Stack::with_real_links(kind, &[]).await;
    stack.process(Gateway(A)).kill();
    let outcome = stack.arizuko(&["doctor", "--json"]).await.expect(1);
    let (level, said) = on(&outcome, "gateway").remove(0);
    assert_eq!(level, "failure");
    assert!(said.contains("cannot reach") && said.contains("DNS"), "{said}");
    assert_eq!(on(&outcome, "talk"), [], "checks that need the gateway are left out");
}

#[apply(pair)]
async fn doctor_warns_of_redis_settings_that_lose_messages(kind: Kind) {
    let mut stack = Stack::with_real_links(kind, &[]).await;
    let redis = stack.redis();
    redis.ask(&["CONFIG", "SET", "appendfsync", "everysec"]).await;
    let outcome = stack.arizuko(&["doctor", "--json"]).await.expect(0);
    let (level, said) = on(&outcome, "store").remove(0);
    assert_eq!(level, "warning");
    assert!(said.contains("last second → set appendfsync always"), "{said}");
}

#[apply(embedded)]
async fn doctor_finds_a_proxy_that_buffers_streams(kind: Kind) {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let stack = Stack::with_public_url(kind, &[], &url).await;
    let folder = stack.folder().join("nginx");
    fs::create_dir(&folder).expect("the folder is new");
    // This proxy buffers streams: it ignores the gateway's X-Accel-Buffering.
    let gateway = stack.gateway(A);
    let site = format!(
        "server {{ listen 127.0.0.1:{port}; location / {{
             proxy_pass {gateway}; proxy_ignore_headers X-Accel-Buffering; }} }}"
    );
    let nginx = nginx(&folder, &site);
    nginx.listens(port).await;
    let outcome = stack.arizuko(&["doctor", "--json"]).await.expect(1);
    assert_eq!(on(&outcome, "gateway")[0].0, "ok");
    let (level, said) = on(&outcome, "talk").remove(0);
    assert_eq!(level, "failure");
    assert!(said.contains("buffers the reply") && said.contains("buffering off"), "{said}");
    assert_eq!(on(&outcome, "revocation")[0].0, "ok");
}

#[apply(embedded)]
async fn a_proxy_that_is_not_trusted_is_found(kind: Kind) {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let mut stack = Stack::with_public_url(kind, &[], &url).await;
    let folder = stack.folder().join("nginx");
    fs::create_dir(&folder).expect("the folder is new");
    let gateway = stack.gateway(A);
    let site = format!(
        "server {{ listen 127.0.0.1:{port}; location / {{
             proxy_pass {gateway}; proxy_set_header X-Forwarded-For $remote_addr; }} }}"
    );
    let nginx = nginx(&folder, &site);
    nginx.listens(port).await;
    let outcome = stack.arizuko(&["doctor", "--json"]).await.expect(0);
    let (level, said) = on(&outcome, "proxy").remove(0);
    assert_eq!(level, "warning");
    assert!(said.contains("share the limits") && said.contains("--trusted-proxy"), "{said}");

    // The gateway logs this, too, once, after the proxy has named several visitors.
    let told = "and it is not a trusted proxy";
    let visit = async |from: &str| {
        let forwarded = format!("X-Forwarded-For: {from}");
        curl(&["-H", &forwarded, &format!("{gateway}/healthz")]).await.expect(0);
    };
    visit("203.0.113.1").await;
    assert!(!stack.process(Gateway(A)).said().contains(told), "one visitor proves nothing");
    for from in ["203.0.113.2", "203.0.113.3", "203.0.113.4", "203.0.113.5"] {
        visit(from).await;
    }
    until("the log", async || stack.process(Gateway(A)).said().contains(told)).await;
    let log = fs::read_to_string(stack.logs().join("up.log")).expect("it is there");
    assert_eq!(log.matches(told).count(), 1, "{log}");
}
