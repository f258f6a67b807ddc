//! What is measured.

use crate::{
    Plan,
    agent::Agents,
    http::{Connection, request},
    kept, live,
    load::{Measured, saturate},
    overdue, overload,
    plot::{Line, plot},
    replica,
    report::{
        Goal::{AtLeast, AtMost},
        Report,
    },
    servers::{Floor, Processes, Topology},
    streams,
};
use std::time::Instant;
use tokio::time::sleep;

pub(crate) const MESSAGE: &str = r#"{"content":"Where is my order? I have waited since Monday."}"#;
pub(crate) const JSON: &str = "content-type: application/json\r\naccept: application/json\r\n";
const HTML: &str = "accept: text/html\r\n";
pub(crate) const EVENTS: &str = "accept: text/event-stream\r\n";

/// Measures the wanted groups of rows.
pub(crate) async fn measure(plan: Plan, wanted: &impl Fn(&str) -> bool, report: &mut Report) {
    if wanted("post") {
        posts(plan, report).await;
    }
    if wanted("turn") {
        turns(plan, report).await;
    }
    if wanted("page") {
        page(plan, report).await;
    }
    if wanted("streams") {
        streams::measure(plan, report).await;
    }
    if wanted("links") {
        links(plan, report).await;
    }
    if wanted("agents") {
        agents(plan, report).await;
    }
    if wanted("kept") {
        kept::measure(plan, report).await;
    }
    if wanted("overdue") {
        overdue::measure(plan, report).await;
    }
    if wanted("frames") {
        replica::measure(plan, report).await;
        live::measure(plan, report).await;
    }
    if wanted("overload") {
        overload::measure(plan, report).await;
    }
}

/// A message through gateway, control and store.
async fn posts(plan: Plan, report: &mut Report) {
    let (redis, embedded) = (Topology::on_redis().await, Topology::embedded().await);
    let bare = Floor::start("bare", "0", redis.folder()).await;
    let script = Floor::start("script", &redis.redis_url(), redis.folder()).await;
    let floor = request("POST", "/", JSON, MESSAGE);
    let on_redis = request("POST", &redis.issue("acme").await, JSON, MESSAGE);
    let on_file = request("POST", &embedded.issue("acme").await, JSON, MESSAGE);
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let load = async |address, request: &[u8], processes: Processes<'_>| {
            saturate(address, request, 202, plan.length, &processes).await
        };
        rounds.push([
            load(bare.address, &floor, bare.processes()).await,
            load(script.address, &floor, script.processes_with(&redis)).await,
            load(redis.gateway, &on_redis, redis.processes()).await,
            load(embedded.gateway, &on_file, embedded.processes()).await,
        ]);
    }
    let each = |ratio: fn(&[Measured; 4]) -> f64| rounds.iter().map(ratio).collect::<Vec<f64>>();
    let last = |index: usize| detail(&rounds.last().expect("there are rounds")[index]);
    let cpu = each(|[_, script, redis, _]| redis.cpu_in_all() / script.cpu_in_all());
    report.add("POST, Redis: CPU ÷ floor", AtMost(4.0), cpu, last(2));
    let rate = each(|[bare, _, redis, _]| redis.per_second / bare.per_second);
    report.add("POST, Redis: requests a second ÷ bare POST", AtLeast(0.2), rate, last(0));
    let p99 = each(|[bare, _, redis, _]| redis.p99().as_secs_f64() / bare.p99().as_secs_f64());
    report.add("POST, Redis: p99 at 64 connections ÷ bare POST", AtMost(2.5), p99, last(1));
    let cpu = each(|[_, script, _, file]| file.cpu_in_all() / script.cpu_in_all());
    report.add("POST, embedded store: CPU ÷ floor", AtMost(8.0), cpu, last(3));
    let rate = each(|[bare, _, _, file]| file.per_second / bare.per_second);
    report.add(
        "POST, embedded store: requests a second ÷ bare POST",
        AtLeast(0.1),
        rate,
        String::new(),
    );
    let last = rounds.last().expect("there are rounds");
    let lines = ["bare POST", "floor", "Redis", "embedded store"].into_iter().zip(last);
    let lines: Vec<Line> = lines.map(|(name, load)| Line { name, points: tail(load) }).collect();
    plot("latency", "nines of the percentile: 2 is p99", "latency of a POST, ms", &lines);
}

/// Returns the distribution of the latencies, in milliseconds: by nines, so that its tail shows.
fn tail(load: &Measured) -> Vec<(f64, f64)> {
    let nines = (0..=16).map(|quarter| f64::from(quarter) / 4.0);
    let latency = |nines: f64| load.latencies.value_at_quantile(1.0 - 10_f64.powf(-nines));
    nines.map(|nines| (nines, latency(nines) as f64 / 1e3)).collect()
}

