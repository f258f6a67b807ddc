//! The turns that an agent works on, each with a worker of its own: messages about one turn are
//! handled in order, and turns don't wait for one another.

use super::{responses::Responses, worker::Worker};
use crate::{
    control::Control,
    ids::{SessionId, TurnId},
    ledger::Error,
    refusal::Refusal,
    store::Partition,
    turn::{
        Turn,
        reply::{Ack, Attempt},
    },
};
use arizuko_proto::{
    telemetry::metrics::Share,
    v1::{self, attach_request::Message, attach_response::Message as Answer},
};
use prometheus_client::metrics::gauge::Gauge;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::{sync::mpsc, task::JoinSet};

/// How many messages may wait in one worker's queue. While the queue is full, the agent's stream
/// waits.
const QUEUE: usize = 64;
/// How many bytes the id of a turn may have, at most. A longer id ends the stream.
const LONG_ID: usize = 64;
/// How many ended attempts are remembered: more than a store may lose in a failover.
const REMEMBERED: usize = 1_000;

/// The workers of one session.
pub(super) struct Workers {
    session: SessionId,
    worker: Worker,
    /// By attempt, so that a late message about one attempt doesn't hold up the next.
    queues: HashMap<Attempt, mpsc::Sender<Message>>,
    /// The attempts that the agent was given and that are not known to be over. Only they have
    /// workers, so that an agent has no more workers than turns. Each counts in `gauge`.
    given: HashMap<Attempt, Share>,
    gauge: Gauge,
    running: JoinSet<(Attempt, Result<bool, Error>)>,
    /// The attempts whose Finish was acknowledged, the newest last.
    ended: VecDeque<Attempt>,
}

impl Workers {
    pub(super) fn new(
        control: Arc<Control>,
        partition: Partition,
        session: SessionId,
        responses: Responses,
        gauge: Gauge,
    ) -> Self {
        let worker = Worker { control, partition, responses };
        Self {
            session,
            worker,
            queues: HashMap::new(),
            given: HashMap::new(),
            gauge,
            running: JoinSet::new(),
            ended: VecDeque::new(),
        }
    }

    /// Notes that the agent has been given a turn.
    pub(super) fn give(&mut self, turn: &Turn) {
        let attempt = self.attempt(turn.id.clone(), turn.attempt);
        self.given.entry(attempt).or_insert_with(|| Share::of(&self.gauge, 1));
    }

    /// Gives a message about a turn to the turn's worker. A malformed id is answered as if its turn
    /// had ended; one longer than [`LONG_ID`] ends the stream.
    pub(super) async fn handle(&mut self, message: Message) -> Result<(), Error> {
        let (turn, number) = match &message {
            Message::Accept(accept) => (&accept.turn_id, accept.attempt),
            Message::Append(append) => (&append.turn_id, append.attempt),
            Message::Finish(finish) => (&finish.turn_id, finish.attempt),
            Message::Reject(reject) => (&reject.turn_id, reject.attempt),
            Message::Hello(_) | Message::Heartbeat(_) | Message::Credit(_) | Message::Claim(_) => {
                return Err(Refusal::invalid("the message is not about a turn").into());
            }
        };
        let Ok(id) = TurnId::parse(turn) else {
            if turn.len() > LONG_ID {
                return Err(Refusal::invalid("that is not a turn's id").into());
            }
            let cancel = v1::Cancel { turn_id: turn.clone(), attempt: number };
            self.worker.responses.send(Answer::Cancel(cancel)).await;
            return Ok(());
        };
        let attempt = self.attempt(id, number);
        self.forget_ended(&attempt);
        if !self.given.contains_key(&attempt) {
            // The attempt is over, or never was. The stream waits for the answer.
            let (queue, messages) = mpsc::channel(1);
            let _ = queue.try_send(message);
            drop(queue);
            let has_ended = self.worker.clone().run(&attempt, messages).await?;
            // Remember it once: an agent may repeat its Finish as often as it wants.
            if has_ended && !self.ended.contains(&attempt) {
                self.remember(attempt);
            }
            return Ok(());
        }
        let queue = self.queues.entry(attempt.clone()).or_insert_with(|| {
            let (queue, messages) = mpsc::channel(QUEUE);
            let worker = self.worker.clone();
            self.running.spawn(async move {
                let ended = worker.run(&attempt, messages).await;
                (attempt, ended)
            });
            queue
        });
        // If this fails, the worker is just ending: it answers that the attempt is over, or
        // `failed` returns its error.
        let _ = queue.send(message).await;
        Ok(())
    }

    /// Forgets an attempt that no longer holds its turn.
    pub(super) fn forget(&mut self, turn: TurnId, number: u32) {
        let attempt = self.attempt(turn, number);
        self.queues.remove(&attempt);
        self.given.remove(&attempt);
    }

    /// Forgets an attempt if its worker has ended.
    fn forget_ended(&mut self, attempt: &Attempt) {
        if self.queues.get(attempt).is_some_and(mpsc::Sender::is_closed) {
            self.queues.remove(attempt);
            self.given.remove(attempt);
        }
    }

    fn attempt(&self, turn: TurnId, number: u32) -> Attempt {
        Attempt { turn, session: self.session.clone(), number }
    }

    /// Remembers that the agent has been told of an attempt's end.
    fn remember(&mut self, ended: Attempt) {
        self.ended.push_back(ended);
        if self.ended.len() > REMEMBERED {
            self.ended.pop_front();
        }
    }

    /// Returns the error of the first worker that fails. The future may be dropped, and the method
    /// called again.
    pub(super) async fn failed(&mut self) -> Error {
        loop {
            match self.running.join_next().await {
                Some(Ok((attempt, Ok(has_ended)))) => {
                    self.forget_ended(&attempt);
                    if has_ended {
                        self.remember(attempt);
                    }
                }
                Some(Ok((_, Err(error)))) => return error,
                Some(Err(error)) => return Error::Internal(error.to_string()),
                None => std::future::pending().await,
            }
        }
    }

    /// Tells the agent of every turn under way that the session no longer holds.
    pub(super) async fn recheck(&self) -> Result<(), Error> {
        let Worker { control, partition, .. } = &self.worker;
        let ids = self.queues.keys().map(|attempt| &attempt.turn);
        let turns = control.ledger.records::<Turn>(*partition, ids).await?;
        for (attempt, turn) in self.queues.keys().zip(turns) {
            let is_held =
                |turn: &Turn| turn.is_held_by(&self.session) && attempt.is_newest_of(turn);
            let ack = match turn {
                Some(turn) if is_held(&turn) => continue,
                Some(turn) if turn.is_open() => Ack::Lost("this attempt no longer holds the turn"),
                _ => Ack::Ended,
            };
            self.worker.answer(attempt, ack).await;
        }
        Ok(())
    }

    /// Whether the Finish of the turn's newest attempt was acknowledged here, so that the agent has
    /// forgotten the turn.
    pub(super) fn has_ended(&self, turn: &Turn) -> bool {
        self.ended.iter().any(|attempt| attempt.is_newest_of(turn))
    }

    /// Waits until all messages are handled.
    pub(super) async fn settle(&mut self) {
        self.queues.clear();
        while self.running.join_next().await.is_some() {}
    }
}
