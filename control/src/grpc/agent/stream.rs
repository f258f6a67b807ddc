//! One Attach stream, and the session that it speaks for.

use super::{
    delivery,
    desk::{Desks, Place},
    history::MAX_MESSAGES,
    inbox::InboxView,
    lease::Lease,
    milestone,
    responses::Responses,
    workers::Workers,
};
use crate::{
    control::Control,
    grpc::{key_watch::KeyWatch, wire},
    ids::{SessionId, TurnId},
    key::Caller,
    ledger::Error,
    names,
    refusal::Refusal,
    session::{self, Hello, Notice, Session, Speaker},
    store::{Partition, Subscription, Wake},
    transaction::Tx,
    turn::{
        Turn,
        frames::Progress,
        hold::{self, Choice},
        lease,
        reply::{self, Attempt},
    },
};
use arizuko_proto::{
    public_id,
    telemetry::metrics::Share,
    v1::{self, AttachRequest, attach_request::Message, attach_response::Message as Answer},
};
use std::{error::Error as _, sync::Arc, time::Duration};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};
use tracing::{Instrument as _, Span};

/// How long a draining control still stores what an agent sends.
const DRAIN_WITHIN: Duration = Duration::from_millis(500);

/// Serves one stream until either side ends it.
pub(super) async fn serve(
    control: &Arc<Control>,
    desks: &Arc<Desks>,
    caller: &Caller,
    mut requests: Streaming<AttachRequest>,
    responses: &Responses,
) -> Result<(), Error> {
    let Ok(Some(AttachRequest { message: Some(Message::Hello(hello)) })) =
        timeout(control.limits.hello_timeout, requests.message()).await.unwrap_or(Ok(None))
    else {
        return Err(Refusal::invalid("the first message must be Hello").into());
    };
    let key = KeyWatch::start(control, caller).await?;
    let mut stream = AttachStream::open(control, desks, caller, hello, responses.clone()).await?;
    loop {
        tokio::select! {
            request = requests.message() => match request {
                Ok(Some(AttachRequest { message: Some(message) })) => {
                    stream.handle(message).await?;
                }
                // A newer agent's message, of a kind that this control doesn't know.
                Ok(Some(_)) => {}
                Ok(None) => return stream.leave().await,
                Err(status) if is_malformed(&status) => {
                    return Err(Refusal::invalid(status.message()).into());
                }
                // The connection broke. The agent may come back within the lease.
                Err(_) => return Ok(()),
            },
            // An agent that hangs must not keep a stream that no limit counts.
            error = stream.lease.lost() => return Err(error),
            () = responses.stuck() => return Err(Refusal::SessionOver.into()),
            wake = stream.notices.next() => {
                if !stream.handle_notice(wake).await? {
                    return Err(Refusal::SessionOver.into());
                }
            }
            turn = stream.place.next() => stream.deliver_claimed(turn?).await?,
            () = inbox_due(&mut stream.inbox) => stream.send_inbox().await?,
            error = stream.workers.failed() => return Err(error),
            () = key.revoked() => {
                stream.leave().await?;
                return Err(Refusal::KeyInvalid.into());
            }
            () = control.draining.cancelled() => return stream.drain(&mut requests).await,
        }
    }
}

/// Whether a message is too long or can't be decoded. Errors of the connection have a source.
fn is_malformed(status: &Status) -> bool {
    let code = status.code();
    let is_decoding = [Code::OutOfRange, Code::ResourceExhausted, Code::Internal].contains(&code);
    is_decoding && status.source().is_none()
}

/// An open stream, with its session and the workers on the session's turns.
struct AttachStream {
    control: Arc<Control>,
    partition: Partition,
    session: Session,
    speaker: Speaker,
    lease: Lease,
    /// The session's place at its folder's desk.
    place: Place,
    /// How many earlier messages each Turn carries.
    history: usize,
    responses: Responses,
    /// Notices to the session, about itself and its turns.
    notices: Subscription,
    workers: Workers,
    /// The folder's inbox, if a person answers.
    inbox: Option<InboxView>,
    _counted: Share,
}

