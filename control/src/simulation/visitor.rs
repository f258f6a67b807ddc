//! A visitor who sends messages, each until control has taken or refused it, and reads what comes.

use super::{
    history::{Accepted, History, READERS},
    world::Clients,
};
use arizuko_proto::v1::{
    Access, CancelTurnRequest, Cursor, EndReason, ErrorReason, PostMessageRequest, TokenKind,
    WatchRequest,
    watch_event::Event,
    watch_request::{Grant, Message as Said, Subscribe, subscribe::Target},
};
use fastrand::Rng;
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// How long a gateway waits for an answer of control.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many frames a reader takes before it says that it can take more.
const CREDIT: u32 = 4;

pub(super) struct Visitor {
    pub(super) clients: Clients,
    pub(super) history: History,
    pub(super) rng: Rng,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) token: String,
    pub(super) messages: usize,
}

impl Visitor {
    fn access(&self) -> Option<Access> {
        Some(Access { token: self.token.clone(), kind: TokenKind::Chat.into() })
    }

    /// Sends all messages. Returns early if the link has ended.
    pub(super) async fn run(mut self) {
        let mut conversation = String::new();
        for number in 0..self.messages {
            let text = format!("{} says {number}", self.name);
            let Some(accepted) = self.send(&conversation, &text).await else {
                return;
            };
            if conversation.is_empty() {
                conversation = accepted.conversation;
                for number in 0..READERS {
                    let reader = Reader {
                        clients: self.clients.clone(),
                        history: self.history.clone(),
                        rng: self.rng.fork(),
                        access: self.access(),
                        conversation: conversation.clone(),
                        number,
                    };
                    tokio::spawn(reader.run());
                }
            }
            if self.rng.u8(..8) == 0 {
                self.cancel(&accepted.turn).await;
            }
            sleep(Duration::from_millis(self.rng.u64(..8_000))).await;
        }
        self.history.say(&format!("{} has sent all messages", self.name));
    }

    /// Sends a message until control answers. `None`: the link has ended.
    async fn send(&mut self, conversation: &str, text: &str) -> Option<Accepted> {
        let request = PostMessageRequest {
            access: self.access(),
            conversation: conversation.to_owned(),
            content: text.as_bytes().to_vec().into(),
            idempotency_key: format!("a key of 22 characters for: {text}"),
            client_address: self.address.clone(),
            ..PostMessageRequest::default()
        };
        let sent = Instant::now();
        loop {
            let mut client = self.clients.gateway(&mut self.rng);
            let answer = timeout(PATIENCE, client.post_message(request.clone())).await;
            match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))) {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    let accepted = Accepted {
                        token: self.token.clone(),
                        conversation: answer.conversation,
                        turn: answer.turn_id,
                        text: text.to_owned(),
                        sent,
                    };
                    self.history.accept(accepted.clone());
                    return Some(accepted);
                }
                Err(status) if ErrorReason::of(&status) == Some(ErrorReason::TokenInvalid) => {
                    self.history.say(&format!("{}: the link has ended", self.name));
                    return None;
                }
                Err(status) => {
                    let passes = [
                        Code::Unavailable,
                        Code::DeadlineExceeded,
                        Code::ResourceExhausted,
                        Code::Cancelled,
                        Code::Unknown,
                        Code::Aborted,
                    ];
                    self.history.say(&format!("{text}: {:?} {}", status.code(), status.message()));
                    if !passes.contains(&status.code()) {
                        self.history.breach(&format!("{text} is refused: {status:?}"));
                    }
                }
            }
            sleep(Duration::from_millis(self.rng.u64(50..2_000))).await;
        }
    }

    async fn cancel(&mut self, turn: &str) {
        self.history.cancel(turn);
        let request = CancelTurnRequest { access: self.access(), turn_id: turn.to_owned() };
        let mut client = self.clients.gateway(&mut self.rng);
        let cancelled = timeout(PATIENCE, client.cancel_turn(request)).await;
        let outcome = if matches!(cancelled, Ok(Ok(_))) { "is done" } else { "failed" };
        self.history.say(&format!("the cancel of {turn} {outcome}"));
    }
}

/// Reads a conversation from its first frame on, at one control after another.
struct Reader {
    clients: Clients,
    history: History,
    rng: Rng,
    access: Option<Access>,
    conversation: String,
    number: usize,
}

impl Reader {
    async fn run(mut self) {
        let mut cursor = None;
        while self.follow(&mut cursor).await {
            sleep(Duration::from_millis(self.rng.u64(50..1_000))).await;
        }
    }

    /// Reads until the stream ends. Returns whether to go on at another control.
    async fn follow(&mut self, cursor: &mut Option<Cursor>) -> bool {
        let (requests, sent) = mpsc::channel(64);
        let subscribe = Subscribe {
            subscription: 1,
            access: self.access.clone(),
            target: Some(Target::Conversation(self.conversation.clone())),
            after: *cursor,
            credit: CREDIT,
        };
        let say = async |message| {
            let _ = requests.send(WatchRequest { message: Some(message) }).await;
        };
        say(Said::Subscribe(subscribe)).await;
        let mut client = self.clients.gateway(&mut self.rng);
        let opened = timeout(PATIENCE, client.watch(ReceiverStream::new(sent))).await;
        let Ok(Ok(opened)) = opened else { return true };
        let mut responses = opened.into_inner();
        while let Ok(Some(response)) = responses.message().await {
            for event in response.events.into_iter().filter_map(|event| event.event) {
                match event {
                    Event::Subscribed(_) => {}
                    Event::Frame(frame) => {
                        *cursor = frame.cursor;
                        let seq = frame.cursor.map_or(0, |cursor| cursor.seq);
                        self.history.read(&self.conversation, self.number, seq);
                        say(Said::Grant(Grant { subscription: 1, frames: 1 })).await;
                    }
                    Event::Reset(reset) => {
                        self.history.breach(&format!("a reader has to start over: {reset:?}"));
                    }
                    Event::Refused(refused) => {
                        return refused.reason() != ErrorReason::TokenInvalid;
                    }
                    Event::Ended(ended) => return ended.reason() != EndReason::Revoked,
                }
            }
        }
        true
    }
}
