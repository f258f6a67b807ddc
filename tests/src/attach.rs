//! An agent that speaks the Attach protocol frame by frame, as the test decides.

use crate::{Instance, Stack, operator::Channel, within};
use arizuko_proto::v1::{
    Accept, AgentDelta, AgentFrame, AgentMessage, Append, Appended, AttachRequest, AttachResponse,
    Claim, Credit, Finish, Handoff, Heartbeat, Hello, HttpResponse, Inbox, Lost, Reject, Turn,
    Welcome, agent_frame::Body as FrameBody, agent_service_client::AgentServiceClient,
    attach_request::Message as Said, attach_response::Message as Heard,
};
use std::{collections::VecDeque, time::Duration};
use tokio::{sync::mpsc, task::AbortHandle, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// One stream of a session.
pub struct Session {
    /// Control's Welcome.
    pub welcome: Welcome,
    requests: mpsc::Sender<AttachRequest>,
    responses: Streaming<AttachResponse>,
    /// Messages that came while the test waited for another message.
    inbox: VecDeque<Heard>,
    heart: AbortHandle,
}

/// A turn that the agent holds, and the number of its next frame.
pub struct Held {
    /// The turn, as delivered.
    pub turn: Turn,
    /// The next frame's number.
    pub seq: u64,
}

/// Returns the Hello of an agent of `folder` with credit for this many turns.
pub fn hello(folder: &str, credit: u32) -> Hello {
    let (folder, name) = (folder.to_owned(), "protocol test".to_owned());
    Hello { folder, name, credit, ..Hello::default() }
}

impl Stack {
    /// Attaches an agent of `folder` at a control, with credit for many turns.
    pub async fn attach(&self, folder: &str, control: Instance) -> Session {
        self.session(control, hello(folder, 100)).await
    }

    /// Attaches an agent with this Hello.
    pub async fn session(&self, control: Instance, hello: Hello) -> Session {
        Session::open(self.operator(control).await, hello).await
    }

    /// Attaches an agent with this key and Hello.
    pub async fn attach_with(&self, key: &str, hello: Hello, control: Instance) -> Session {
        Session::open(self.channel(control, key).await, hello).await
    }
}

impl Session {
    /// Attaches, and fails the test if control refuses.
    pub async fn open(channel: Channel, hello: Hello) -> Self {
        let opened = Self::try_open(channel, hello).await;
        opened.unwrap_or_else(|status| panic!("control refuses the agent: {status:?}"))
    }

    /// Attaches, or returns control's refusal.
    pub async fn try_open(channel: Channel, hello: Hello) -> Result<Self, Status> {
        let (requests, said) = mpsc::channel(64);
        let first = AttachRequest { message: Some(Said::Hello(hello)) };
        requests.send(first).await.expect("the other end is here");
        let attach = async {
            let mut agent = AgentServiceClient::new(channel).max_decoding_message_size(64 << 20);
            let mut responses = agent.attach(ReceiverStream::new(said)).await?.into_inner();
            let welcome = responses.message().await?;
            Ok::<_, Status>((responses, welcome))
        };
        let (responses, welcome) = within("Welcome", attach).await?;
        match welcome.and_then(|response| response.message) {
            Some(Heard::Welcome(welcome)) => {
                let heart = tokio::spawn(beat(requests.downgrade(), lease(&welcome) / 3));
                Ok(Self {
                    welcome,
                    requests,
                    responses,
                    inbox: VecDeque::new(),
                    heart: heart.abort_handle(),
                })
            }
            other => panic!("the first answer to Hello is Welcome, not {other:?}"),
        }
    }

    /// Sends a message.
    pub async fn say(&mut self, message: Said) {
        self.send(AttachRequest { message: Some(message) }).await;
    }

    /// Sends a request as it is.
    pub async fn send(&mut self, request: AttachRequest) {
        // An error means that control has ended the stream. Then `hear` returns its end.
        let _ = within("room for a request", self.requests.send(request)).await;
    }

    /// Waits for control's next message. At the stream's end, returns `None` or an error.
    pub async fn hear(&mut self) -> Result<Option<Heard>, Status> {
        if let Some(heard) = self.inbox.pop_front() {
            return Ok(Some(heard));
        }
        self.listen().await
    }

    async fn listen(&mut self) -> Result<Option<Heard>, Status> {
        let response = within("control to say something", self.responses.message()).await?;
        Ok(response.and_then(|response| response.message))
    }

    /// Waits for a message that `wanted` accepts. Keeps the other messages for later.
    pub async fn hear_of<T>(&mut self, what: &str, wanted: impl Fn(&Heard) -> Option<T>) -> T {
        if let Some(at) = self.inbox.iter().position(|heard| wanted(heard).is_some()) {
            let heard = self.inbox.remove(at);
            return heard.and_then(|heard| wanted(&heard)).expect("it was just found");
        }
        within(what, async {
            loop {
                match self.listen().await {
                    Ok(Some(heard)) => match wanted(&heard) {
                        Some(found) => return found,
                        None => self.inbox.push_back(heard),
                    },
                    ended => panic!("the stream ended before {what}: {ended:?}"),
                }
            }
        })
        .await
    }

    /// Waits for the stream's end and returns its error, if any.
    pub async fn ended(&mut self) -> Option<Status> {
        within("the end of the agent's stream", async {
            loop {
                match self.listen().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(status) => return Some(status),
                }
            }
        })
        .await
    }

    /// Waits for the next turn, without accepting it.
    pub async fn offered(&mut self) -> Turn {
        let turn = |heard: &Heard| match heard {
            Heard::Turn(turn) => Some(turn.clone()),
            _ => None,
        };
        self.hear_of("a turn", turn).await
    }

    /// Waits for the next turn and accepts it.
    pub async fn turn(&mut self) -> Held {
        let turn = self.offered().await;
        let (turn_id, attempt) = (turn.turn_id.clone(), turn.attempt);
        self.say(Said::Accept(Accept { turn_id, attempt })).await;
        let held = Held { turn, seq: 1 };
        self.appended(&held).await;
        held
    }

    /// Waits for the next Appended of a turn.
    pub async fn appended(&mut self, held: &Held) -> Appended {
        let (id, attempt) = (held.turn.turn_id.clone(), held.turn.attempt);
        let appended = |heard: &Heard| match heard {
            Heard::Appended(a) if a.turn_id == id && a.attempt == attempt => Some(a.clone()),
            _ => None,
        };
        self.hear_of("Appended", appended).await
    }

    /// Sends frames that begin with number `seq`, and returns control's Appended.
    pub async fn append_at(&mut self, held: &Held, seq: u64, frames: Vec<AgentFrame>) -> Appended {
        self.say(held.append(seq, frames)).await;
        self.appended(held).await
    }

    /// Appends frames to the reply without waiting until they are stored.
    pub async fn push(&mut self, held: &mut Held, frames: Vec<AgentFrame>) {
        let (seq, count) = (held.seq, frames.len() as u64);
        self.say(held.append(seq, frames)).await;
        held.seq += count;
    }

    /// Waits until all appended frames are stored.
    pub async fn stored(&mut self, held: &Held) {
        while self.appended(held).await.next_seq < held.seq {}
    }

    /// Appends one frame to the reply and waits until it is stored.
    pub async fn append(&mut self, held: &mut Held, frame: AgentFrame) {
        self.push(held, vec![frame]).await;
        self.stored(held).await;
    }

    /// Ends the reply and waits until its end is stored.
    pub async fn finish(&mut self, held: &Held) {
        self.say(held.finish()).await;
        while !self.appended(held).await.finished {}
    }

    /// Answers a turn with one whole message.
    pub async fn answer(&mut self, mut held: Held, content: &str) {
        self.append(&mut held, message("m1", content)).await;
        self.finish(&held).await;
    }

    /// Accepts the next turn and answers it with one whole message.
    pub async fn answer_next(&mut self, content: &str) {
        let held = self.turn().await;
        self.answer(held, content).await;
    }

    /// Rejects a turn. Control delivers it again once `retry_after` has passed.
    pub async fn reject(&mut self, turn: &Turn, retry_after: Duration) {
        let (turn_id, attempt) = (turn.turn_id.clone(), turn.attempt);
        let retry_after = prost_types::Duration::try_from(retry_after).ok();
        let detail = "the test says so".to_owned();
        self.say(Said::Reject(Reject { turn_id, attempt, detail, retry_after })).await;
    }

    /// Waits until control says that a turn is lost.
    pub async fn lost(&mut self, turn: &str) -> Lost {
        let lost = |heard: &Heard| match heard {
            Heard::Lost(lost) if lost.turn_id == turn => Some(lost.clone()),
            _ => None,
        };
        self.hear_of("Lost", lost).await
    }

    /// Waits for an inbox that `wanted` accepts.
    pub async fn inbox(&mut self, what: &str, wanted: impl Fn(&Inbox) -> bool) -> Inbox {
        let inbox = |heard: &Heard| match heard {
            Heard::Inbox(inbox) if wanted(inbox) => Some(inbox.clone()),
            _ => None,
        };
        self.hear_of(what, inbox).await
    }

    /// Claims a queued turn. With `conversation`, the turn's conversation is also assigned to the
    /// session's folder.
    pub async fn claim(&mut self, turn: &str, conversation: bool) {
        let turn_id = turn.to_owned();
        let claim = Claim { turn_id, conversation, take: false };
        self.say(Said::Claim(claim)).await;
    }

    /// Resets the stream instead of ending it, as when the agent is killed.
    pub fn vanish(self) {
        self.heart.abort();
        // Dropping the sender would end the requests properly, but control has to see a reset.
        std::mem::forget(self.requests);
    }

    /// Ends the requests and waits for the end of the responses.
    pub async fn leave(self) {
        let Self { requests, mut responses, .. } = self;
        drop(requests);
        within("the end of the responses", async {
            while let Ok(Some(_)) = responses.message().await {}
        })
        .await;
    }

    /// Stops the heartbeats, as when the agent hangs.
    pub fn hang(&mut self) {
        self.heart.abort();
    }

    /// Gives credit for more turns.
    pub async fn credit(&mut self, turns: u32) {
        self.say(Said::Credit(Credit { turns })).await;
    }
}

