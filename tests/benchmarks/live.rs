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
    servers::{self, Processes, Topology},
};
use arizuko_tests::{process::Process, redis::Redis, stack::free_port, tools};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{cell::Cell, net::SocketAddr, path::Path, time::Duration};
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
    let subject = |name, nchan| Subject { name, topology: &topology, nchan, runs: Cell::new(0) };
    let subjects = [
        subject("arizuko", None),
        subject("nchan over Redis", Some(Nchan::start(true).await)),
        subject("nchan in memory", Some(Nchan::start(false).await)),
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
    /// How often it ran. Each run has its own folder or channels, because what is left of a run would
    /// reach the agent or the readers of the next.
    runs: Cell<u32>,
}

impl Subject<'_> {
    async fn run(&self, every: Duration, length: Duration) -> Measured {
        let run = self.runs.replace(self.runs.get() + 1);
        match &self.nchan {
            None => {
                let folder = format!("frames{run}");
                let (_agent, turns) = frames::turns(self.topology, &folder, STREAMS).await;
                frames::run(turns, every, length, &self.topology.processes()).await
            }
            Some(nchan) => {
                let processes = nchan.processes();
                frames::run(nchan.channels(run).await, every, length, &processes).await
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
    /// A Redis of its own, on a port: nchan knows no sockets.
    redis: Option<Redis>,
    _folder: TempDir,
}

impl Nchan {
    async fn start(on_redis: bool) -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let port = free_port();
        let (mut redis, mut upstream, mut pass) = (None, String::new(), "");
        if on_redis {
            let port = free_port().to_string();
            redis = Some(servers::redis(folder.path(), &["--port", &port]).await);
            upstream = format!("upstream redis {{ nchan_redis_server redis://127.0.0.1:{port}; }}");
            pass = "nchan_redis_pass redis;";
        }
        let config = format!(
            "{upstream}
             keepalive_requests 10000000;
             server {{
                 listen 127.0.0.1:{port};
                 location ~ ^/publish/(.+)$ {{ nchan_publisher; nchan_channel_id $1; {pass} }}
                 location ~ ^/read/(.+)$ {{ nchan_subscriber eventsource; nchan_channel_id $1; {pass} }}
             }}"
        );
        let process = tools::nginx_with(
            folder.path(),
            &format!("load_module {MODULE}; worker_processes 1;"),
            &config,
        );
        process.listens(port).await;
        Self { address: ([127, 0, 0, 1], port).into(), process, redis, _folder: folder }
    }

    fn processes(&self) -> Processes<'_> {
        Processes::new([&self.process].into_iter().chain(self.redis.iter().map(Redis::process)))
    }

    async fn channels(&self, run: u32) -> Vec<Stream> {
        let mut streams = Vec::new();
        for number in 0..STREAMS {
            let mut reader = Connection::open(self.address).await;
            let read = request("GET", &format!("/read/{run}-{number}"), EVENTS, "");
            assert_eq!(reader.subscribe(&read).await, 200);
            let connection = Connection::open(self.address).await;
            let path = format!("/publish/{run}-{number}");
            let writer = Writer::Publisher { connection, path };
            streams.push(Stream { writer, reader, mark: b"data: " });
        }
        streams
    }
}

impl Drop for Nchan {
    /// Kills the master and its worker. A worker outlives a master that is killed.
    fn drop(&mut self) {
        let children = self.process.children();
        for pid in [self.process.pid()].into_iter().chain(children) {
            // It may have ended already.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
