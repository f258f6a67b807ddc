//! Turns that became overdue while no control ran.

use crate::{
    Plan,
    http::{Connection, request},
    report::{
        Goal::{AtLeast, AtMost},
        Report,
    },
    rows::{JSON, MESSAGE},
    servers::Topology,
};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How many connections post.
const CONNECTIONS: usize = 64;
/// How many of the turns are looked at.
const LOOKED_AT: usize = 200;
/// After how long the other tenant's route gives up.
const GIVES_UP: Duration = Duration::from_secs(2);

/// Measures how many turns of one tenant a control ends in a second, and how late it ends another
/// tenant's turn meanwhile.
pub(crate) async fn measure(plan: Plan, report: &mut Report) {
    let deadline = format!("{}s", plan.deadline.as_secs());
    let settings = [("ARIZUKO_TURN_DEADLINE", deadline.as_str())];
    let names = [
        "overdue turns that are ended a second, Redis",
        "overdue turns that are ended a second, embedded store",
    ];
    let topologies =
        [Topology::on_redis_with(&settings).await, Topology::embedded_with(&settings).await];
    for (name, mut topology) in names.into_iter().zip(topologies) {
        let path = topology.issue("acme").await;
        let quiet = topology.issue("quiet").await;
        topology.arizuko(&["route", "set", "web:quiet", "--give-up-after", "2s"]).await;
        let turns = post(&topology, &path, plan.overdue).await;
        topology.restart_after(plan.deadline).await;

        let begun = Instant::now();
        let meanwhile = async {
            let posted = request("POST", &format!("{quiet}?wait=20"), JSON, MESSAGE);
            let posted = Connection::open(topology.gateway).await.ask(&posted).await;
            assert_eq!(field(&posted.body, "status"), "expired");
            begun.elapsed().saturating_sub(GIVES_UP)
        };
        let ending = async {
            let mut connection = Connection::open(topology.gateway).await;
            for turn in turns.iter().step_by(turns.len() / LOOKED_AT) {
                let status = request("GET", &format!("{path}{turn}/status?wait=20"), JSON, "");
                while field(&connection.ask(&status).await.body, "status") != "expired" {}
            }
            turns.len() as f64 / begun.elapsed().as_secs_f64()
        };
        let (late, rate) = tokio::join!(meanwhile, ending);
        let detail = format!("{} turns; another tenant's ended {late:.0?} late", turns.len());
        report.add(name, AtLeast(5_000.0), vec![rate], detail);
        let late = vec![late.as_secs_f64() * 1e3];
        report.add(
            "another tenant's turn meanwhile: ms late",
            AtMost(1_000.0),
            late,
            String::new(),
        );
    }
}

/// Posts messages in conversations of their own, and returns their turns.
async fn post(topology: &Topology, path: &str, count: usize) -> Vec<String> {
    let message = request("POST", path, JSON, MESSAGE);
    let mut posting = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (address, message) = (topology.gateway, message.clone());
        posting.spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut turns = Vec::new();
            for _ in 0..count / CONNECTIONS {
                let posted = connection.ask(&message).await;
                turns.push(field(&posted.body, "turn_id"));
            }
            turns
        });
    }
    posting.join_all().await.concat()
}

fn field(body: &[u8], name: &str) -> String {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    body[name].as_str().unwrap_or_else(|| panic!("no {name}: {body}")).to_owned()
}