impl AttachStream {
    async fn open(
        control: &Arc<Control>,
        desks: &Arc<Desks>,
        caller: &Caller,
        hello: v1::Hello,
        responses: Responses,
    ) -> Result<Self, Error> {
        let folder = caller.folder(&hello.folder)?;
        if hello.person {
            caller.must_speak_as_person()?;
        }
        if hello.person || hello.history > 0 {
            caller.must_read()?;
        }
        let partition = control.partition(&folder);
        let resume = SessionId::parse(&hello.session_id).ok();
        let held = u32::try_from(hello.held.len()).unwrap_or(u32::MAX);
        let credit = hello.credit.saturating_add(held);
        let opening = Hello { folder, name: hello.name, person: hello.person, credit, resume };
        let session = control
            .ledger
            .transact(partition, &[], |tx| session::open(tx, caller, &opening))
            .await?;
        Span::current()
            .record("folder", session.folder.as_str())
            .record("session", public_id::session(session.id.as_str()));
        let notices = control.ledger.watch(partition, &names::session_topic(&session.id)).await?;
        let inbox = match session.person {
            true => Some(InboxView::open(control, &session.folder).await?),
            false => None,
        };
        let gauges = control.metrics.agents(&session.folder);
        let id = session.id.clone();
        let workers =
            Workers::new(control.clone(), partition, id, responses.clone(), gauges.running);
        let mut stream = Self {
            control: control.clone(),
            partition,
            place: desks.seat(control, &session),
            history: hello.history.min(MAX_MESSAGES) as usize,
            speaker: session.speaker(),
            lease: desks.lease(control, partition, session.speaker()),
            session,
            responses,
            notices,
            workers,
            inbox,
            _counted: Share::of(&gauges.agents, 1),
        };
        let redelivered = stream.welcome(&hello.held).await?;
        stream.place.offer(hello.credit.saturating_sub(redelivered));
        Ok(stream)
    }

    /// Tells the agent which of its turns the session still holds. Turns that the session holds and
    /// the agent doesn't know are delivered again, or requeued if the attempt has frames. Returns
    /// how many were delivered.
    async fn welcome(&mut self, known: &[v1::HeldTurn]) -> Result<u32, Error> {
        let is_known = |(turn, _): &(Turn, Progress)| {
            known.iter().any(|k| k.turn_id == turn.id.as_str() && k.attempt == turn.attempt)
        };
        let (held, unknown): (Vec<_>, Vec<_>) =
            self.held_turns().await?.into_iter().partition(is_known);
        let limits = &self.control.limits;
        let welcome = v1::Welcome {
            session_id: self.session.id.to_string(),
            lease: wire::duration(limits.lease),
            heartbeat_interval: wire::duration(limits.heartbeat),
            held: held.iter().map(|(turn, progress)| held_turn(turn, progress)).collect(),
        };
        for (turn, _) in &held {
            self.workers.give(turn);
        }
        self.responses.send(Answer::Welcome(welcome)).await;
        let mut delivered = 0;
        for (turn, progress) in unknown {
            if progress.next_seq > 1 {
                self.requeue_forgotten(&turn).await?;
            } else {
                delivered += u32::from(self.deliver(&turn).await?);
            }
        }
        Ok(delivered)
    }

    /// Requeues the turns whose end the store lost after the agent was told of it. Otherwise the
    /// session would hold them until their deadline.
    async fn requeue_lost_ends(&self) -> Result<(), Error> {
        for (turn, _) in self.held_turns().await? {
            if self.workers.has_ended(&turn) {
                self.requeue_forgotten(&turn).await?;
            }
        }
        Ok(())
    }

    /// Requeues a turn that the agent has begun and forgotten. The same attempt can't go on: its
    /// new frames would count as repeats of the stored ones.
    async fn requeue_forgotten(&self, turn: &Turn) -> Result<(), Error> {
        let session = self.session.id.clone();
        let attempt = Attempt { turn: turn.id.clone(), session, number: turn.attempt };
        let requeueing = |tx: &mut Tx<'_>| reply::requeue_forgotten(tx, &attempt);
        self.control.ledger.transact(self.partition, &[], requeueing).await
    }

    async fn held_turns(&self) -> Result<Vec<(Turn, Progress)>, Error> {
        let ledger = &self.control.ledger;
        let ids = ledger.all_members(self.partition, &names::held(&self.session.id)).await?;
        let turns = ledger.records::<Turn>(self.partition, &ids).await?;
        let progress = ledger.records::<Progress>(self.partition, &ids).await?;
        let both = turns.into_iter().zip(progress).filter_map(|(turn, progress)| {
            let turn = turn?;
            let progress = progress.unwrap_or_else(|| Progress::begin(turn.first_seq));
            Some((turn, progress))
        });
        Ok(both.filter(|(turn, _)| turn.is_held_by(&self.session.id)).collect())
    }

    /// Delivers a turn that the desk claimed.
    async fn deliver_claimed(&mut self, turn: Turn) -> Result<(), Error> {
        if !self.deliver(&turn).await? {
            self.place.offer(1);
        }
        Ok(())
    }