/// Returns the session's lease.
fn lease(welcome: &Welcome) -> Duration {
    let lease = welcome.lease.and_then(|lease| lease.try_into().ok());
    lease.expect("Welcome tells the lease")
}

/// Sends heartbeats until the session is dropped.
async fn beat(requests: mpsc::WeakSender<AttachRequest>, every: Duration) {
    loop {
        sleep(every).await;
        let Some(requests) = requests.upgrade() else {
            return;
        };
        let message = Some(Said::Heartbeat(Heartbeat {}));
        if requests.send(AttachRequest { message }).await.is_err() {
            return;
        }
    }
}

impl Held {
    /// Returns an Append of frames that begin with number `seq`.
    pub fn append(&self, seq: u64, frames: Vec<AgentFrame>) -> Said {
        let (turn_id, attempt) = (self.turn.turn_id.clone(), self.turn.attempt);
        Said::Append(Append { turn_id, attempt, seq, frames })
    }

    /// Returns a Finish after the last appended frame.
    pub fn finish(&self) -> Said {
        let (turn_id, attempt) = (self.turn.turn_id.clone(), self.turn.attempt);
        Said::Finish(Finish { turn_id, attempt, seq: self.seq, ..Finish::default() })
    }

    /// Returns a Finish that fails the turn, with this detail for operators.
    pub fn fail(&self, detail: &str) -> Said {
        let (turn_id, attempt, seq) = (self.turn.turn_id.clone(), self.turn.attempt, self.seq);
        let detail = detail.to_owned();
        Said::Finish(Finish { turn_id, attempt, seq, failed: true, detail, ..Finish::default() })
    }
}

