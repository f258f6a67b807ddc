//! Live frames beside nginx with nchan, which does the least that a server of event streams can do:
//! it keeps no record of who said what, and checks no token.

use crate::{
    Plan,
    frames::{self, Stream, Writer},
    http::{Connection, request},
    load::Measured,
    plot::{Line, plot},
    report::{
        Goal::{AtLeast, AtMost},
        Report,
    },
    rows::EVENTS,
    servers::{Processes, Topology},
};
use arizuko_tests::{process::Process, redis::Redis, stack::free_port, tools};
use std::{net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;

/// Where Debian's package libnginx-mod-nchan puts nchan.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
/// How many streams run at a time.
const STREAMS: u32 = 100;
/// How often each gets a frame: 2,000 frames a second in all.
const EVERY: Duration = Duration::from_millis(50);
/// By how much more often the frames come in each step of the ramp.
const STEP: f64 = 1.5;
/// The ramp ends when the 99th percentile of the lag passes this.
const LATE: Duration = Duration::from_millis(50);

/// Whether nchan is installed.
pub(crate) fn has_nchan() -> bool {
    Path::new(MODULE).exists()
}

/// Measures 100 streams of 20 frames a second, and the most frames a second.
pub(crate) async fn measure(plan: Plan, report: &mut Report) {
    let topology = Topology::on_redis().await;
    let subjects = [
        Subject { name: "arizuko", topology: &topology, nchan: None },
        Subject {
            name: "nchan over Redis",
            topology: &topology,
            nchan: Some(Nchan::start(Some(topology.redis())).await),
        },
        Subject {
            name: "nchan in memory",
            topology: &topology,
            nchan: Some(Nchan::start(None).await),
        },
    ];
    let (mut lags, mut cpu, mut detail) = ([Vec::new(), Vec::new()], Vec::new(), String::new());
    for _ in 0..plan.rounds {
        let mut measured = Vec::new();
        for subject in &subjects {
            measured.push(subject.run(EVERY, plan.length).await);
        }
        let [ours, over_redis, in_memory] = &measured[..] else { unreachable!("three subjects") };
        lags[0].push(ratio(ours.p99(), over_redis.p99()));
        lags[1].push(ratio(ours.p99(), in_memory.p99()));
        cpu.push(ours.cpu_in_all() / over_redis.cpu_in_all());
        detail = format!(
            "p99 {:.1?}, {:.1?} and {:.1?}; {:.0} µs and {:.0} µs a frame",
            ours.p99(),
            over_redis.p99(),
            in_memory.p99(),
            ours.cpu_in_all(),
            over_redis.cpu_in_all()
        );
    }
    let [over_redis, in_memory] = lags;
    let none = String::new;
    report.add(
        "frame, 100 streams of 20/s: p99 ÷ nchan over Redis",
        AtMost(0.8),
        over_redis,
        detail,
    );
    report.add("frame, 100 streams of 20/s: p99 ÷ nchan in memory", AtMost(2.0), in_memory, none());
    report.add("frame at 2,000/s: CPU ÷ nchan over Redis", AtMost(0.35), cpu, none());

    let mut lines = Vec::new();
    for subject in &subjects {
        lines.push(Line { name: subject.name, points: subject.ramp(plan.length / 2).await });
    }
    let most: Vec<f64> = lines.iter().map(|line| line.most()).collect();
    let detail = format!("{:.0}/s, {:.0}/s and {:.0}/s", most[0], most[1], most[2]);
    let (over_redis, in_memory) = (vec![most[0] / most[1]], vec![most[0] / most[2]]);
    report.add("most frames a second ÷ nchan over Redis", AtLeast(5.0), over_redis, detail);
    report.add("most frames a second ÷ nchan in memory", AtLeast(1.2), in_memory, none());
    plot("frames", "frames a second", "p99 of the lag, ms", &lines);
}

/// What is measured: arizuko, or an nchan.
struct Subject<'a> {
    name: &'static str,
    topology: &'a Topology,
    nchan: Option<Nchan>,
}

impl Subject<'_> {
    async fn run(&self, every: Duration, length: Duration) -> Measured {
        match &self.nchan {
            None => {
                let (_session, turns) = frames::turns(self.topology, STREAMS).await;
                frames::run(turns, every, length, &self.topology.processes()).await
            }
            Some(nchan) => {
                let processes = nchan.processes(self.topology);
                frames::run(nchan.channels().await, every, length, &processes).await
            }
        }
    }

    /// Measures the 99th percentile of the lag, in milliseconds, at growing numbers of frames a
    /// second.
    async fn ramp(&self, length: Duration) -> Vec<(f64, f64)> {
        let (mut points, mut every) = (Vec::new(), EVERY);
        loop {
            let frames = self.run(every, length).await;
            points.push((frames.per_second, frames.p99().as_secs_f64() * 1e3));
            if frames.p99() > LATE {
                return points;
            }
            every = every.div_f64(STEP);
        }
    }
}

impl Line {
    /// Returns the most frames a second with a lag that is not too long.
    fn most(&self) -> f64 {
        let good = self.points.iter().filter(|(_, lag)| *lag <= LATE.as_secs_f64() * 1e3);
        good.map(|(rate, _)| *rate).fold(0.0, f64::max)
    }
}

/// nginx with nchan.
struct Nchan {
    address: SocketAddr,
    process: Process,
    is_on_redis: bool,
    _folder: TempDir,
}

impl Nchan {
    async fn start(redis: Option<&Redis>) -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let port = free_port();
        let upstream =
            redis.map(|redis| format!("upstream redis {{ nchan_redis_server {}; }}", redis.url()));
        let pass = redis.map_or("", |_| "nchan_redis_pass redis;");
        let config = format!(
            "{}
             server {{
                 listen 127.0.0.1:{port};
                 location ~ ^/publish/(.+)$ {{ nchan_publisher; nchan_channel_id $1; {pass} }}
                 location ~ ^/read/(.+)$ {{ nchan_subscriber eventsource; nchan_channel_id $1; {pass} }}
             }}",
            upstream.unwrap_or_default()
        );
        let process = tools::nginx_with(folder.path(), &format!("load_module {MODULE};"), &config);
        process.listens(port).await;
        Self {
            address: ([127, 0, 0, 1], port).into(),
            process,
            is_on_redis: redis.is_some(),
            _folder: folder,
        }
    }

    fn processes<'a>(&'a self, topology: &'a Topology) -> Processes<'a> {
        let redis = self.is_on_redis.then(|| topology.redis().process());
        Processes::new([&self.process].into_iter().chain(redis))
    }

    async fn channels(&self) -> Vec<Stream> {
        let mut streams = Vec::new();
        for number in 0..STREAMS {
            let mut reader = Connection::open(self.address).await;
            let status =
                reader.subscribe(&request("GET", &format!("/read/{number}"), EVENTS, "")).await;
            assert_eq!(status, 200);
            let connection = Connection::open(self.address).await;
            let writer = Writer::Publisher { connection, path: format!("/publish/{number}") };
            streams.push(Stream { writer, reader, mark: b"data: " });
        }
        streams
    }
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
