//! A visitor who sends messages, each until control has taken or refused it, and reads what comes.

use super::{
    history::{Accepted, History, READERS},
    linear::{Did, Link},
    world::Clients,
};
use arizuko_proto::v1::{
    Access, CancelTurnRequest, Cursor, DeleteConversationRequest, EndReason, ErrorReason,
    PostMessageRequest, TokenKind, WatchRequest,
    watch_event::Event,
    watch_request::{Grant, Message as Said, Subscribe, subscribe::Target},
};
use fastrand::Rng;
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How long a gateway waits for an answer of control.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a visitor waits for a new day, at most.
const MIDNIGHT: Duration = Duration::from_secs(120);
/// How many frames control may have sent that a reader has not taken yet.
const CREDIT: u32 = 4;

pub(super) struct Visitor {
    pub(super) clients: Clients,
    pub(super) history: History,
    pub(super) rng: Rng,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) token: String,
    pub(super) messages: usize,
    pub(super) deletes: bool,
}

impl Visitor {
    fn access(&self) -> Option<Access> {
        Some(Access { token: self.token.clone(), kind: TokenKind::Chat.into() })
    }

    /// Sends all messages. Returns early if the link has ended, or its budget is spent.
    pub(super) async fn run(mut self) {
        let mut conversation = String::new();
        for number in 0..self.messages {
            let text = format!("{} says {number}", self.name);
            let Some(accepted) = self.send(&conversation, &text).await else {
                return;
            };
            if conversation.is_empty() {
                conversation.clone_from(&accepted.conversation);
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
            match self.rng.u8(..10) {
                0 => self.cancel(&accepted.turn).await,
                1 if self.deletes => {
                    self.delete(&conversation).await;
                    conversation.clear();
                }
                _ => {}
            }
            sleep(Duration::from_millis(self.rng.u64(..8_000))).await;
        }
        self.history.say(&format!("{} has sent all messages", self.name));
    }

    /// Sends a message until control takes it. `None`: the link has ended, or its budget is spent.
    async fn send(&mut self, conversation: &str, text: &str) -> Option<Accepted> {
        let request = PostMessageRequest {
            access: self.access(),
            conversation: conversation.to_owned(),
            content: text.as_bytes().to_vec().into(),
            idempotency_key: format!("a key of 22 characters for: {text}"),
            client_address: self.address.clone(),
            ..PostMessageRequest::default()
        };
        let sent = self.history.step();
        loop {
            let begun = self.history.step();
            let mut client = self.clients.gateway(&mut self.rng);
            let answer = timeout(PATIENCE, client.post_message(request.clone())).await;
            match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))) {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    self.history.call(&self.token, Did::Saw(Link::Open), sent);
                    let accepted = Accepted {
                        token: self.token.clone(),
                        conversation: answer.conversation,
                        turn: answer.turn_id,
                        text: text.to_owned(),
                        delivery: String::new(),
                        repeated: answer.repeated,
                        sent,
                    };
                    self.history.accept(accepted.clone());
                    return Some(accepted);
                }
                Err(status) if ErrorReason::of(&status) == Some(ErrorReason::TokenInvalid) => {
                    self.history.call(&self.token, Did::Saw(Link::Revoked), begun);
                    self.history.say(&format!("{}: the link has ended", self.name));
                    return None;
                }
                Err(status) if ErrorReason::of(&status) == Some(ErrorReason::LinkPaused) => {
                    self.history.call(&self.token, Did::Saw(Link::Paused), begun);
                }
                Err(status) if ErrorReason::of(&status) == Some(ErrorReason::BudgetSpent) => {
                    self.history.say(&format!("{text}: {}", status.message()));
                    let new_in = status.get_details_retry_info().and_then(|info| info.retry_delay);
                    if new_in.is_none_or(|new_in| new_in > MIDNIGHT) {
                        self.history.state().spent.insert(self.token.clone());
                        return None;
                    }
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
        self.history.state().cancelled.insert(turn.to_owned());
        let request = CancelTurnRequest { access: self.access(), turn_id: turn.to_owned() };
        let mut client = self.clients.gateway(&mut self.rng);
        let cancelled = timeout(PATIENCE, client.cancel_turn(request)).await;
        let outcome = if matches!(cancelled, Ok(Ok(_))) { "is done" } else { "failed" };
        self.history.say(&format!("the cancel of {turn} {outcome}"));
    }

    /// Deletes a conversation, however long it takes.
    async fn delete(&mut self, conversation: &str) {
        self.history.say(&format!("{} deletes {conversation}", self.name));
        self.history.state().deleted.insert(conversation.to_owned());
        loop {
            let request = DeleteConversationRequest {
                access: self.access(),
                conversation: conversation.to_owned(),
            };
            let mut client = self.clients.gateway(&mut self.rng);
            let deleted = timeout(PATIENCE, client.delete_conversation(request)).await;
            let reason = match deleted {
                Ok(Ok(_)) => Some(ErrorReason::NotFound),
                Ok(Err(status)) => ErrorReason::of(&status),
                Err(_) => None,
            };
            match reason {
                Some(ErrorReason::NotFound) => {
                    self.history.state().gone.insert(conversation.to_owned());
                    return;
                }
                Some(ErrorReason::TokenInvalid) => return,
                _ => {}
            }
            sleep(Duration::from_millis(self.rng.u64(50..2_000))).await;
        }
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
                        use ErrorReason::{NotFound, TokenInvalid};
                        return ![NotFound, TokenInvalid].contains(&refused.reason());
                    }
                    Event::Ended(ended) => {
                        return ![EndReason::Revoked, EndReason::Deleted].contains(&ended.reason());
                    }
                }
            }
        }
        true
    }
}
