//! Many due items of one tenant, while the lease of another tenant's agent ends.

use super::{
    agent::Agent,
    held::{Held, hold},
    history::History,
    world::World,
};
use crate::{
    ids::TurnId,
    jid::FolderName,
    names::{self, Due},
    session::Session,
    store::{Batch, Partition, Store as _, Write},
};
use fastrand::Rng;
use std::time::Duration;
use tokio::{sync::mpsc, time::sleep};

/// How many items of the one tenant become due at once.
const ITEMS: usize = 3_000;
/// How long control may take for all of them, and to notice the end of another tenant's lease.
const BOUND: Duration = Duration::from_secs(1);
/// How much longer control may take for the items if each commit waits for a replica.
const VOUCHED: Duration = Duration::from_secs(1);

/// Checks that the due items of one tenant hold up nobody else, and are soon gone. `partition` is
/// the partition of the tenant with the items.
pub(super) async fn check(world: &World, history: &History, rng: &mut Rng, partition: Partition) {
    let quiet = tenant(partition, rng.bool());
    history.say(&format!("the lease of an agent of {quiet} is to end"));
    let clients = world.operator();
    // The agent vanishes, but its end of the stream stays: closing that would end the session at
    // once.
    let Held { turn, requests: _requests, .. } =
        hold(&clients, &world.gateway(), rng, &quiet).await;
    let (_crash, crashing) = mpsc::channel(1);
    let agent = Agent::new(clients, history.clone(), rng.fork(), ("later", &quiet), false);
    let later = tokio::spawn(agent.run(crashing));
    let store = world.store(0).expect("all controls run");
    let sessions = world.servers.model().all::<Session>("session");
    let held = sessions.iter().find(|session| session.name == "holder").expect("it holds a turn");
    // The items are written before they are due, as commits write them.
    let (due, now, at) = (names::due().name, store.now(), held.expires_at.as_millis());
    let writes = (0..ITEMS).map(|_| {
        let item = Due::Turn(TurnId::new(rng_bytes(rng)));
        Write::Add { set: due.clone(), member: item.to_string(), score: at - 1 }
    });
    let writes = writes.collect();
    let batch = Batch { partition, version: rng.u64(..), now, guards: Vec::new(), writes };
    world.servers.model().apply(&batch);
    while store.now() < at {
        sleep(Duration::from_millis(50)).await;
    }
    history.say(&format!("{ITEMS} items of acme are due"));
    sleep(BOUND).await;
    if !history.state().delivered.contains_key(&(turn, 2)) {
        history.breach(&format!("the end of a lease of {quiet} was not noticed in {BOUND:?}"));
    }
    let more = if world.replicas > 0 { VOUCHED } else { Duration::ZERO };
    sleep(more).await;
    let left = world.servers.model().overdue(partition, &due, at);
    if left > 0 {
        history.breach(&format!("{left} due items are left after {:?}", BOUND + more));
    }
    later.abort();
}

/// Returns the name of a tenant that is in this partition if `shares`, and in another one if not.
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
