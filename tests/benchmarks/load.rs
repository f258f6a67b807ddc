//! Load on a server, and what it costs.

use crate::{http::Connection, servers::Processes};
use hdrhistogram::Histogram;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// How many connections send at a time.
const CONNECTIONS: usize = 64;
/// How long a load runs before anything is measured.
const WARM_UP: Duration = Duration::from_millis(300);

/// What a load measured.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// Processor time for each request, in microseconds, by process.
    pub(crate) cpu: Vec<(String, f64)>,
    /// In microseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl Measured {
    /// Returns the CPU time of all processes together for each request, in microseconds.
    pub(crate) fn cpu_in_all(&self) -> f64 {
        self.cpu.iter().map(|(_, micros)| micros).sum()
    }

    pub(crate) fn p99(&self) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(0.99))
    }
}

/// Sends requests over every connection, each as soon as the one before it is answered.
pub(crate) async fn saturate(
    address: SocketAddr,
    request: &[u8],
    expected: u16,
    length: Duration,
    processes: &Processes<'_>,
) -> Measured {
    let begin = Instant::now() + WARM_UP;
    let end = begin + length;
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let request = request.to_vec();
        connections.spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut latencies = histogram();
            loop {
                let sent = Instant::now();
                let response = connection.ask(&request).await;
                assert_eq!(response.status, expected, "{}", text(&response.body));
                let answered = Instant::now();
                if answered >= end {
                    return latencies;
                }
                if sent >= begin {
                    latencies.saturating_record(micros(answered - sent));
                }
            }
        });
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = processes.cpu();
    tokio::time::sleep_until(end.into()).await;
    let after = processes.cpu();
    let mut latencies = histogram();
    while let Some(one) = connections.join_next().await {
        latencies.add(one.expect("the load runs to its end")).expect("the same bounds");
    }
    measured(latencies, length, &before, &after)
}

/// Returns the rate of the requests in `latencies`, and the CPU time for each of them. `before` and
/// `after` are the CPU times at the start and at the end of `length`.
pub(crate) fn measured(
    latencies: Histogram<u64>,
    length: Duration,
    before: &[(String, Duration)],
    after: &[(String, Duration)],
) -> Measured {
    let count = latencies.len().max(1) as f64;
    let used = before.iter().zip(after).map(|((name, before), (_, after))| {
        (name.clone(), after.saturating_sub(*before).as_secs_f64() * 1e6 / count)
    });
    Measured {
        per_second: latencies.len() as f64 / length.as_secs_f64(),
        cpu: used.collect(),
        latencies,
    }
}

/// Returns an empty histogram of microseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds that a histogram can have")
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
