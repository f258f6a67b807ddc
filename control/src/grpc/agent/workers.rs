//! The turns that an agent works on, each with a worker of its own: messages about one turn are
//! handled in order, and turns don't wait for one another.

use super::{
    responses::Responses,
    worker::{Attempt, Worker},
};
use crate::{
    control::Control,
    ledger::Error,
    store::Partition,
    transaction::Refusal,
    turn::{self, Progress, Turn},
};
use arizuko_proto::v1::attach_request::Message;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::{sync::mpsc, task::JoinSet};

/// Messages that wait for one worker. When it is full, the agent's stream waits.
const QUEUE: usize = 64;
/// Ended attempts that are remembered: more than a store may lose in a failover.
const REMEMBERED: usize = 1_000;

/// The workers of one session.
pub(super) struct Workers {
    worker: Worker,
    /// By attempt, so that a late message about one attempt doesn't hold up the next.
    queues: HashMap<Attempt, mpsc::Sender<Message>>,
    running: JoinSet<Result<Option<Attempt>, Error>>,
    /// What the agent was told it has ended, the newest last.
    ended: VecDeque<Attempt>,
}

impl Workers {
    pub(super) fn new(
        control: Arc<Control>,
        partition: Partition,
        session: String,
        responses: Responses,
    ) -> Self {
        let worker = Worker { control, partition, session, responses };
        Self { worker, queues: HashMap::new(), running: JoinSet::new(), ended: VecDeque::new() }
    }

    /// Gives a message about a turn to the turn's worker.
    pub(super) async fn handle(&mut self, message: Message) -> Result<(), Error> {
        let attempt = match &message {
            Message::Accept(accept) => Attempt::new(&accept.turn_id, accept.attempt),
            Message::Append(append) => Attempt::new(&append.turn_id, append.attempt),
            Message::Finish(finish) => Attempt::new(&finish.turn_id, finish.attempt),
            Message::Reject(reject) => Attempt::new(&reject.turn_id, reject.attempt),
            Message::Hello(_) | Message::Heartbeat(_) | Message::Credit(_) | Message::Claim(_) => {
                return Err(Refusal::invalid("the message is not about a turn").into());
            }
        };
        self.queues.retain(|_, queue| !queue.is_closed());
        let queue = self.queues.entry(attempt.clone()).or_insert_with(|| {
            let (queue, messages) = mpsc::channel(QUEUE);
            self.running.spawn(self.worker.clone().run(attempt, messages));
            queue
        });
        // A worker that is just ending answers that the attempt is over, or `failed` returns why.
        let _ = queue.send(message).await;
        Ok(())
    }

    /// Forgets an attempt that others have ended.
    pub(super) fn forget(&mut self, turn: &str, attempt: u32) {
        self.queues.remove(&Attempt::new(turn, attempt));
    }

    /// Returns the error of the first worker that fails. May be dropped and called again.
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

    /// Tells the agent of every turn under way that the session no longer holds.
    pub(super) async fn recheck(&self) -> Result<(), Error> {
        let Worker { control, partition, session, .. } = &self.worker;
        let records = self.queues.keys().map(|attempt| turn::record(&attempt.turn));
        let turns = control.ledger.records::<Turn>(*partition, records).await?;
        for (attempt, turn) in self.queues.keys().zip(turns) {
            let progress = match turn {
                Some(turn) if turn.is_held_by(session) && attempt.is_of(&turn) => continue,
                Some(turn) if turn.status.is_open() => Progress::Lost("another attempt has it"),
                _ => Progress::Ended,
            };
            self.worker.answer(attempt, progress).await;
        }
        Ok(())
    }

    /// Whether the agent was told that it has ended this attempt, and so has forgotten it.
    pub(super) fn has_ended(&self, turn: &Turn) -> bool {
        self.ended.iter().any(|attempt| attempt.is_of(turn))
    }

    /// Waits until all messages are handled.
    pub(super) async fn settle(&mut self) {
        self.queues.clear();
        while self.running.join_next().await.is_some() {}
    }
}
