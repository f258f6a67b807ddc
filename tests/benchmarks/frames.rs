//! Frames on their way from agents to readers, while the replica that vouches for them is far away.

use crate::{
    Plan,
    agent::{self, Session},
    http::{Connection, request},
    load::{histogram, micros},
    report::{
        Goal::{AtLeast, AtMost},
        Report,
    },
    rows::MESSAGE,
    servers::Topology,
};
use arizuko_proto::v1::{Accept, Turn, attach_request::Message as Said};
use std::time::{Duration, Instant};
use tokio::{task::JoinSet, time::interval_at};

/// How long data takes to reach the replica. Its acknowledgements take no time.
const ROUND_TRIP: Duration = Duration::from_millis(5);
/// The headers of a message whose answer is the event stream of its turn.
const HEADERS: &str = "content-type: application/json\r\naccept: text/event-stream\r\n";
/// How many turns run at a time, and how often each gets a frame: 5,000 frames a second.
const TURNS: usize = agent::CREDIT as usize;
const EVERY: Duration = Duration::from_micros(12_800);

/// Measures how late frames are at their readers with `--durability replica`.
pub(crate) async fn measure(plan: Plan, report: &mut Report) {
    let topology = Topology::with_replica(ROUND_TRIP).await;
    let path = topology.issue("acme").await;
    let mut session = Session::begin(&topology, "acme").await;
    let mut readers = Vec::new();
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        let mut connection = Connection::open(topology.gateway).await;
        assert_eq!(connection.subscribe(&request("POST", &path, HEADERS, MESSAGE)).await, 200);
        readers.push(connection);
        let Turn { turn_id, attempt, .. } = session.turn().await;
        agent::say(&session.requests, Said::Accept(Accept { turn_id: turn_id.clone(), attempt }))
            .await;
        turns.push((turn_id, attempt));
    }
    let begun = Instant::now();
    let end = begun + plan.length * 2;
    let mut writing = JoinSet::new();
    for (index, (turn, attempt)) in turns.into_iter().enumerate() {
        let requests = session.requests.clone();
        writing.spawn(async move {
            let mut ticks =
                interval_at((begun + EVERY * index as u32 / TURNS as u32).into(), EVERY);
            for seq in 1.. {
                let due = ticks.tick().await;
                if due >= end.into() {
                    return;
                }
                // The text says when the frame was due, so that a late agent counts as lag.
                let text = format!("{} ", (due.into_std() - begun).as_micros());
                agent::say(&requests, agent::delta(&turn, attempt, seq, text)).await;
            }
        });
    }
    let mut reading = JoinSet::new();
    for mut reader in readers {
        reading.spawn(async move {
            let mut lags = histogram();
            loop {
                let due = reader.number_after(b"\"text\":\"").await;
                let due = begun + Duration::from_micros(due);
                lags.saturating_record(micros(due.elapsed()));
                if due + EVERY >= end {
                    return lags;
                }
            }
        });
    }
    let mut lags = histogram();
    for one in reading.join_all().await {
        lags.add(one).expect("the same bounds");
    }
    let rate = lags.len() as f64 / begun.elapsed().as_secs_f64();
    let in_trips = |quantile| lags.value_at_quantile(quantile) as f64 / micros(ROUND_TRIP) as f64;
    let (median, p99) = (in_trips(0.5), in_trips(0.99));
    report.add(
        "frames a second, 5 ms from the replica",
        AtLeast(4_900.0),
        vec![rate],
        String::new(),
    );
    report.add(
        "their lag ÷ round trip to the replica: median",
        AtMost(3.0),
        vec![median],
        String::new(),
    );
    report.add("their lag ÷ round trip to the replica: p99", AtMost(3.0), vec![p99], String::new());
}
