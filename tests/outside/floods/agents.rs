//! Floods by agents, whose keys may be in anybody's hands.

use super::Scene;
use arizuko_proto::v1::{
    SendMessageRequest, ShowTurnRequest, agent_service_client::AgentServiceClient,
    conversation_service_client::ConversationServiceClient,
};
use arizuko_tests::prelude::*;
use futures_util::future::join_all;
use tonic::Status;

fn is_limited<T>(answer: Result<T, Status>, wanted: ErrorReason) -> bool {
    answer.err().is_some_and(|status| reason(&status) == wanted)
}

#[apply(embedded)]
async fn turns_that_no_agent_has(kind: Kind) {
    let mut scene = Scene::new(kind, &[]).await;
    let wave = async |scene: &Scene| {
        let mut agent = scene.stack.attach("acme/flood", A).await;
        let accept = |turn_id| Said::Accept(v1::Accept { turn_id, attempt: 1 });
        for number in 0..300 {
            agent.say(accept(format!("{number:0>21}A"))).await;
        }
        agent.say(accept("A".repeat(1 << 20))).await;
        reason(&agent.ended().await.expect("a reason")) == ErrorReason::Invalid
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn replies_without_an_end(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_TURN_BYTES", "1000000")]).await;
    let visitor = scene.stack.visit("acme/flood").await.from_address("203.0.113.7");
    let words = "x".repeat(60_000);
    let wave = async |scene: &Scene| {
        let mut agent = scene.stack.attach("acme/flood", A).await;
        let turn = visitor.say("hello").await.turn;
        let mut held = agent.turn().await;
        for _ in 0..200 {
            agent.push(&mut held, vec![delta("m1", &words)]).await;
        }
        // A single frame may be too long, too.
        let another = visitor.say("hello").await.turn;
        let mut held = agent.turn().await;
        agent.push(&mut held, vec![delta("m1", &"x".repeat((64 << 10) + 1))]).await;
        let (one, other) = tokio::join!(visitor.end_of(&turn), visitor.end_of(&another));
        one["status"] == "failed" && other["status"] == "failed"
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn turns_that_go_back_and_forth(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_ADDRESS_RATE", "1000")]).await;
    let visitor = scene.stack.visit("acme/flood").await.from_address("203.0.113.7");
    let mut agents =
        [scene.stack.attach("acme/flood", A).await, scene.stack.attach("acme/other", A).await];
    let waiting = scene.stack.visit("acme/nobody").await;
    let mut conversations = ConversationServiceClient::new(scene.stack.operator(A).await);
    let wave = async |scene: &Scene| {
        let turn = visitor.say("whose is this?").await.turn;
        for number in 0..21 {
            let [agent, to] = [number % 2, (number + 1) % 2];
            let to = ["acme/flood", "acme/other"][to];
            let mut held = agents[agent].turn().await;
            agents[agent].push(&mut held, vec![handoff(to, "", false)]).await;
        }
        // A waiting turn moves with its conversation, and each move is noted.
        let posted = waiting.say("and this?").await;
        let folders = ["acme/nobody", "acme/else"];
        for number in 0..110 {
            let [from, to] = [folders[number % 2], folders[(number + 1) % 2]];
            scene.stack.assign(from, &posted.conversation, to, "").await;
        }
        let request = ShowTurnRequest { turn_id: public_id::turn(&posted.turn) };
        let shown = conversations.show_turn(request).await.expect("operators read").into_inner();
        let moves = shown.turn.expect("it is there").events.len();
        assert_eq!(moves, 100, "of 110");
        visitor.end_of(&turn).await["status"] == "failed"
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn an_agent_that_reads_no_turns(kind: Kind) {
    let mut scene = Scene::new(kind, &[]).await;
    let hook = scene.stack.issue_hook("acme/flood", "github", "").await;
    let hook = scene.stack.caller(&hook, A);
    let _deaf = scene.stack.session(A, hello("acme/flood", 10_000)).await;
    let body = "x".repeat(1 << 20);
    let mut taken = 0;
    let wave = async |_: &Scene| {
        for answer in join_all((0..4).map(|_| hook.post("text/plain", body.clone()))).await {
            answer.posted();
            taken += 1;
        }
        // These are many more turns than can wait to be sent to one agent (4 MiB).
        taken >= 100
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn sessions(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_KEY_SESSIONS", "5")]).await;
    let key = scene.stack.agent_key("acme/flood").await;
    let channel = connect(&scene.stack.control(A), Some(&key)).await;
    let wave = async |_: &Scene| {
        let attach = |_| Session::try_open(channel.clone(), hello("acme/flood", 10_000));
        let mut attached = join_all((0..20).map(attach)).await;
        attached.sort_by_key(Result::is_err);
        let mut refused = attached.split_off(5).into_iter();
        refused.all(|session| is_limited(session, ErrorReason::LimitReached))
    };
    scene.withstands(wave).await;
}

#[apply(embedded)]
async fn messages_that_nobody_asked_for(kind: Kind) {
    let mut scene = Scene::new(kind, &[("ARIZUKO_SPEECH_RATE", "10")]).await;
    let posted = scene.visitor("203.0.113.7").say("hello").await;
    let channel = scene.stack.operator(A).await;
    let speech = SendMessageRequest {
        folder: "acme".to_owned(),
        conversation: posted.conversation,
        content: "x".repeat(10_000),
        ..SendMessageRequest::default()
    };
    let wave = async |_: &Scene| {
        let send = |_| {
            let (mut agents, speech) = (AgentServiceClient::new(channel.clone()), speech.clone());
            async move { agents.send_message(speech).await }
        };
        let sent = join_all((0..20).map(send)).await;
        sent.into_iter().any(|sent| is_limited(sent, ErrorReason::RateLimited))
    };
    scene.withstands(wave).await;
}
