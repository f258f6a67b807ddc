//! The turns that a session holds, each with a worker of its own: what is said of one turn is
//! done in order, and turns don't wait for one another.

use super::{Answers, milestone::Milestone};
use crate::{
    frame::Body,
    grpc::wire,
    ledger::Error,
    server::Control,
    store::Partition,
    transaction::{Decision, Refusal, Tx},
    turn::{self, Finish, Handoff, Progress, Turn},
};
use arizuko_proto::v1::{
    self, AttachResponse, agent_frame::Body as Wire, attach_request::Message,
    attach_response::Message as Answer,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::Instrument as _;

/// How many messages wait for one turn's worker. Past that the agent's stream waits.
const QUEUE: usize = 64;
/// How many frames one commit stores.
const FRAMES_PER_COMMIT: usize = 256;
/// How many ends are remembered, in case the store loses some: more than it can lose in a failover
/// that anybody hopes to survive.
const REMEMBERED: usize = 1_000;
/// When an agent that rejects a turn names no time.
const RETRY_AFTER: u64 = 1_000;

/// See the module.
pub(super) struct Workers {
    worker: Worker,
    /// By turn and attempt: what is late for one attempt must not stand before the next.
    queues: HashMap<(String, u32), mpsc::Sender<Message>>,
    running: JoinSet<Result<Option<Ended>, Error>>,
    /// What the agent was told has ended, the newest last.
    ended: VecDeque<Ended>,
}

/// A turn and the attempt that has ended it.
type Ended = (String, u32);

impl Workers {
    pub(super) fn new(
        control: Arc<Control>,
        partition: Partition,
        session: String,
        answers: Answers,
    ) -> Self {
        let worker = Worker { control, partition, session, answers };
        Self { worker, queues: HashMap::new(), running: JoinSet::new(), ended: VecDeque::new() }
    }

    /// Passes what the agent says of a turn to its worker.
    pub(super) async fn hear(&mut self, message: Message) -> Result<(), Error> {
        let (turn, attempt) = match &message {
            Message::Accept(accept) => (&accept.turn_id, accept.attempt),
            Message::Append(append) => (&append.turn_id, append.attempt),
            Message::Finish(finish) => (&finish.turn_id, finish.attempt),
            Message::Reject(reject) => (&reject.turn_id, reject.attempt),
            Message::Hello(_) | Message::Heartbeat(_) | Message::Credit(_) | Message::Claim(_) => {
                return Err(Refusal::invalid("that is not about a turn").into());
            }
        };
        self.queues.retain(|_, queue| !queue.is_closed());
        let queue = self.queues.entry((turn.clone(), attempt)).or_insert_with(|| {
            let (queue, messages) = mpsc::channel(QUEUE);
            self.running.spawn(self.worker.clone().work(messages));
            queue
        });
        // A worker that is just ending says that the attempt is over, or `failed` tells why.
        let _ = queue.send(message).await;
        Ok(())
    }

    /// The attempt is over, by what others did.
    pub(super) fn forget(&mut self, turn: String, attempt: u32) {
        self.queues.remove(&(turn, attempt));
    }

    /// Returns when a worker could not do its work. May be dropped and called again.
    pub(super) async fn failed(&mut self) -> Error {
        loop {
            match self.running.join_next().await {
                Some(Ok(Ok(ended))) => {
                    self.ended.extend(ended);
                    let surplus = self.ended.len().saturating_sub(REMEMBERED);
                    self.ended.drain(..surplus);
                }
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return Error::Internal(error.to_string()),
                None => std::future::pending().await,
            }
        }
    }

    /// Tells the agent of every turn under way that is no longer its own.
    pub(super) async fn ask_all(&self) -> Result<(), Error> {
        let Worker { control, partition, session, .. } = &self.worker;
        let records = self.queues.keys().map(|(turn, _)| turn::record(turn));
        let turns = control.ledger.records::<Turn>(*partition, records).await?;
        for ((turn, attempt), found) in self.queues.keys().zip(turns) {
            let progress = match found {
                Some(found) if found.is_held_by(session) && found.attempt == *attempt => continue,
                Some(found) if found.status.is_open() => Progress::Lost("another has it"),
                _ => Progress::Ended,
            };
            self.worker.answer(turn, *attempt, progress).await;
        }
        Ok(())
    }

    /// Whether the agent was told that it has ended this turn, so that it knows nothing of it.
    pub(super) fn has_ended(&self, turn: &Turn) -> bool {
        let is_it = |(id, attempt): &Ended| *id == turn.id && *attempt == turn.attempt;
        self.ended.iter().any(is_it)
    }

    /// Lets the workers finish what they were told.
    pub(super) async fn settle(&mut self) {
        self.queues.clear();
        while self.running.join_next().await.is_some() {}
    }
}

/// Does what an agent says of one turn.
#[derive(Clone)]
struct Worker {
    control: Arc<Control>,
    partition: Partition,
    session: String,
    answers: Answers,
}

impl Worker {
    /// Works until the turn is no longer this session's, or the stream ends. Returns what the agent
    /// was told has ended.
    async fn work(self, mut messages: mpsc::Receiver<Message>) -> Result<Option<Ended>, Error> {
        let mut next = None;
        loop {
            let Some(message) = (match next.take() {
                Some(message) => Some(message),
                None => messages.recv().await,
            }) else {
                return Ok(None);
            };
            let milestone = Milestone::of(&self.control, self.partition, &message).await;
            let done = async {
                match message {
                    Message::Append(mut append) => {
                        next = gather(&mut append, &mut messages);
                        self.append(append).await.map(Some)
                    }
                    Message::Accept(accept) => self.accept(accept).await.map(Some),
                    Message::Finish(finish) => self.finish(finish).await.map(Some),
                    Message::Reject(reject) => self.reject(reject).await.map(Some),
                    Message::Hello(_)
                    | Message::Heartbeat(_)
                    | Message::Credit(_)
                    | Message::Claim(_) => Ok(None),
                }
            };
            let done = done.instrument(milestone.span.clone()).await?;
            let Some((turn, attempt, progress)) = done else {
                continue;
            };
            milestone.reached(&self.control, &progress);
            let finished = match progress {
                Progress::Stored { finished, .. } => Some(finished),
                Progress::Ended | Progress::Lost(_) => None,
            };
            if finished != Some(false) {
                // What the agent says once it has heard this is for another worker to answer.
                messages.close();
            }
            self.answer(&turn, attempt, progress).await;
            match finished {
                Some(false) => {}
                Some(true) => return Ok(Some((turn, attempt))),
                None => return Ok(None),
            }
        }
    }

    async fn append(&self, append: v1::Append) -> Result<(String, u32, Progress), Error> {
        let v1::Append { turn_id: turn, attempt, seq, mut frames } = append;
        let handoff = frames.pop_if(|frame| matches!(frame.body, Some(Wire::Handoff(_))));
        let bodies = frames.into_iter().map(|frame| body(frame, &turn, attempt));
        let bodies: Vec<Body> = bodies.collect::<Result<_, _>>()?;
        let hold = (turn.as_str(), self.session.as_str(), attempt);
        let limits = &self.control.limits;
        let mut progress = self.transact(|tx| turn::append(tx, limits, hold, seq, &bodies)).await?;
        if let Some(Wire::Handoff(handoff)) = handoff.and_then(|frame| frame.body)
            && matches!(progress, Progress::Stored { .. })
        {
            let seq = seq + bodies.len() as u64;
            let v1::Handoff { folder, note, conversation } = handoff;
            let handoff = Handoff::new(&folder, note, conversation)?;
            progress = self.transact(|tx| turn::hand_off(tx, limits, hold, seq, &handoff)).await?;
        }
        Ok((turn, attempt, progress))
    }

    async fn accept(&self, accept: v1::Accept) -> Result<(String, u32, Progress), Error> {
        let v1::Accept { turn_id: turn, attempt } = accept;
        let hold = (turn.as_str(), self.session.as_str(), attempt);
        let progress = self.transact(|tx| turn::accept(tx, &self.control.limits, hold)).await?;
        Ok((turn, attempt, progress))
    }

    async fn finish(&self, finish: v1::Finish) -> Result<(String, u32, Progress), Error> {
        let v1::Finish { turn_id: turn, attempt, seq, failed, error, detail } = finish;
        let finish = Finish { seq, failed, error, detail };
        let hold = (turn.as_str(), self.session.as_str(), attempt);
        let progress =
            self.transact(|tx| turn::finish(tx, &self.control.limits, hold, &finish)).await?;
        Ok((turn, attempt, progress))
    }

    async fn reject(&self, reject: v1::Reject) -> Result<(String, u32, Progress), Error> {
        let v1::Reject { turn_id: turn, attempt, detail, retry_after } = reject;
        let after = retry_after.as_ref().map(wire::millis).transpose()?.unwrap_or(RETRY_AFTER);
        let hold = (turn.as_str(), self.session.as_str(), attempt);
        let limits = &self.control.limits;
        let progress = self.transact(|tx| turn::reject(tx, limits, hold, &detail, after)).await?;
        Ok((turn, attempt, progress))
    }

    async fn transact(
        &self,
        decide: impl FnMut(&mut Tx<'_>) -> Decision<Progress>,
    ) -> Result<Progress, Error> {
        self.control.ledger.transact(self.partition, &[], decide).await
    }

    async fn answer(&self, turn: &str, attempt: u32, progress: Progress) {
        let turn_id = turn.to_owned();
        let answer = match progress {
            Progress::Stored { next_seq, finished } => {
                Answer::Appended(v1::Appended { turn_id, attempt, next_seq, finished })
            }
            Progress::Ended => Answer::Cancel(v1::Cancel { turn_id, attempt }),
            Progress::Lost(why) => {
                Answer::Lost(v1::Lost { turn_id, attempt, detail: why.to_owned() })
            }
        };
        // An agent that is gone shows as the end of its requests.
        let _ = self.answers.send(Ok(AttachResponse { message: Some(answer) })).await;
    }
}

/// Adds to an Append what waits right behind it, so that one commit stores it all. Returns the
/// first message that doesn't continue it.
fn gather(append: &mut v1::Append, messages: &mut mpsc::Receiver<Message>) -> Option<Message> {
    let is_last = |frame: &v1::AgentFrame| matches!(frame.body, Some(Wire::Handoff(_)));
    while append.frames.len() < FRAMES_PER_COMMIT && !append.frames.last().is_some_and(is_last) {
        match messages.try_recv().ok()? {
            Message::Append(next)
                if append.seq.checked_add(append.frames.len() as u64) == Some(next.seq) =>
            {
                append.frames.extend(next.frames);
            }
            other => return Some(other),
        }
    }
    None
}

/// An agent's frame, its message's id made unique in the conversation.
fn body(frame: v1::AgentFrame, turn: &str, attempt: u32) -> Result<Body, Refusal> {
    let id = |id: String| match id.chars().count() {
        1..=64 => Ok(format!("{turn}.{attempt}.{id}")),
        _ => Err(Refusal::invalid("a message's id has 1 to 64 characters")),
    };
    match frame.body {
        Some(Wire::Message(message)) => {
            Ok(Body::Message { id: id(message.id)?, content: message.content, by: None })
        }
        Some(Wire::Delta(delta)) => Ok(Body::Delta { id: id(delta.id)?, text: delta.text }),
        Some(Wire::Status(text)) => Ok(Body::Status { text }),
        Some(Wire::Handoff(_)) => Err(Refusal::invalid("nothing follows a handoff")),
        None => Err(Refusal::invalid("an empty frame")),
    }
}
