//! Floods of messages that control takes or refuses, by address, network, link and tenant.

use super::Scene;
use crate::chat::proof::solve;
use arizuko_proto::v1::{LinkLimits, ProofOfWork};
use arizuko_tests::prelude::*;
use futures_util::{
    future::join_all,
    stream::{FuturesUnordered, StreamExt as _},
};

/// Where a flood's messages go.
enum To {
    /// The honest visitor's link.
    TheLink,
    /// Another chat link, of this folder, which has no agent.
    AnotherLink(&'static str),
    /// A chat link that asks for a proof of work.
    ProvenLink,
    /// A webhook, of a folder without an agent.
    Hook,
}

/// A flood of messages, 20 in a wave.
struct Flood {
    limits: &'static [(&'static str, &'static str)],
    to: To,
    /// The address of the message with this number.
    from: fn(usize) -> String,
    bytes: usize,
    status: u16,
    reason: &'static str,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            limits: &[],
            to: To::AnotherLink("acme/nobody"),
            from: |number| format!("203.0.{}.{}", number / 200 % 200, number % 200),
            bytes: 5,
            status: 429,
            reason: "RATE_LIMITED",
        }
    }
}

impl Flood {
    async fn comes(self, kind: Kind) {
        let mut scene = Scene::new(kind, self.limits).await;
        let visitor = match self.to {
            To::TheLink => scene.visitor(""),
            To::AnotherLink(folder) => scene.stack.visit(folder).await,
            To::ProvenLink => {
                let link = proven(&scene.stack).await;
                scene.stack.visitor(&link, A)
            }
            To::Hook => {
                let hook = scene.stack.issue_hook("acme/nobody", "github", "").await;
                scene.stack.caller(&hook, A)
            }
        };
        let (content, mut sent) = ("x".repeat(self.bytes), 0);
        let wave = async |_: &Scene| {
            let posts = (sent..sent + 20).map(|number| {
                let sender = visitor.clone().from_address((self.from)(number));
                let content = content.clone();
                async move { sender.post("text/plain", content).await }
            });
            sent += 20;
            let mut was_refused = false;
            for answer in join_all(posts).await {
                if answer.status != 202 {
                    answer.refused(self.status, self.reason);
                    was_refused = true;
                }
            }
            was_refused
        };
        scene.withstands(wave).await;
    }
}

/// Issues a link that asks for a proof of work, in a folder without an agent.
async fn proven(stack: &Stack) -> Link {
    let proof_of_work = ProofOfWork::On.into();
    let limits = Some(LinkLimits { proof_of_work, ..LinkLimits::default() });
    let options = LinkOptions { limits, ..LinkOptions::default() };
    stack.issue_with("acme/nobody", "", options).await
}

/// One address.
fn one(_: usize) -> String {
    "203.0.113.7".to_owned()
}

/// Addresses of one network, one after the other.
fn network(number: usize) -> String {
    format!("2001:db8:1:{:x}::1", number % 60_000)
}

