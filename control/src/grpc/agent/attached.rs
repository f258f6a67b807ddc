//! An agent's end of its session: what it holds, what it hears, and what it is told.

use super::{
    Answers, MAX_HISTORY, credit::Credit, handout, inbox::Inbox, milestone::Milestone,
    workers::Workers,
};
use crate::{
    grpc::wire,
    key::Caller,
    ledger::Error,
    server::Control,
    session::{self, Notice, Session},
    store::{Partition, Subscription, Wake},
    transaction::{Refusal, Tx},
    turn::{self, Turn},
};
use arizuko_proto::{
    telemetry::metrics::Share,
    v1::{
        self, AttachRequest, AttachResponse, attach_request::Message,
        attach_response::Message as Answer,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tonic::Streaming;
use tracing::{Instrument as _, Span};

/// How long a draining control still stores what is on its way.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Attached {
    control: Arc<Control>,
    partition: Partition,
    session: Session,
    credit: Credit,
    history: u32,
    answers: Answers,
    /// What others tell this session.
    pub(super) notices: Subscription,
    /// That turns of its folder are waiting.
    pub(super) ready: Subscription,
    pub(super) workers: Workers,
    inbox: Inbox,
    _counted: Share,
}

impl Attached {
    pub(super) async fn open(
        control: &Arc<Control>,
        caller: &Caller,
        hello: v1::Hello,
        answers: Answers,
    ) -> Result<Self, Error> {
        let folder = caller.folder(&hello.folder)?;
        let partition = control.partition(&folder);
        let limits = &control.limits;
        let named = (hello.name.as_str(), hello.person, hello.session_id.as_str());
        let session = control
            .ledger
            .transact(partition, &[], |tx| session::hello(tx, limits, caller, &folder, named))
            .await?;
        let notices = control.ledger.watch(partition, &session::topic(&session.id)).await?;
        let ready = control.ledger.watch(partition, &turn::ready_topic(&folder)).await?;
        let workers = Workers::new(control.clone(), partition, session.id.clone(), answers.clone());
        let mut attached = Self {
            control: control.clone(),
            partition,
            credit: Credit::new(&control.metrics, hello.credit),
            history: hello.history.min(MAX_HISTORY),
            session,
            answers,
            notices,
            ready,
            workers,
            inbox: Inbox::default(),
            _counted: Share::of(&control.metrics.agents, 1),
        };
        Span::current()
            .record("folder", attached.session.folder.to_string())
            .record("session", &attached.session.id);
        attached.welcome(&hello.held).await?;
        Ok(attached)
    }

    /// Says which turns the session still holds, and hands out again what never reached the agent.
    async fn welcome(&mut self, known: &[v1::HeldTurn]) -> Result<(), Error> {
        let mut held = self.held_turns().await?;
        let is_known =
            |turn: &Turn| known.iter().any(|k| k.turn_id == turn.id && k.attempt == turn.attempt);
        let limits = &self.control.limits;
        let welcome = v1::Welcome {
            session_id: self.session.id.clone(),
            lease: wire::duration(limits.lease),
            heartbeat_interval: wire::duration(limits.heartbeat),
            held: held.iter().filter(|turn| is_known(turn)).map(held_turn).collect(),
        };
        self.say(Answer::Welcome(welcome)).await;
        held.retain(|turn| !is_known(turn));
        for turn in held {
            if turn.next_seq > 1 {
                self.take_away(&turn).await?;
            } else {
                self.credit.take();
                self.hand_out(&turn).await?;
            }
        }
        Ok(())
    }

    /// Takes back the turns whose end the store has lost: the agent, who has forgotten them, would
    /// hold them until their deadline.
    async fn begin_again(&self) -> Result<(), Error> {
        for turn in self.held_turns().await? {
            if self.workers.has_ended(&turn) {
                self.take_away(&turn).await?;
            }
        }
        Ok(())
    }

    /// Takes back a turn that the agent has begun and forgotten: what it would say now would be
    /// taken for what it has said.
    async fn take_away(&self, turn: &Turn) -> Result<(), Error> {
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
        let mine = turns.into_iter().flatten().filter(|turn| turn.is_held_by(&self.session.id));
        Ok(mine.collect())
    }

    /// Claims a waiting turn if there is credit; says whether there was one.
    pub(super) async fn take_turn(&mut self) -> Result<bool, Error> {
        if self.credit.is_used_up() {
            return Ok(false);
        }
        let hold = (self.session.id.as_str(), self.session.epoch);
        let (ledger, limits) = (&self.control.ledger, &self.control.limits);
        let claimed = ledger.transact(self.partition, &[], |tx| turn::claim(tx, limits, hold));
        let turn = match claimed.await {
            Ok(Some(turn)) => turn,
            Ok(None) => return Ok(false),
            // Many reach for the same turns: after what the agent says, again.
            Err(Error::Busy) => return Ok(true),
            Err(error) => return Err(error),
        };
        self.credit.take();
        self.hand_out(&turn).await?;
        Ok(true)
    }

    /// Shows a person what waits, where that has changed.
    pub(super) async fn show_inbox(&mut self) -> Result<(), Error> {
        if self.session.person
            && let Some(inbox) = self.inbox.changed(&self.control, &self.session.folder).await?
        {
            self.say(Answer::Inbox(inbox)).await;
        }
        Ok(())
    }

    /// Hands out the turn that a person chose.
    async fn claim(&mut self, claim: v1::Claim) -> Result<(), Error> {
        let hold = (self.session.id.as_str(), self.session.epoch);
        let (ledger, limits) = (&self.control.ledger, &self.control.limits);
        let claiming = |tx: &mut Tx<'_>| {
            turn::claim_this(tx, limits, hold, &claim.turn_id, claim.conversation)
        };
        match ledger.transact(self.partition, &[], claiming).await? {
            Some(turn) => self.hand_out(&turn).await,
            None => {
                self.say(Answer::Lost(v1::Lost {
                    turn_id: claim.turn_id,
                    attempt: 0,
                    detail: "it waits no more".to_owned(),
                }))
                .await;
                Ok(())
            }
        }
    }

    async fn hand_out(&self, turn: &Turn) -> Result<(), Error> {
        let span = Milestone::handing_out(turn);
        let making = handout::turn(&self.control, self.partition, turn, self.history);
        let turn = making.instrument(span).await?;
        self.say(Answer::Turn(turn)).await;
        Ok(())
    }

    pub(super) async fn hear(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Hello(_) => Err(Refusal::invalid("Hello came before").into()),
            Message::Heartbeat(_) => {
                let (id, epoch) = (self.session.id.as_str(), self.session.epoch);
                let limits = &self.control.limits;
                let ledger = &self.control.ledger;
                ledger
                    .transact(self.partition, &[], |tx| session::heartbeat(tx, limits, id, epoch))
                    .await
            }
            Message::Credit(credit) => {
                self.credit.add(credit.turns);
                Ok(())
            }
            Message::Claim(claim) => self.claim(claim).await,
            about_a_turn => self.workers.hear(about_a_turn).await,
        }
    }

    /// Passes on what others tell the session; says whether it is still this stream's.
    pub(super) async fn notice(&mut self, wake: Wake) -> Result<bool, Error> {
        let notice = match wake {
            Wake::Published(line) => Notice::parse(&line),
            // Something may have been missed: ask after every turn that the agent thinks it has.
            Wake::Gap => {
                self.workers.ask_all().await?;
                self.begin_again().await?;
                None
            }
        };
        match notice {
            Some(Notice::Moved { epoch }) => return Ok(epoch <= self.session.epoch),
            Some(Notice::Cancel { turn, attempt }) => {
                self.workers.forget(turn.clone(), attempt);
                self.say(Answer::Cancel(v1::Cancel { turn_id: turn, attempt })).await;
            }
            Some(Notice::Lost { turn, attempt, why }) => {
                self.workers.forget(turn.clone(), attempt);
                self.say(Answer::Lost(v1::Lost { turn_id: turn, attempt, detail: why })).await;
            }
            None => {}
        }
        Ok(true)
    }

    /// The agent leaves in peace: what it holds goes back to the queue at once.
    pub(super) async fn leave(&mut self) -> Result<(), Error> {
        self.workers.settle().await;
        let (id, epoch) = (self.session.id.as_str(), self.session.epoch);
        let limits = &self.control.limits;
        let left = self
            .control
            .ledger
            .transact(self.partition, &[], |tx| session::goodbye(tx, limits, id, epoch));
        match left.await {
            // A newer stream speaks for the session: it goes on there.
            Err(Error::Refused(Refusal::SessionOver)) => Ok(()),
            other => other,
        }
    }

    /// This control is going: the agent is told, and what is on its way is stored. The session
    /// and its turns live on.
    pub(super) async fn drain(
        &mut self,
        requests: &mut Streaming<AttachRequest>,
    ) -> Result<(), Error> {
        self.say(Answer::Drain(v1::Drain { within: wire::duration(LAST_WORDS) })).await;
        let last_words = async {
            while let Ok(Some(AttachRequest { message: Some(message) })) = requests.message().await
            {
                self.hear(message).await?;
            }
            Ok(())
        };
        // The time is over: what was not acknowledged is sent again elsewhere.
        timeout(LAST_WORDS, last_words).await.unwrap_or(Ok(()))
    }

    async fn say(&self, answer: Answer) {
        // An agent that is gone shows as the end of its requests.
        let _ = self.answers.send(Ok(AttachResponse { message: Some(answer) })).await;
    }
}

fn held_turn(turn: &Turn) -> v1::HeldTurn {
    v1::HeldTurn { turn_id: turn.id.clone(), attempt: turn.attempt, next_seq: turn.next_seq }
}
