//! The sender of a webhook: sends each delivery until it is answered, and some again.

use super::{
    history::{Accepted, History},
    linear::{Did, Link},
    world::Clients,
};
use arizuko_proto::v1::{Access, ErrorReason, Header, HookRequest, PostMessageRequest, TokenKind};
use fastrand::Rng;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a gateway waits for an answer of control.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Sender {
    pub(super) clients: Clients,
    pub(super) history: History,
    pub(super) rng: Rng,
    pub(super) token: String,
    pub(super) deliveries: usize,
}

impl Sender {
    pub(super) async fn run(mut self) {
        for number in 0..self.deliveries {
            let times = self.rng.u32(1..=3);
            for _ in 0..times {
                self.send(number).await;
                sleep(Duration::from_millis(self.rng.u64(..4_000))).await;
            }
        }
    }

    /// Sends a delivery until control takes it.
    async fn send(&mut self, number: usize) {
        let (delivery, text) = (format!("id-{number}"), format!("delivery {number}"));
        let header = Header {
            name: "x-github-delivery".to_owned(),
            value: delivery.clone().into_bytes().into(),
        };
        let sent = self.history.step();
        loop {
            let request = PostMessageRequest {
                access: Some(Access { token: self.token.clone(), kind: TokenKind::Hook.into() }),
                content: text.clone().into_bytes().into(),
                headers: vec![header.clone()],
                request: Some(HookRequest { method: "POST".to_owned(), ..HookRequest::default() }),
                idempotency_key: format!("of the gateway {}", self.rng.u64(..)),
                ..PostMessageRequest::default()
            };
            let begun = self.history.step();
            let mut client = self.clients.gateway(&mut self.rng);
            match timeout(PATIENCE, client.post_message(request)).await {
                Ok(Ok(answer)) => {
                    let answer = answer.into_inner();
                    if !answer.repeated {
                        self.history.call(&self.token, Did::Saw(Link::Open), sent);
                    }
                    return self.history.accept(Accepted {
                        token: self.token.clone(),
                        conversation: answer.conversation,
                        turn: answer.turn_id,
                        text,
                        delivery,
                        repeated: answer.repeated,
                        sent,
                    });
                }
                Ok(Err(status)) if ErrorReason::of(&status) == Some(ErrorReason::LinkPaused) => {
                    self.history.call(&self.token, Did::Saw(Link::Paused), begun);
                }
                Ok(Err(status)) => self.history.say(&format!("{delivery}: {}", status.message())),
                Err(_) => self.history.say(&format!("{delivery}: no answer")),
            }
            sleep(Duration::from_millis(self.rng.u64(50..2_000))).await;
        }
    }
}