/// A whole turn: posted, delivered, three deltas, ended, read.
async fn turns(plan: Plan, report: &mut Report) {
    let topology = Topology::on_redis().await;
    let script = Floor::start("script", &topology.redis_url(), topology.folder()).await;
    let floor = request("POST", "/", JSON, MESSAGE);
    let mut posts = Vec::new();
    let mut attached = Vec::new();
    for (folder, agents) in [("one", 1), ("many", 64)] {
        let path = format!("{}?wait=20", topology.issue(folder).await);
        posts.push(request("POST", &path, JSON, MESSAGE));
        attached.push(Agents::attach(&topology, folder, agents).await);
    }
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let processes = script.processes_with(&topology);
        let floor = saturate(script.address, &floor, 202, plan.length, &processes).await;
        let one =
            saturate(topology.gateway, &posts[0], 200, plan.length, &topology.processes()).await;
        let many =
            saturate(topology.gateway, &posts[1], 200, plan.length, &topology.processes()).await;
        rounds.push([floor, one, many]);
    }
    drop(attached);
    let each = |ratio: fn(&[Measured; 3]) -> f64| rounds.iter().map(ratio).collect::<Vec<f64>>();
    let last = |index: usize| detail(&rounds.last().expect("there are rounds")[index]);
    let cpu = each(|[floor, one, _]| one.cpu_in_all() / floor.cpu_in_all());
    report.add("turn: CPU ÷ floor of a POST", AtMost(20.0), cpu, last(1));
    report.add(
        "turns a second, one agent",
        AtLeast(3_500.0),
        each(|[_, one, _]| one.per_second),
        String::new(),
    );
    let many = each(|[_, one, many]| many.per_second / one.per_second);
    report.add("turns a second, 64 agents ÷ one", AtLeast(1.0), many, last(2));
}

async fn page(plan: Plan, report: &mut Report) {
    let topology = Topology::on_redis().await;
    let path = topology.issue("acme").await;
    let ours = request("GET", &path, HTML, "");
    let page = Connection::open(topology.gateway).await.ask(&ours).await.body;
    let bare = Floor::start("bare", &page.len().to_string(), topology.folder()).await;
    let floor = request("GET", "/", HTML, "");
    let (mut rounds, mut last) = (Vec::new(), String::new());
    for _ in 0..plan.rounds {
        let floor = saturate(bare.address, &floor, 200, plan.length, &bare.processes()).await;
        let page = saturate(topology.gateway, &ours, 200, plan.length, &topology.processes()).await;
        rounds.push(page.cpu_in_all() / floor.cpu_in_all());
        last = detail(&page);
    }
    report.add("page: CPU ÷ bare page of the same size", AtMost(4.0), rounds, last);
}

/// Revokes all links of one address, of which none may work when the call returns.
async fn links(plan: Plan, report: &mut Report) {
    for (name, topology) in [
        ("revocation of all links of a JID, Redis: s", Topology::on_redis().await),
        ("revocation of all links of a JID, embedded store: s", Topology::embedded().await),
    ] {
        let links = topology.issue_many("acme", plan.links).await;
        let begun = Instant::now();
        assert_eq!(topology.revoke("web:acme").await, links.len());
        let took = begun.elapsed().as_secs_f64();
        let mut connection = Connection::open(topology.gateway).await;
        for link in links.iter().step_by(links.len() / 100).chain(links.last()) {
            let asked = request("GET", link, JSON, "");
            assert_eq!(connection.ask(&asked).await.status, 401, "no link works any more");
        }
        report.add(name, AtMost(5.0), vec![took], format!("{} links", links.len()));
    }
}

/// Agents that are attached while nothing happens.
async fn agents(plan: Plan, report: &mut Report) {
    let topology = Topology::on_redis().await;
    let _agents = Agents::attach(&topology, "acme", 200).await;
    let (mut rounds, mut last) = (Vec::new(), String::new());
    for _ in 0..plan.rounds.min(3) {
        let length = plan.length * 3;
        let before = topology.processes().cpu();
        sleep(length).await;
        let after = topology.processes().cpu();
        let used = before.iter().zip(&after).map(|((name, before), (_, after))| {
            (name.clone(), after.saturating_sub(*before).as_secs_f64() * 1e3 / length.as_secs_f64())
        });
        let used: Vec<(String, f64)> = used.collect();
        rounds.push(used.iter().map(|(_, ms)| ms).sum());
        last =
            used.iter().map(|(name, ms)| format!("{name} {ms:.1}")).collect::<Vec<_>>().join(", ");
    }
    report.add("200 idle agents: CPU, ms a second", AtMost(3.0), rounds, last);
}

fn detail(measured: &Measured) -> String {
    let cpu = measured.cpu.iter().map(|(name, micros)| format!("{name} {micros:.0} µs"));
    let cpu = cpu.collect::<Vec<_>>().join(", ");
    let (rate, p99) = (measured.per_second, measured.p99().as_secs_f64() * 1e3);
    format!("{rate:.0}/s, p99 {p99:.1} ms; {cpu}")
}
