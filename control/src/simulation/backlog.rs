//! Many due items of one tenant, while the lease of another tenant's agent ends.

use super::{
    agent::Agent,
    history::History,
    operator::issue,
    world::{Clients, World},
};
use crate::{
    ids::TurnId,
    jid::FolderName,
    names::{self, Due},
    session::Session,
    store::{Batch, Partition, Store as _, Write},
};
use arizuko_proto::v1::{
    Accept, Access, AttachRequest, Hello, PostMessageRequest, TokenKind, Turn,
    attach_request::Message as Said, attach_response::Message as Heard,
};
use fastrand::Rng;
use std::time::Duration;
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;

/// How many items of the one tenant become due at once.
const ITEMS: usize = 3_000;
/// How long control may take for all of them, and to notice the end of another tenant's lease.
const BOUND: Duration = Duration::from_secs(1);

/// Checks that the due items of one tenant hold up nobody else, and are soon gone. `partition` is the
/// first tenant's.
pub(super) async fn check(world: &World, history: &History, rng: &mut Rng, partition: Partition) {
    let quiet = tenant(partition, rng.bool());
    history.say(&format!("the lease of an agent of {quiet} is to end"));
    let clients = world.operator();
    let (turn, _requests) = leave_a_turn(&clients, world.gateway(), rng, &quiet).await;
    let (_crash, crashing) = mpsc::channel(1);
    let agent = Agent::new(clients, history.clone(), rng.fork(), ("later", &quiet), false);
    let later = tokio::spawn(agent.run(crashing));
    let way = world.way(0).expect("all controls run");
    let sessions = world.sea.model.all::<Session>("session");
    let held = sessions.iter().find(|session| session.name == "holder").expect("it holds a turn");
    while way.now() < held.expires_at.as_millis() {
        sleep(Duration::from_millis(50)).await;
    }
    let (due, now) = (names::due().name, way.now());
    let writes = (0..ITEMS).map(|_| {
        let item = Due::Turn(TurnId::new(rng_bytes(rng)));
        Write::Add { set: due.clone(), member: item.to_string(), score: now - 3_600_000 }
    });
    let writes = writes.collect();
    let batch = Batch { partition, version: rng.u64(..), now, guards: Vec::new(), writes };
    world.sea.model.apply(&batch);
    history.say(&format!("{ITEMS} items of acme are due"));
    sleep(BOUND).await;
    if !history.state().delivered.contains_key(&(turn, 2)) {
        history.breach(&format!("the end of a lease of {quiet} was not noticed in {BOUND:?}"));
    }
    let left = world.sea.model.overdue(partition, &due, now);
    if left > 0 {
        history.breach(&format!("{left} due items are left after {BOUND:?}"));
    }
    later.abort();
}

/// Returns the name of a tenant whose partition is, or is not, this one.
fn tenant(partition: Partition, shares: bool) -> String {
    let names = (0..).map(|number| format!("quiet-{number}"));
    let is_right = |name: &String| {
        let folder = FolderName::parse(name).expect("a folder");
        (folder.partition(super::PARTITIONS) == partition) == shares
    };
    names.into_iter().find(is_right).expect("there are many names")
}

fn rng_bytes<const N: usize>(rng: &mut Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill(&mut bytes);
    bytes
}

/// Sends a message to a tenant, and lets an agent take its turn and vanish. Returns the turn, and the
/// agent's end of its stream: closing that would end the session at once.
async fn leave_a_turn(
    clients: &Clients,
    gateway: Clients,
    rng: &mut Rng,
    tenant: &str,
) -> (String, mpsc::Sender<AttachRequest>) {
    let link = issue(clients, rng, tenant, 0).await;
    let (requests, sent) = mpsc::channel(1);
    let (folder, name) = (tenant.to_owned(), "holder".to_owned());
    let hello = Said::Hello(Hello { folder, name, credit: 1, ..Hello::default() });
    let _ = requests.send(AttachRequest { message: Some(hello) }).await;
    let attached = clients.agent(rng).attach(ReceiverStream::new(sent)).await;
    let mut heard = attached.expect("control takes agents").into_inner();
    let message = PostMessageRequest {
        access: Some(Access { token: link.token, kind: TokenKind::Chat.into() }),
        content: "hello".into(),
        ..PostMessageRequest::default()
    };
    gateway.gateway(rng).post_message(message).await.expect("control takes messages");
    let mut taken = None;
    loop {
        let next = heard.message().await.expect("the stream goes on");
        match next.and_then(|next| next.message) {
            Some(Heard::Turn(Turn { turn_id, attempt, .. })) => {
                taken = Some(turn_id.clone());
                let accept = Said::Accept(Accept { turn_id, attempt });
                let _ = requests.send(AttachRequest { message: Some(accept) }).await;
            }
            // It is accepted.
            Some(Heard::Appended(_)) => return (taken.expect("it has come"), requests),
            _ => {}
        }
    }
}
