//! Agents: those that answer every turn at once, with three deltas, and those that a row directs.

use crate::servers::Topology;
use arizuko_proto::v1::{
    Accept, AgentDelta, AgentFrame, Append, AttachRequest, AttachResponse, Credit, Finish,
    Heartbeat, Hello, Turn, agent_frame::Body, agent_service_client::AgentServiceClient,
    attach_request::Message as Said, attach_response::Message as Heard,
};
use std::time::Duration;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Interval, interval},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// How many turns an agent holds at a time.
pub(crate) const CREDIT: u32 = 64;

/// Agents that answer until they are dropped.
pub(crate) struct Agents(#[expect(dead_code, reason = "dropping it ends them")] JoinSet<()>);

impl Agents {
    /// Attaches agents of one folder, and returns when they all are attached.
    pub(crate) async fn attach(topology: &Topology, folder: &str, agents: usize) -> Self {
        let mut tasks = JoinSet::new();
        for _ in 0..agents {
            let mut session = Session::begin(topology, folder, CREDIT).await;
            tasks.spawn(async move {
                loop {
                    let turn = session.turn().await;
                    answer(&session.requests, turn).await;
                }
            });
        }
        Self(tasks)
    }
}

/// An agent's session.
pub(crate) struct Session {
    pub(crate) requests: mpsc::Sender<AttachRequest>,
    responses: Streaming<AttachResponse>,
    beats: Interval,
}

impl Session {
    /// Attaches an agent that holds this many turns at a time.
    pub(crate) async fn begin(topology: &Topology, folder: &str, credit: u32) -> Self {
        let (requests, sent) = mpsc::channel(1_024);
        let (folder, name) = (folder.to_owned(), "bench".to_owned());
        let hello = Hello { folder, name, credit, ..Hello::default() };
        say(&requests, Said::Hello(hello)).await;
        let mut client = AgentServiceClient::new(topology.operator().await);
        let attached = client.attach(ReceiverStream::new(sent)).await;
        let mut responses = attached.expect("control attaches agents").into_inner();
        let first = responses.message().await.expect("control answers").and_then(|r| r.message);
        let Some(Heard::Welcome(welcome)) = first else { panic!("control welcomes agents") };
        let every = welcome.heartbeat_interval.expect("control asks for heartbeats");
        let every = Duration::try_from(every).expect("an interval is positive");
        Self { requests, responses, beats: interval(every) }
    }

    /// Waits for the next turn and returns it. Renews the lease meanwhile.
    pub(crate) async fn turn(&mut self) -> Turn {
        loop {
            let response = tokio::select! {
                _ = self.beats.tick() => {
                    say(&self.requests, Said::Heartbeat(Heartbeat {})).await;
                    continue;
                }
                response = self.responses.message() => response,
            };
            let response = response.expect("control keeps the session");
            let response = response.expect("control does not end the session");
            if let Some(Heard::Turn(turn)) = response.message {
                return turn;
            }
        }
    }

    /// Reads what control answers until the tasks are dropped: control waits for an agent that
    /// doesn't read.
    pub(crate) fn read_on(mut self) -> JoinSet<()> {
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            loop {
                self.turn().await;
            }
        });
        reading
    }
}

async fn answer(requests: &mpsc::Sender<AttachRequest>, turn: Turn) {
    let Turn { turn_id, attempt, .. } = turn;
    say(requests, Said::Accept(Accept { turn_id: turn_id.clone(), attempt })).await;
    for (seq, text) in (1..).zip(["Your order ", "is on its way ", "to you."]) {
        say(requests, delta(&turn_id, attempt, seq, text.to_owned())).await;
    }
    let finish = Finish { turn_id, attempt, seq: 4, ..Finish::default() };
    say(requests, Said::Finish(finish)).await;
    say(requests, Said::Credit(Credit { turns: 1 })).await;
}

/// Returns an Append of one delta.
pub(crate) fn delta(turn: &str, attempt: u32, seq: u64, text: String) -> Said {
    let body = Some(Body::Delta(AgentDelta { id: "m1".to_owned(), text }));
    Said::Append(Append {
        turn_id: turn.to_owned(),
        attempt,
        seq,
        frames: vec![AgentFrame { body }],
    })
}

pub(crate) async fn say(requests: &mpsc::Sender<AttachRequest>, message: Said) {
    // An error means that control has ended the stream; the load then stops getting answers.
    let _ = requests.send(AttachRequest { message: Some(message) }).await;
}
