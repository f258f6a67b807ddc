//! Idle event streams.

use crate::{
    Plan,
    http::{Connection, request},
    plot::{Line, plot},
    report::{Goal::AtMost, Report},
    rows::{EVENTS, JSON, MESSAGE},
    servers::{Processes, Topology},
};
use std::{
    fs,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep};

/// In how many steps the streams are opened.
const STEPS: usize = 10;
/// Gives the servers time to free the memory that opening the streams took.
const SETTLING: Duration = Duration::from_secs(1);
/// How many connections a gateway takes, as a part of the files that it may open.
const CONNECTIONS: f64 = 0.37;

/// Measures the memory of idle event streams of one link, and how soon they end once the link is
/// revoked.
pub(crate) async fn measure(plan: Plan, report: &mut Report) {
    let (mut sizes, mut ends, mut last) = (Vec::new(), Vec::new(), String::new());
    let mut lines = Vec::new();
    let streams = plan.streams.min((open_files() * CONNECTIONS) as usize);
    for _ in 0..plan.rounds.min(3) {
        let topology = Topology::on_redis().await;
        let path = topology.issue("acme").await;
        let posted = request("POST", &path, JSON, MESSAGE);
        let posted = Connection::open(topology.gateway).await.ask(&posted).await;
        let posted: serde_json::Value = serde_json::from_slice(&posted.body).expect("JSON");
        let conversation = posted["conversation"].as_str().expect("a text");
        let stream = request("GET", &format!("{path}c/{conversation}/sse"), EVENTS, "");
        let before = private_kib(&topology.processes());
        let (mut opened, mut points) = (Vec::new(), vec![[(0.0, 0.0); 2]]);
        for step in 1..=STEPS {
            while opened.len() < streams * step / STEPS {
                let mut connection = Connection::open(topology.gateway).await;
                assert_eq!(connection.subscribe(&stream).await, 200);
                opened.push(connection);
            }
            sleep(SETTLING).await;
            let now = private_kib(&topology.processes());
            let grown = |server: usize| (now[server] - before[server]) / 1024.0;
            points.push([0, 1].map(|server| (opened.len() as f64, grown(server))));
        }
        let [gateway, control] = points[STEPS].map(|(count, mib)| mib * 1024.0 / count);
        sizes.push(gateway + control);
        last = format!("{streams} streams; gateway {gateway:.1} KiB, control {control:.1} KiB");
        lines = ["gateway", "control"]
            .into_iter()
            .enumerate()
            .map(|(server, name)| Line {
                name,
                points: points.iter().map(|servers| servers[server]).collect(),
            })
            .collect();
        ends.push(until_ended(&topology, opened).await);
    }
    report.add("idle streams: KiB each, gateway and control", AtMost(8.0), sizes, last);
    let row = "streams of a revoked link: ms until 99 % have ended";
    report.add(row, AtMost(250.0), ends, String::new());
    plot("streams", "idle event streams", "memory that they take, MiB", &lines);
}

/// Revokes the streams' link. Returns how many milliseconds it takes until 99 % of them have ended.
async fn until_ended(topology: &Topology, streams: Vec<Connection>) -> f64 {
    let mut waiting = JoinSet::new();
    for mut stream in streams {
        waiting.spawn(async move {
            stream.wait_for(b"event: revoked").await;
            Instant::now()
        });
    }
    let begun = Instant::now();
    assert_eq!(topology.revoke("web:acme").await, 1);
    let mut ended = waiting.join_all().await;
    ended.sort();
    (ended[ended.len() * 99 / 100] - begun).as_secs_f64() * 1e3
}

/// Returns the private memory of the gateway and of control, in KiB.
fn private_kib(processes: &Processes<'_>) -> [f64; 2] {
    let memory = processes.private_memory();
    ["gateway", "control"].map(|server| {
        let of_it = memory.iter().find(|(name, _)| name == server);
        of_it.expect("it runs").1 as f64 / 1024.0
    })
}

/// Returns how many files a process may open once it has raised its limit.
fn open_files() -> f64 {
    let limits = fs::read_to_string("/proc/self/limits").expect("Linux tells them");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let most = files.and_then(|limits| limits.split_whitespace().nth(1));
    // "unlimited" is no number.
    most.and_then(|most| most.parse().ok()).unwrap_or(f64::MAX)
}
