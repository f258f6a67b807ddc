//! More messages than arizuko can take: they come at their times, whether or not earlier ones are
//! answered.

use crate::{
    Plan,
    http::{Connection, request},
    load::{histogram, micros, saturate},
    plot::{Line, plot},
    report::{
        Goal::{AtLeast, AtMost},
        Report,
    },
    rows::{JSON, MESSAGE},
    servers::Topology,
};
use hdrhistogram::Histogram;
use std::{
    net::SocketAddr,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep_until};

/// How many messages come, as parts of the rate at which 64 connections saturate the service.
const RAMP: [f64; 8] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0];
/// How many connections send. A message for which none is free waits for one.
const CONNECTIONS: usize = 2_048;
/// A refusal should come this soon.
const REFUSAL_MS: f64 = 100.0;

/// What became of the messages of one step of the ramp.
struct Step {
    taken: Histogram<u64>,
    refused: Histogram<u64>,
    length: Duration,
}

/// Measures what is taken and what is refused, on both stores.
pub(crate) async fn measure(plan: Plan, report: &mut Report) {
    let names = [
        ["overload, Redis: taken ÷ most", "overload, Redis: p99 of refusals, ms"],
        ["overload, embedded store: taken ÷ most", "overload, embedded store: p99 of refusals, ms"],
    ];
    let (mut rates, mut waits) = (Vec::new(), Vec::new());
    for (store, [taken, refusals]) in ["Redis", "embedded store"].into_iter().zip(names) {
        let topology = match store {
            "Redis" => Topology::on_redis().await,
            _ => Topology::embedded().await,
        };
        let message = request("POST", &topology.issue("acme").await, JSON, MESSAGE);
        let processes = topology.processes();
        let most = saturate(topology.gateway, &message, 202, plan.length, &processes).await;
        let (mut rate, mut wait) = (Vec::new(), Vec::new());
        let mut last = None;
        for part in RAMP {
            let step = offer(topology.gateway, &message, most.per_second * part, plan.length).await;
            rate.push((part, step.per_second(&step.taken)));
            wait.push((part, step.taken.value_at_quantile(0.99) as f64 / 1e3));
            last = Some(step);
        }
        let last = last.expect("the ramp has steps");
        let best = rate.iter().map(|(_, rate)| *rate).fold(most.per_second, f64::max);
        let detail = format!(
            "{:.0}/s taken, {:.0}/s refused; p99 of what was taken {} ms",
            last.per_second(&last.taken),
            last.per_second(&last.refused),
            last.taken.value_at_quantile(0.99) / 1_000
        );
        report.add(taken, AtLeast(0.9), vec![last.per_second(&last.taken) / best], detail);
        let refused = last.refused.value_at_quantile(0.99) as f64 / 1e3;
        report.add(refusals, AtMost(REFUSAL_MS), vec![refused], String::new());
        rates.push(Line { name: store, points: rate });
        waits.push(Line { name: store, points: wait });
    }
    let offered = "messages that come ÷ those that saturate the service";
    plot("overload-taken", offered, "messages taken a second", &rates);
    plot("overload-latency", offered, "p99 of those that were taken, ms", &waits);
}

impl Step {
    fn per_second(&self, messages: &Histogram<u64>) -> f64 {
        messages.len() as f64 / self.length.as_secs_f64()
    }
}

/// Sends messages at a steady rate. What is answered later than `length` doesn't count.
async fn offer(address: SocketAddr, message: &[u8], rate: f64, length: Duration) -> Step {
    let begin = Instant::now();
    let end = begin + length;
    let next = Arc::new(AtomicU64::new(0));
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (message, next) = (message.to_vec(), next.clone());
        connections.spawn(async move {
            let mut connection = Connection::open(address).await;
            let (mut taken, mut refused) = (histogram(), histogram());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let due = begin + Duration::from_secs_f64(number as f64 / rate);
                if due >= end {
                    return (taken, refused);
                }
                sleep_until(due.into()).await;
                let status = connection.ask(&message).await.status;
                if Instant::now() >= end {
                    return (taken, refused);
                }
                match status {
                    202 => taken.saturating_record(micros(due.elapsed())),
                    429 | 503 => refused.saturating_record(micros(due.elapsed())),
                    other => panic!("a message is taken or refused: {other}"),
                }
            }
        });
    }
    let (mut taken, mut refused) = (histogram(), histogram());
    for one in connections.join_all().await {
        taken.add(one.0).expect("the same bounds");
        refused.add(one.1).expect("the same bounds");
    }
    Step { taken, refused, length }
}