    /// Sends a person their folder's inbox, if it has changed.
    async fn send_inbox(&mut self) -> Result<(), Error> {
        if let Some(inbox) = &mut self.inbox
            && let Some(inbox) = inbox.changed(&self.control).await?
        {
            self.responses.send(Answer::Inbox(inbox)).await;
        }
        Ok(())
    }

    /// Claims the turn that a person chose, and delivers it.
    async fn claim(&mut self, claim: v1::Claim) -> Result<(), Error> {
        let v1::Claim { turn_id, conversation: assign, take } = claim;
        let claimed = match TurnId::parse(&turn_id) {
            Ok(turn) => {
                let choice = Choice { turn, assign, take };
                let claiming = |tx: &mut Tx<'_>| hold::claim_chosen(tx, &self.speaker, &choice);
                self.control.ledger.transact(self.partition, &[], claiming).await?
            }
            Err(_) => None,
        };
        match claimed {
            Some(turn) => drop(self.deliver(&turn).await?),
            None => {
                let detail = "the turn no longer waits".to_owned();
                let lost = v1::Lost { turn_id, detail, ..v1::Lost::default() };
                self.responses.send(Answer::Lost(lost)).await;
            }
        }
        Ok(())
    }

    /// Delivers a turn, unless the session no longer holds it: the notice of that loss may have
    /// come before the turn. Returns whether it was delivered.
    async fn deliver(&mut self, turn: &Turn) -> Result<bool, Error> {
        self.workers.give(turn);
        let reading = delivery::read(&self.control, self.partition, turn, self.history);
        let delivery = reading.instrument(milestone::delivery(turn)).await?;
        match delivery {
            Some(delivery) => {
                self.responses.send(Answer::Turn(delivery)).await;
                Ok(true)
            }
            None => {
                self.workers.forget(turn.id.clone(), turn.attempt);
                Ok(false)
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Hello(_) => {
                Err(Refusal::invalid("only the first message may be Hello").into())
            }
            Message::Heartbeat(_) => {
                self.lease.heartbeat();
                Ok(())
            }
            Message::Credit(credit) => {
                self.place.offer(credit.turns);
                Ok(())
            }
            Message::Claim(claim) => self.claim(claim).await,
            about_a_turn => self.workers.handle(about_a_turn).await,
        }
    }

    /// Tells the agent which of its turns were cancelled or lost. Returns whether this stream still
    /// speaks for the session.
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
            Some(Notice::Cancel { turn, attempt }) => {
                let turn_id = turn.to_string();
                self.workers.forget(turn, attempt);
                self.responses.send(Answer::Cancel(v1::Cancel { turn_id, attempt })).await;
            }
            Some(Notice::Lost { turn, attempt, why: detail }) => {
                let turn_id = turn.to_string();
                self.workers.forget(turn, attempt);
                let lost = v1::Lost { turn_id, attempt, detail, ..v1::Lost::default() };
                self.responses.send(Answer::Lost(lost)).await;
            }
            None => {}
        }
        Ok(true)
    }

    /// Ends the session, and requeues its turns at once.
    async fn leave(&mut self) -> Result<(), Error> {
        self.place.leave();
        self.workers.settle().await;
        let leaving = |tx: &mut Tx<'_>| lease::leave(tx, &self.speaker);
        match self.control.ledger.transact(self.partition, &[], leaving).await {
            // The session is over already, or a newer stream speaks for it.
            Err(Error::Refused(Refusal::SessionOver)) => Ok(()),
            other => other,
        }
    }

    /// Asks the agent to attach elsewhere, and stores what it still sends. The session and its
    /// turns live on.
    async fn drain(&mut self, requests: &mut Streaming<AttachRequest>) -> Result<(), Error> {
        self.place.leave();
        let drain = v1::Drain { within: wire::duration(DRAIN_WITHIN) };
        self.responses.send(Answer::Drain(drain)).await;
        let storing = async {
            while let Ok(Some(AttachRequest { message })) = requests.message().await {
                if let Some(message) = message {
                    self.handle(message).await?;
                }
            }
            Ok(())
        };
        // If a message is not acknowledged in time, the agent sends it again to another control.
        timeout(DRAIN_WITHIN, storing).await.unwrap_or(Ok(()))
    }
}

/// Waits until a person's inbox may have changed; forever if there is no inbox.
async fn inbox_due(inbox: &mut Option<InboxView>) {
    match inbox {
        Some(inbox) => inbox.due().await,
        None => std::future::pending().await,
    }
}

fn held_turn(turn: &Turn, progress: &Progress) -> v1::HeldTurn {
    let (turn_id, attempt) = (turn.id.to_string(), turn.attempt);
    v1::HeldTurn { turn_id, attempt, next_seq: progress.next_seq }
}
