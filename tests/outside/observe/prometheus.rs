//! A real Prometheus scrapes the metrics and loads the alerts.

use arizuko_tests::metrics::Prometheus;
use arizuko_tests::prelude::*;
use std::collections::BTreeSet;

/// Returns the path of a file of the project.
fn project(path: &str) -> String {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.join("..").join(path).display().to_string()
}

/// Returns the queries of the Grafana dashboard.
fn dashboard() -> Vec<String> {
    let dashboard = fs::read_to_string(project("deploy/grafana.json")).expect("it is there");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("queries"));
    targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect()
}

#[apply(embedded_and_pair)]
async fn prometheus_scrapes_the_stack(kind: Kind) {
    let stack = Stack::with(kind, &[SERVED]).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    for word in ["one", "two", "three"] {
        let posted = visitor.say(word).await;
        agent.answer_next(word).await;
        visitor.read(&posted.turn).await;
    }
    visitor.get("no-id").await.expect(400);
    stack.visit("nobody").await.say("is anybody there?").await;
    // `arizuko agent` serves metrics too.
    let mut agent = stack.agent("beta", &[]).await;
    stack.visit("beta").await.say("hello").await;
    agent.turn().await.reply("hello").await;

    let prometheus = Prometheus::start(&stack).await;
    let taken = "sum(arizuko_gateway_requests_total{route=\"/chat/{token}/\", status=\"202\"})";
    prometheus.query_becomes(taken, "5").await;
    let waiting = "max by (folder) (arizuko_control_folder_waiting_turns)";
    prometheus.query_becomes(waiting, "1").await;
    let first_frames = "sum(arizuko_control_first_frame_seconds_count)";
    prometheus.query_becomes(first_frames, "4").await;
    let within_a_minute = "sum(arizuko_control_first_frame_seconds_bucket{le=\"60.0\"})";
    prometheus.query_becomes(within_a_minute, "4").await;
    let targets = if kind == Kind::Pair { "5" } else { "2" };
    prometheus.query_becomes("sum(up)", targets).await;

    // docs/operations.md lists exactly the metrics that exist.
    let known = prometheus.ask("metadata", &[]).await;
    let known = known.as_object().expect("an object of names");
    let ours = known.keys().filter(|name| name.starts_with("arizuko_"));
    let ours: BTreeSet<_> = ours.map(String::as_str).collect();
    let documented = fs::read_to_string(project("docs/operations.md")).expect("it is there");
    let names = documented.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = names.filter_map(|line| line.split(['`', '{']).next());
    let names = names.filter(|name| name.starts_with("arizuko_"));
    let names: BTreeSet<_> = names.map(|name| name.trim_end_matches("_total")).collect();
    assert_eq!(names, ours);

    for query in dashboard() {
        let found = format!("clamp_max(count({}), 1)", query.replace("$__rate_interval", "1m"));
        prometheus.query_becomes(&found, "1").await;
    }

    let rules = prometheus.ask("rules", &[]).await;
    let rules = rules["groups"][0]["rules"].as_array().cloned();
    let rules = rules.unwrap_or_default();
    assert!(rules.len() > 5, "{rules:?}");
    let troubled = |rule: &&Value| rule["lastError"].is_string();
    assert_eq!(rules.iter().find(troubled), None);
}

#[apply(embedded)]
async fn the_alerts_fire_as_tested() {
    let promtool = |arguments: [&str; 2], file: String| {
        let mut promtool = command(found("promtool"));
        promtool.args(arguments).arg(file);
        promtool
    };
    let mut check = promtool(["check", "rules"], project("deploy/alerts.yml"));
    run(&mut check, "").await.expect(0);
    let mut test = promtool(["test", "rules"], project("tests/prometheus/alerts.yml"));
    run(&mut test, "").await.expect(0);
}
