//! One Attach stream, and the session that it speaks for.

use super::{
    credit::Credit, delivery, history::MAX_MESSAGES, inbox::InboxView, milestone::Milestone,
    responses::Responses, workers::Workers,
};
use crate::{
    control::Control,
    grpc::{key_watch::KeyWatch, wire},
    key::Caller,
    ledger::Error,
    session::{self, Notice, Session},
    store::{Partition, Subscription, Wake},
    transaction::{Refusal, Tx},
    turn::{self, Turn},
};
use arizuko_proto::{
    telemetry::metrics::Share,
    v1::{self, AttachRequest, attach_request::Message, attach_response::Message as Answer},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{interval, timeout};
use tonic::Streaming;
use tracing::{Instrument as _, Span};

/// How often the folder's queue is read when no wake-up comes.
const QUEUE_RECHECK: Duration = Duration::from_secs(1);
/// How long an agent may take to send Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a draining control still stores what an agent sends.
const DRAIN_WITHIN: Duration = Duration::from_millis(500);

/// Serves one stream until either side ends it.
pub(super) async fn serve(
    control: &Arc<Control>,
    caller: &Caller,
    mut requests: Streaming<AttachRequest>,
    responses: &Responses,
) -> Result<(), Error> {
    let Ok(Some(AttachRequest { message: Some(Message::Hello(hello)) })) =
        timeout(HELLO_TIMEOUT, requests.message()).await.unwrap_or(Ok(None))
    else {
        return Err(Refusal::invalid("the first message must be Hello").into());
    };
    let key = KeyWatch::start(control, caller).await?;
    let mut stream = AttachStream::open(control, caller, hello, responses.clone()).await?;
    let mut recheck = interval(QUEUE_RECHECK);
    let mut look = true;
    loop {
        // Claims one turn at a time, and handles what the agent sends in between.
        if look {
            stream.send_inbox().await?;
            look = stream.claim_next().await?;
        }
        tokio::select! {
            // There may be another turn: don't wait.
            () = std::future::ready(()), if look => {}
            request = requests.message() => match request {
                Ok(Some(AttachRequest { message: Some(message) })) => {
                    look |= matches!(message, Message::Credit(_));
                    stream.handle(message).await?;
                }
                Ok(Some(_)) => return Err(Refusal::invalid("a message is empty").into()),
                Ok(None) => return stream.leave().await,
                // The connection broke. The agent may come back within the lease.
                Err(_) => return Ok(()),
            },
            wake = stream.notices.next() => {
                if !stream.handle_notice(wake).await? {
                    return Err(Refusal::SessionOver.into());
                }
            }
            _ = stream.ready.next() => look = true,
            _ = recheck.tick() => look = true,
            error = stream.workers.failed() => return Err(error),
            () = key.revoked() => {
                stream.leave().await?;
                return Err(Refusal::KeyInvalid.into());
            }
            () = control.draining.cancelled() => return stream.drain(&mut requests).await,
        }
    }
}

/// An open stream: the session, the turns that it holds, and what wakes it.
struct AttachStream {
    control: Arc<Control>,
    partition: Partition,
    session: Session,
    credit: Credit,
    /// Earlier messages that each Turn carries.
    history: usize,
    responses: Responses,
    /// Wakes for what others do to the session and its turns.
    notices: Subscription,
    /// Wakes for turns that wait in its folder.
    ready: Subscription,
    workers: Workers,
    inbox: InboxView,
    _counted: Share,
}

impl AttachStream {
    async fn open(
        control: &Arc<Control>,
        caller: &Caller,
        hello: v1::Hello,
        responses: Responses,
    ) -> Result<Self, Error> {
        let folder = caller.folder(&hello.folder)?;
        let partition = control.partition(&folder);
        let limits = &control.limits;
        let named = (hello.name.as_str(), hello.person, hello.session_id.as_str());
        let session = control
            .ledger
            .transact(partition, &[], |tx| session::hello(tx, limits, caller, &folder, named))
            .await?;
        Span::current().record("folder", session.folder.to_string()).record("session", &session.id);
        let notices = control.ledger.watch(partition, &session::topic(&session.id)).await?;
        let ready = control.ledger.watch(partition, &turn::ready_topic(&folder)).await?;
        let workers =
            Workers::new(control.clone(), partition, session.id.clone(), responses.clone());
        let mut stream = Self {
            control: control.clone(),
            partition,
            credit: Credit::new(&control.metrics, hello.credit),
            history: hello.history.min(MAX_MESSAGES) as usize,
            session,
            responses,
            notices,
            ready,
            workers,
            inbox: InboxView::default(),
            _counted: Share::of(&control.metrics.agents, 1),
        };
        stream.welcome(&hello.held).await?;
        Ok(stream)
    }

    /// Tells the agent which turns the session still holds, and delivers again those that never
    /// reached it.
    async fn welcome(&mut self, known: &[v1::HeldTurn]) -> Result<(), Error> {
        let is_known =
            |turn: &Turn| known.iter().any(|k| k.turn_id == turn.id && k.attempt == turn.attempt);
        let (held, unknown): (Vec<_>, Vec<_>) =
            self.held_turns().await?.into_iter().partition(is_known);
        let limits = &self.control.limits;
        let welcome = v1::Welcome {
            session_id: self.session.id.clone(),
            lease: wire::duration(limits.lease),
            heartbeat_interval: wire::duration(limits.heartbeat),
            held: held.iter().map(held_turn).collect(),
        };
        self.responses.send(Answer::Welcome(welcome)).await;
        for turn in unknown {
            if turn.next_seq > 1 {
                self.requeue_forgotten(&turn).await?;
            } else {
                self.credit.take();
                self.deliver(&turn).await?;
            }
        }
        Ok(())
    }

    /// Requeues the turns that the agent was told it has ended and whose end the store has lost.
    /// The session would hold them until their deadline.
    async fn requeue_lost_ends(&self) -> Result<(), Error> {
        for turn in self.held_turns().await? {
            if self.workers.has_ended(&turn) {
                self.requeue_forgotten(&turn).await?;
            }
        }
        Ok(())
    }

    /// Requeues a turn that the agent has begun and forgotten. New frames of the same attempt
    /// would count as repeats of those stored.
    async fn requeue_forgotten(&self, turn: &Turn) -> Result<(), Error> {
        let hold = (turn.id.as_str(), self.session.id.as_str(), turn.attempt);
        let (ledger, limits) = (&self.control.ledger, &self.control.limits);
        ledger.transact(self.partition, &[], |tx| turn::forgotten(tx, limits, hold)).await
    }

    async fn held_turns(&self) -> Result<Vec<Turn>, Error> {
        let ledger = &self.control.ledger;
        let set = session::held(&self.session.id);
        let members = ledger.members(self.partition, set, (0, u64::MAX), u32::MAX).await?;
        let records = members.iter().map(|member| turn::record(&member.name));
        let turns = ledger.records::<Turn>(self.partition, records).await?;
        let held = turns.into_iter().flatten().filter(|turn| turn.is_held_by(&self.session.id));
        Ok(held.collect())
    }

    /// Claims a waiting turn if there is credit, and delivers it. Returns whether there may be
    /// another.
    async fn claim_next(&mut self) -> Result<bool, Error> {
        if self.credit.is_used_up() {
            return Ok(false);
        }
        let hold = (self.session.id.as_str(), self.session.epoch);
        let (ledger, limits) = (&self.control.ledger, &self.control.limits);
        let claimed = ledger.transact(self.partition, &[], |tx| turn::claim(tx, limits, hold));
        let turn = match claimed.await {
            Ok(Some(turn)) => turn,
            Ok(None) => return Ok(false),
            // Many sessions claim the same turns. Tries again after what the agent sends.
            Err(Error::Busy) => return Ok(true),
            Err(error) => return Err(error),
        };
        self.credit.take();
        self.deliver(&turn).await?;
        Ok(true)
    }

    /// Sends a person what waits in their folder, if that has changed.
    async fn send_inbox(&mut self) -> Result<(), Error> {
        if self.session.person
            && let Some(inbox) = self.inbox.changed(&self.control, &self.session.folder).await?
        {
            self.responses.send(Answer::Inbox(inbox)).await;
        }
        Ok(())
    }

    /// Claims the turn that a person chose, and delivers it.
    async fn claim(&mut self, claim: v1::Claim) -> Result<(), Error> {
        let v1::Claim { turn_id, conversation } = claim;
        let hold = (self.session.id.as_str(), self.session.epoch);
        let (ledger, limits) = (&self.control.ledger, &self.control.limits);
        let claiming = |tx: &mut Tx<'_>| turn::claim_this(tx, limits, hold, &turn_id, conversation);
        match ledger.transact(self.partition, &[], claiming).await? {
            Some(turn) => self.deliver(&turn).await?,
            None => {
                let detail = "the turn no longer waits".to_owned();
                self.responses.send(Answer::Lost(v1::Lost { turn_id, attempt: 0, detail })).await;
            }
        }
        Ok(())
    }

    async fn deliver(&self, turn: &Turn) -> Result<(), Error> {
        let span = Milestone::delivery(turn);
        let reading = delivery::read(&self.control, self.partition, turn, self.history);
        let turn = reading.instrument(span).await?;
        self.responses.send(Answer::Turn(turn)).await;
        Ok(())
    }

    async fn handle(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Hello(_) => Err(Refusal::invalid("only the first message is Hello").into()),
            Message::Heartbeat(_) => {
                let (id, epoch) = (self.session.id.as_str(), self.session.epoch);
                let limits = &self.control.limits;
                let beating = |tx: &mut Tx<'_>| session::heartbeat(tx, limits, id, epoch);
                self.control.ledger.transact(self.partition, &[], beating).await
            }
            Message::Credit(credit) => {
                self.credit.add(credit.turns);
                Ok(())
            }
            Message::Claim(claim) => self.claim(claim).await,
            about_a_turn => self.workers.handle(about_a_turn).await,
        }
    }

    /// Tells the agent what others did to its turns. Returns whether the session is still this
    /// stream's.
    async fn handle_notice(&mut self, wake: Wake) -> Result<bool, Error> {
        let notice = match wake {
            Wake::Published(line) => Notice::parse(&line),
            // A notice may have been missed: check every turn that the agent works on.
            Wake::Gap => {
                self.workers.recheck().await?;
                self.requeue_lost_ends().await?;
                None
            }
        };
        match notice {
            Some(Notice::Moved { epoch }) => return Ok(epoch <= self.session.epoch),
            Some(Notice::Cancel { turn: turn_id, attempt }) => {
                self.workers.forget(&turn_id, attempt);
                self.responses.send(Answer::Cancel(v1::Cancel { turn_id, attempt })).await;
            }
            Some(Notice::Lost { turn: turn_id, attempt, why: detail }) => {
                self.workers.forget(&turn_id, attempt);
                self.responses.send(Answer::Lost(v1::Lost { turn_id, attempt, detail })).await;
            }
            None => {}
        }
        Ok(true)
    }

    /// Ends the session as its agent asks: requeues what it holds at once.
    async fn leave(&mut self) -> Result<(), Error> {
        self.workers.settle().await;
        let (id, epoch) = (self.session.id.as_str(), self.session.epoch);
        let limits = &self.control.limits;
        let leaving = |tx: &mut Tx<'_>| session::goodbye(tx, limits, id, epoch);
        match self.control.ledger.transact(self.partition, &[], leaving).await {
            // The session goes on with a newer stream.
            Err(Error::Refused(Refusal::SessionOver)) => Ok(()),
            other => other,
        }
    }

    /// Asks the agent to attach elsewhere, and stores what it still sends. The session and its
    /// turns live on.
    async fn drain(&mut self, requests: &mut Streaming<AttachRequest>) -> Result<(), Error> {
        let drain = v1::Drain { within: wire::duration(DRAIN_WITHIN) };
        self.responses.send(Answer::Drain(drain)).await;
        let storing = async {
            while let Ok(Some(AttachRequest { message: Some(message) })) = requests.message().await
            {
                self.handle(message).await?;
            }
            Ok(())
        };
        // What is not acknowledged in time the agent sends again elsewhere.
        timeout(DRAIN_WITHIN, storing).await.unwrap_or(Ok(()))
    }
}

fn held_turn(turn: &Turn) -> v1::HeldTurn {
    v1::HeldTurn { turn_id: turn.id.clone(), attempt: turn.attempt, next_seq: turn.next_seq }
}