#[apply(embedded)]
async fn of_an_address(kind: Kind) {
    Flood { to: To::TheLink, from: one, ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn of_a_network(kind: Kind) {
    let limits = &[("ARIZUKO_ADDRESS_RATE", "12")];
    Flood { limits, to: To::TheLink, from: network, ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn to_a_link(kind: Kind) {
    let limits = &[("ARIZUKO_LINK_RATE", "60")];
    Flood { limits, ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn past_the_share_of_a_network(kind: Kind) {
    let limits = &[
        ("ARIZUKO_LINK_RATE", "1"),
        ("ARIZUKO_LINK_BURST", "100"),
        ("ARIZUKO_ADDRESS_RATE", "100000"),
    ];
    // The honest visitor, who is refused nothing, sends to the same link.
    Flood { limits, to: To::TheLink, from: one, ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn that_need_a_proof_of_work(kind: Kind) {
    let (status, reason) = (428, "PROOF_REQUIRED");
    Flood { to: To::ProvenLink, status, reason, ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn that_wait_of_an_address(kind: Kind) {
    let limits = &[("ARIZUKO_ADDRESS_TURNS", "3"), ("ARIZUKO_ADDRESS_RATE", "1000")];
    let reason = "TOO_MANY_TURNS";
    Flood { limits, from: one, reason, ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn that_wait_of_a_link(kind: Kind) {
    let limits = &[("ARIZUKO_LINK_TURNS", "50")];
    Flood { limits, reason: "TOO_MANY_TURNS", ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn to_a_webhook(kind: Kind) {
    let limits = &[("ARIZUKO_HOOK_BURST", "50")];
    Flood { limits, to: To::Hook, from: one, bytes: 10_000, ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn that_wait_of_a_webhook(kind: Kind) {
    let limits = &[("ARIZUKO_HOOK_TURNS", "50")];
    let reason = "TOO_MANY_TURNS";
    Flood { limits, to: To::Hook, from: one, reason, ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn that_are_too_long(kind: Kind) {
    let (status, reason) = (413, "TOO_LARGE");
    let bytes = (64 << 10) + 1;
    Flood { to: To::TheLink, bytes, status, reason, ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn that_a_link_keeps(kind: Kind) {
    let (limits, bytes) = (&[("ARIZUKO_LINK_BYTES", "1000000")], 50_000);
    Flood { limits, bytes, reason: "LIMIT_REACHED", ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn that_a_tenant_keeps(kind: Kind) {
    let (limits, bytes) = (&[("ARIZUKO_TENANT_BYTES", "1000000")], 50_000);
    let (to, reason) = (To::AnotherLink("other"), "LIMIT_REACHED");
    Flood { limits, to, bytes, reason, ..Flood::default() }.comes(kind).await;
}

#[apply(embedded)]
async fn that_repeat_a_proof_of_work(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_ADDRESS_REQUESTS", "1000000")]).await;
    let visitor = scene.stack.visitor(&proven(&scene.stack).await, A).from_address(one(0));
    let asked = visitor.post_json(&json!({"content": "hello"})).await.expect(428).json();
    let solved = json!({"content": "hello", "altcha": solve(&asked["challenge"]).await});
    visitor.post_json(&solved).await.posted();
    let wave = async |_: &Scene| {
        for answer in join_all((0..20).map(|_| visitor.post_json(&solved))).await {
            answer.refused(428, "PROOF_INVALID");
        }
        true
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn that_wait_of_a_conversation(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_ADDRESS_RATE", "1000")]).await;
    let visitor = scene.stack.visit("acme/nobody").await.from_address(one(0));
    let begun = visitor.say("hello").await;
    let more = json!({"content": "more", "conversation": begun.conversation});
    let wave = async |_: &Scene| {
        let answers = join_all((0..20).map(|_| visitor.post_json(&more))).await;
        let taken = answers.iter().filter(|answer| answer.status == 202).count();
        answers.into_iter().filter(|answer| answer.status != 202).for_each(|answer| {
            answer.refused(429, "TOO_MANY_TURNS");
        });
        taken <= 2
    };
    scene.withstands(wave).await;
}

/// The store hangs, so no message is answered; a gateway holds few of them all the same.
#[apply(one_redis)]
async fn messages_that_control_has_no_room_for(kind: Kind) {
    const ROOM: usize = 4;
    let settings = [("ARIZUKO_CONTROL_CALLS", "4"), ("ARIZUKO_ADDRESS_TURNS", "100")];
    let mut stack = Stack::with(kind, &settings).await;
    let visitor = stack.visit("acme").await;
    stack.redis().freeze();
    let message = json!({"content": "hello"});
    let sending = (0..3 * ROOM).map(|_| send(visitor.request(Method::POST, "").json(&message)));
    let mut answers = sending.collect::<FuturesUnordered<_>>();
    for _ in 0..2 * ROOM {
        let refused = within("a refusal", answers.next()).await.expect("there are more");
        refused.refused(503, "UNAVAILABLE");
    }
    stack.redis().thaw();
    while let Some(taken) = within("the others", answers.next()).await {
        taken.expect(202);
    }
}
