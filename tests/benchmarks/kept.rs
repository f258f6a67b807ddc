//! What kept turns cost: the room that each takes, and how much dearer they make the next ones.

use crate::{
    Plan,
    agent::Agents,
    http::{Connection, request},
    load::saturate,
    plot::{Line, plot},
    report::{Goal::AtMost, Report},
    rows::{JSON, MESSAGE},
    servers::Topology,
};

/// How many turns are made to see what one leaves in the store.
const TURNS: u32 = 1_000;
/// How many measurements at the beginning, and at the end, are compared.
const COMPARED: usize = 3;

pub(crate) async fn measure(plan: Plan, report: &mut Report) {
    let names = [
        ["bytes a kept turn, Redis", "turn with many kept ones ÷ with few, Redis: CPU"],
        [
            "bytes a kept turn, embedded store",
            "turn with many kept ones ÷ with few, embedded store: CPU",
        ],
    ];
    let mut lines = Vec::new();
    for (store, [bytes, growth]) in ["Redis", "embedded store"].into_iter().zip(names) {
        let topology = match store {
            "Redis" => Topology::on_redis().await,
            _ => Topology::embedded().await,
        };
        let _agents = Agents::attach(&topology, "acme", 1).await;
        let path = format!("{}?wait=20", topology.issue("acme").await);
        let post = request("POST", &path, JSON, MESSAGE);
        let mut rounds = Vec::new();
        for _ in 0..plan.rounds.min(3) {
            let before = topology.stored_bytes().await;
            let mut connection = Connection::open(topology.gateway).await;
            for _ in 0..TURNS {
                assert_eq!(connection.ask(&post).await.status, 200);
            }
            let after = topology.stored_bytes().await;
            rounds.push(after.saturating_sub(before) as f64 / f64::from(TURNS));
        }
        report.add(bytes, AtMost(2_000.0), rounds, String::new());

        let (mut kept, mut points) = (0.0, Vec::new());
        while kept < plan.kept || points.len() < 2 * COMPARED {
            let processes = topology.processes();
            let turns = saturate(topology.gateway, &post, 200, plan.length, &processes).await;
            kept += turns.latencies.len() as f64;
            points.push((kept, turns.cpu_in_all()));
        }
        let [few, many] = [&points[..COMPARED], &points[points.len() - COMPARED..]].map(median);
        let detail = format!("{kept:.0} turns; {few:.0} µs, then {many:.0} µs");
        report.add(growth, AtMost(1.1), vec![many / few], detail);
        lines.push(Line { name: store, points });
    }
    plot("kept", "kept turns", "CPU for a turn, µs", &lines);
}

fn median(points: &[(f64, f64)]) -> f64 {
    let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
