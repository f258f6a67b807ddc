//! An agent that answers every turn at once, with three deltas.

use crate::servers::Topology;
use arizuko_proto::v1::{
    Accept, AgentDelta, AgentFrame, Append, AttachRequest, Credit, Finish, Heartbeat, Hello, Turn,
    agent_frame::Body, agent_service_client::AgentServiceClient, attach_request::Message as Said,
    attach_response::Message as Heard,
};
use std::time::Duration;
use tokio::{sync::mpsc, task::JoinSet, time::interval};
use tokio_stream::wrappers::ReceiverStream;

/// How many turns an agent holds at a time.
const CREDIT: u32 = 64;
/// How often an agent renews its lease: half of what control asks for.
const HEARTBEAT: Duration = Duration::from_millis(2_500);

/// Agents that answer until they are dropped.
pub(crate) struct Agents(#[expect(dead_code, reason = "dropping it ends them")] JoinSet<()>);

impl Agents {
    /// Attaches agents of one folder, and returns when they all are attached.
    pub(crate) async fn attach(topology: &Topology, folder: &str, agents: usize) -> Self {
        let mut tasks = JoinSet::new();
        for _ in 0..agents {
            let (requests, sent) = mpsc::channel(1_024);
            let (folder, name) = (folder.to_owned(), "bench".to_owned());
            let hello = Hello { folder, name, credit: CREDIT, ..Hello::default() };
            say(&requests, Said::Hello(hello)).await;
            let mut client = AgentServiceClient::new(topology.operator().await);
            let attached = client.attach(ReceiverStream::new(sent)).await;
            let mut responses = attached.expect("control attaches agents").into_inner();
            let welcome = responses.message().await.expect("control answers");
            assert!(welcome.is_some(), "control welcomes agents");
            tasks.spawn(async move {
                let mut beats = interval(HEARTBEAT);
                loop {
                    let response = tokio::select! {
                        _ = beats.tick() => {
                            say(&requests, Said::Heartbeat(Heartbeat {})).await;
                            continue;
                        }
                        response = responses.message() => response,
                    };
                    let response = response.expect("control keeps the session");
                    let response = response.expect("control does not end the session");
                    if let Some(Heard::Turn(turn)) = response.message {
                        answer(&requests, turn).await;
                    }
                }
            });
        }
        Self(tasks)
    }
}

async fn answer(requests: &mpsc::Sender<AttachRequest>, turn: Turn) {
    let Turn { turn_id, attempt, .. } = turn;
    say(requests, Said::Accept(Accept { turn_id: turn_id.clone(), attempt })).await;
    for (seq, text) in (1..).zip(["Your order ", "is on its way ", "to you."]) {
        let body = Some(Body::Delta(AgentDelta { id: "m1".to_owned(), text: text.to_owned() }));
        let frames = vec![AgentFrame { body }];
        let turn_id = turn_id.clone();
        say(requests, Said::Append(Append { turn_id, attempt, seq, frames })).await;
    }
    let finish = Finish { turn_id, attempt, seq: 4, ..Finish::default() };
    say(requests, Said::Finish(finish)).await;
    say(requests, Said::Credit(Credit { turns: 1 })).await;
}

async fn say(requests: &mpsc::Sender<AttachRequest>, message: Said) {
    // An error means that control has ended the stream; the load then stops getting answers.
    let _ = requests.send(AttachRequest { message: Some(message) }).await;
}