/// Returns a delta of the message `id`.
pub fn delta(id: &str, text: &str) -> AgentFrame {
    let (id, text) = (id.to_owned(), text.to_owned());
    AgentFrame { body: Some(FrameBody::Delta(AgentDelta { id, text })) }
}

/// Returns a whole message.
pub fn message(id: &str, content: &str) -> AgentFrame {
    let (id, content) = (id.to_owned(), content.to_owned());
    AgentFrame { body: Some(FrameBody::Message(AgentMessage { id, content })) }
}

/// Returns a handoff of the turn. With `conversation`, it also assigns the turn's conversation. An
/// empty folder means the route's folder.
pub fn handoff(folder: &str, note: &str, conversation: bool) -> AgentFrame {
    let (folder, note) = (folder.to_owned(), note.to_owned());
    AgentFrame { body: Some(FrameBody::Handoff(Handoff { folder, note, conversation })) }
}

/// Returns a response to a webhook's sender.
pub fn response(status: u32, content_type: &str, body: &str) -> HttpResponse {
    let (content_type, body) = (content_type.to_owned(), body.to_owned().into());
    HttpResponse { status, content_type, headers: Vec::new(), body }
}

/// Returns the frame of a response.
pub fn respond(response: HttpResponse) -> AgentFrame {
    AgentFrame { body: Some(FrameBody::Response(response)) }
}

/// Returns the Hello of a person, who has no credit since people claim turns.
pub fn person(folder: &str, name: &str) -> Hello {
    Hello { name: name.to_owned(), person: true, history: 50, ..hello(folder, 0) }
}

/// Returns a status.
pub fn status(text: &str) -> AgentFrame {
    AgentFrame { body: Some(FrameBody::Status(text.to_owned())) }
}
