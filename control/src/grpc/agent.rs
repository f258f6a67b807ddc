//! AgentService: an agent's stream, and the session that it speaks for.

use super::{Service, status, wire};
use crate::{
    frame::Body,
    key::Caller,
    ledger::Error,
    server::{Control, KeyWatch},
    session::{self, Notice, Session},
    store::{Partition, Subscription, Wake},
    transaction::Refusal,
    turn::{self, Turn},
};
use arizuko_proto::v1::{
    self, AttachRequest, AttachResponse, attach_request::Message,
    attach_response::Message as Answer,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

mod handout;
mod workers;

use workers::Workers;

/// How many answers wait for one agent.
const BACKLOG: usize = 64;
/// How often a queue is looked at when no wake-up comes.
const PATROL: Duration = Duration::from_secs(1);
/// How long an agent may take to say Hello.
const GREETING: Duration = Duration::from_secs(10);
const MAX_CREDIT: u32 = 10_000;
const MAX_HISTORY: u32 = 200;
/// How long a draining control still stores what is on its way.
const LAST_WORDS: Duration = Duration::from_millis(500);

type Answers = mpsc::Sender<Result<AttachResponse, Status>>;

#[tonic::async_trait]
impl v1::agent_service_server::AgentService for Service {
    type AttachStream = ReceiverStream<Result<AttachResponse, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let caller = self.caller(&request).await?;
        let (answers, stream) = mpsc::channel(BACKLOG);
        let control = self.0.clone();
        let requests = request.into_inner();
        tokio::spawn(async move {
            if let Err(error) = serve(&control, &caller, requests, &answers).await {
                // An agent that is gone needs no farewell.
                let _ = answers.send(Err(status::from(error))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Serves one stream until either side ends it.
async fn serve(
    control: &Arc<Control>,
    caller: &Caller,
    mut requests: Streaming<AttachRequest>,
    answers: &Answers,
) -> Result<(), Error> {
    let Ok(Some(AttachRequest {
        message: Some(Message::Hello(hello)),
    })) = timeout(GREETING, requests.message())
        .await
        .unwrap_or(Ok(None))
    else {
        return Err(Refusal::invalid("the first message is Hello").into());
    };
    let key = KeyWatch::start(control, caller).await?;
    let mut attached = Attached::open(control, caller, hello, answers.clone()).await?;
    let mut patrol = interval(PATROL);
    let mut look = true;
    loop {
        // One turn at a time: what the agent says is heard in between.
        if look {
            look = attached.take_turn().await?;
        }
        tokio::select! {
            // There may be another turn: wait for nothing.
            () = std::future::ready(()), if look => {}
            request = requests.message() => match request {
                Ok(Some(AttachRequest { message: Some(message) })) => {
                    look |= matches!(message, Message::Credit(_));
                    attached.hear(message).await?;
                }
                Ok(Some(_)) => return Err(Refusal::invalid("an empty message").into()),
                Ok(None) => return attached.leave().await,
                // The link broke. The lease decides whether the agent comes back in time.
                Err(_) => return Ok(()),
            },
            wake = attached.notices.next() => {
                if !attached.notice(wake).await? {
                    return Err(Refusal::SessionOver.into());
                }
            }
            _ = attached.ready.next() => look = true,
            _ = patrol.tick() => look = true,
            error = attached.workers.failed() => return Err(error),
            () = key.ended() => {
                attached.leave().await?;
                return Err(Refusal::KeyInvalid.into());
            }
            () = control.draining.cancelled() => return attached.drain(&mut requests).await,
        }
    }
}

/// An agent's end of its session.
struct Attached {
    control: Arc<Control>,
    partition: Partition,
    session: Session,
    credit: u32,
    history: u32,
    answers: Answers,
    /// What others tell this session.
    notices: Subscription,
    /// That turns of its folder are waiting.
    ready: Subscription,
    workers: Workers,
}

impl Attached {
    async fn open(
        control: &Arc<Control>,
        caller: &Caller,
        hello: v1::Hello,
        answers: Answers,
    ) -> Result<Self, Error> {
        let folder = caller.folder(&hello.folder)?;
        let partition = control.partition(&folder);
        let limits = &control.limits;
        let named = (hello.name.as_str(), hello.session_id.as_str());
        let session = control
            .ledger
            .transact(partition, &[], |tx| {
                session::hello(tx, limits, caller, &folder, named)
            })
            .await?;
        let notices = control
            .ledger
            .watch(partition, &session::topic(&session.id))
            .await?;
        let ready = control
            .ledger
            .watch(partition, &turn::ready_topic(&folder))
            .await?;
        let workers = Workers::new(
            control.clone(),
            partition,
            session.id.clone(),
            answers.clone(),
        );
        let mut attached = Self {
            control: control.clone(),
            partition,
            credit: hello.credit.min(MAX_CREDIT),
            history: hello.history.min(MAX_HISTORY),
            session,
            answers,
            notices,
            ready,
            workers,
        };
        attached.welcome(&hello.held).await?;
        Ok(attached)
    }

    /// Says which turns the session still holds, and hands out again what never reached the agent.
    async fn welcome(&mut self, known: &[v1::HeldTurn]) -> Result<(), Error> {
        let held = self.held_turns().await?;
        let is_known = |turn: &Turn| {
            known
                .iter()
                .any(|k| k.turn_id == turn.id && k.attempt == turn.attempt)
        };
        let limits = &self.control.limits;
        let welcome = v1::Welcome {
            session_id: self.session.id.clone(),
            lease: wire::duration(limits.lease),
            heartbeat_interval: wire::duration(limits.heartbeat),
            held: held
                .iter()
                .filter(|turn| is_known(turn))
                .map(held_turn)
                .collect(),
        };
        self.say(Answer::Welcome(welcome)).await;
        for turn in held.iter().filter(|turn| !is_known(turn)) {
            self.credit = self.credit.saturating_sub(1);
            self.hand_out(turn).await?;
        }
        Ok(())
    }

    async fn held_turns(&self) -> Result<Vec<Turn>, Error> {
        let ledger = &self.control.ledger;
        let set = session::held(&self.session.id);
        let members = ledger
            .members(self.partition, set, (0, u64::MAX), u32::MAX)
            .await?;
        let records = members.iter().map(|member| turn::record(&member.name));
        let turns = ledger.records::<Turn>(self.partition, records).await?;
        let mine = turns
            .into_iter()
            .flatten()
            .filter(|turn| turn.is_held_by(&self.session.id));
        Ok(mine.collect())
    }

    /// Claims a waiting turn if there is credit; says whether there was one.
    async fn take_turn(&mut self) -> Result<bool, Error> {
        if self.credit == 0 {
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
        self.credit -= 1;
        self.hand_out(&turn).await?;
        Ok(true)
    }

    async fn hand_out(&self, turn: &Turn) -> Result<(), Error> {
        let turn = handout::turn(&self.control, self.partition, turn, self.history).await?;
        self.say(Answer::Turn(turn)).await;
        Ok(())
    }

    async fn hear(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Hello(_) => Err(Refusal::invalid("Hello came before").into()),
            Message::Heartbeat(_) => {
                let (id, epoch) = (self.session.id.as_str(), self.session.epoch);
                let limits = &self.control.limits;
                let ledger = &self.control.ledger;
                ledger
                    .transact(self.partition, &[], |tx| {
                        session::heartbeat(tx, limits, id, epoch)
                    })
                    .await
            }
            Message::Credit(credit) => {
                self.credit = self.credit.saturating_add(credit.turns).min(MAX_CREDIT);
                Ok(())
            }
            about_a_turn => self.workers.hear(about_a_turn).await,
        }
    }

    /// Passes on what others tell the session; says whether it is still this stream's.
    async fn notice(&mut self, wake: Wake) -> Result<bool, Error> {
        let notice = match wake {
            Wake::Published(line) => Notice::parse(&line),
            // Something may have been missed: ask after every turn that the agent thinks it has.
            Wake::Gap => {
                self.workers.ask_all().await?;
                None
            }
        };
        match notice {
            Some(Notice::Moved { epoch }) => return Ok(epoch <= self.session.epoch),
            Some(Notice::Cancel { turn, attempt }) => {
                self.workers.forget(turn.clone(), attempt);
                self.say(Answer::Cancel(v1::Cancel {
                    turn_id: turn,
                    attempt,
                }))
                .await;
            }
            Some(Notice::Lost { turn, attempt, why }) => {
                self.workers.forget(turn.clone(), attempt);
                self.say(Answer::Lost(v1::Lost {
                    turn_id: turn,
                    attempt,
                    detail: why,
                }))
                .await;
            }
            None => {}
        }
        Ok(true)
    }

    /// The agent leaves in peace: what it holds goes back to the queue at once.
    async fn leave(&mut self) -> Result<(), Error> {
        self.workers.settle().await;
        let (id, epoch) = (self.session.id.as_str(), self.session.epoch);
        let limits = &self.control.limits;
        let left = self.control.ledger.transact(self.partition, &[], |tx| {
            session::goodbye(tx, limits, id, epoch)
        });
        match left.await {
            // A newer stream speaks for the session: it goes on there.
            Err(Error::Refused(Refusal::SessionOver)) => Ok(()),
            other => other,
        }
    }

    /// This control is going: the agent is told, and what is on its way is stored. The session
    /// and its turns live on.
    async fn drain(&mut self, requests: &mut Streaming<AttachRequest>) -> Result<(), Error> {
        self.say(Answer::Drain(v1::Drain {
            within: wire::duration(LAST_WORDS),
        }))
        .await;
        let last_words = async {
            while let Ok(Some(AttachRequest {
                message: Some(message),
            })) = requests.message().await
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
        let _ = self
            .answers
            .send(Ok(AttachResponse {
                message: Some(answer),
            }))
            .await;
    }
}

fn held_turn(turn: &Turn) -> v1::HeldTurn {
    v1::HeldTurn {
        turn_id: turn.id.clone(),
        attempt: turn.attempt,
        next_seq: turn.next_seq,
    }
}

/// An agent's frame, its message's id made unique in the conversation.
fn body(frame: v1::AgentFrame, turn: &str, attempt: u32) -> Result<Body, Refusal> {
    let id = |id: String| match id.chars().count() {
        1..=64 => Ok(format!("{turn}.{attempt}.{id}")),
        _ => Err(Refusal::invalid("a message's id has 1 to 64 characters")),
    };
    use v1::agent_frame::Body as Wire;
    match frame.body {
        Some(Wire::Message(message)) => Ok(Body::Message {
            id: id(message.id)?,
            content: message.content,
        }),
        Some(Wire::Delta(delta)) => Ok(Body::Delta {
            id: id(delta.id)?,
            text: delta.text,
        }),
        Some(Wire::Status(text)) => Ok(Body::Status { text }),
        None => Err(Refusal::invalid("an empty frame")),
    }
}
