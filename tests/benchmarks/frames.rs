//! Frames on their way from who writes them to who reads them.

use crate::{
    agent::{self, Session},
    http::{Connection, request},
    load::{Measured, histogram, measured, micros},
    rows::MESSAGE,
    servers::{Processes, Topology},
};
use arizuko_proto::v1::{Accept, AttachRequest, Turn, attach_request::Message as Said};
use std::time::{Duration, Instant};
use tokio::{sync::mpsc, task::JoinSet, time::interval_at};

/// The headers of a message whose answer is the event stream of its turn.
const HEADERS: &str = "content-type: application/json\r\naccept: text/event-stream\r\n";
/// The text of a frame follows this in the stream of its turn.
const TEXT: &[u8] = b"\"text\":\"";

/// A stream of frames, and its one reader.
pub(crate) struct Stream {
    pub(crate) writer: Writer,
    pub(crate) reader: Connection,
    /// A frame's text follows this.
    pub(crate) mark: &'static [u8],
}

/// Who writes the frames of a stream.
pub(crate) enum Writer {
    Agent {
        requests: mpsc::Sender<AttachRequest>,
        turn: String,
        attempt: u32,
    },
    /// Posts each frame to a path.
    Publisher {
        connection: Connection,
        path: String,
    },
}

impl Writer {
    async fn write(&mut self, seq: u64, text: String) {
        match self {
            Self::Agent { requests, turn, attempt } => {
                agent::say(requests, agent::delta(turn, *attempt, seq, text)).await;
            }
            Self::Publisher { connection, path } => {
                connection.ask(&request("POST", path, "", &text)).await;
            }
        }
    }
}

/// Begins turns of a folder that had none, each with a reader. They run until the agent's tasks are
/// dropped, and then wait for another agent.
pub(crate) async fn turns(
    topology: &Topology,
    folder: &str,
    count: u32,
) -> (JoinSet<()>, Vec<Stream>) {
    let path = topology.issue(folder).await;
    let mut session = Session::begin(topology, folder, count).await;
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut reader = Connection::open(topology.gateway).await;
        assert_eq!(reader.subscribe(&request("POST", &path, HEADERS, MESSAGE)).await, 200);
        let Turn { turn_id: turn, attempt, .. } = session.turn().await;
        let requests = session.requests.clone();
        agent::say(&requests, Said::Accept(Accept { turn_id: turn.clone(), attempt })).await;
        let writer = Writer::Agent { requests, turn, attempt };
        streams.push(Stream { writer, reader, mark: TEXT });
    }
    (session.read_on(), streams)
}

/// Writes a frame to each stream `every` so often. Measures how late the frames are at their
/// readers, and the CPU time for each frame.
pub(crate) async fn run(
    streams: Vec<Stream>,
    every: Duration,
    length: Duration,
    processes: &Processes<'_>,
) -> Measured {
    let before = processes.cpu();
    let begun = Instant::now();
    let end = begun + length;
    let count = streams.len() as u32;
    let (mut writing, mut reading) = (JoinSet::new(), JoinSet::new());
    for (index, Stream { mut writer, mut reader, mark }) in (0..).zip(streams) {
        writing.spawn(async move {
            let mut ticks = interval_at((begun + every * index / count).into(), every);
            for seq in 1.. {
                let due = ticks.tick().await;
                if due >= end.into() {
                    return;
                }
                // The text says when the frame was due, so that a late writer counts as lag.
                writer.write(seq, format!("{} ", (due.into_std() - begun).as_micros())).await;
            }
        });
        reading.spawn(async move {
            let mut lags = histogram();
            loop {
                // Frames that come together may be one.
                for due in reader.text_between(mark, b"\"\n").await.split_whitespace() {
                    let due = due.parse().expect("the writers write numbers");
                    let due = begun + Duration::from_micros(due);
                    lags.saturating_record(micros(due.elapsed()));
                    // The writer cut the time to whole microseconds.
                    if due + every + Duration::from_micros(1) >= end {
                        return lags;
                    }
                }
            }
        });
    }
    let mut lags = histogram();
    for one in reading.join_all().await {
        lags.add(one).expect("the same bounds");
    }
    measured(lags, begun.elapsed(), &before, &processes.cpu())
}
