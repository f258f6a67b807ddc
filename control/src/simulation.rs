//! The whole of control under faults: three controls on one Redis, with the real services,
//! sessions, readers and due items, and the real store down to its connections, in a simulated
//! network and time. Redis is a model that speaks its protocol. A run is determined by its seed, so
//! that a failure can be run again; `tests/simulation/run --help` says how.
//!
//! At the end of a run every promise is checked: each message that was taken is answered once, with
//! the whole reply, by those to whom it was handed off; each reader had each frame once, in order;
//! a webhook's delivery makes one turn; no budget is overshot; what is deleted is gone; some order
//! explains all that was taken, refused, paused and revoked; and everything goes on once the last
//! fault has passed.

mod agent;
mod backlog;
mod balance;
mod burst;
mod held;
mod history;
mod judge;
mod linear;
mod network;
mod operator;
mod redis;
mod sender;
mod visitor;
mod world;

use crate::{
    ids::TokenId,
    jid::FolderName,
    store::{Read, Store as _},
};
use agent::{Agent, DESK, HOME};
use fastrand::Rng;
use history::History;
use network::{Line, Network};
use operator::{Operator, issue, issue_hook};
use sender::Sender;
use std::{
    env,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{
    runtime,
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use visitor::Visitor;
use world::{CONTROLS, World};

const VISITORS: usize = 6;
const MESSAGES: usize = 5;
/// How many turns the third link takes in a day; its two visitors send more.
const BUDGET: u32 = 4;
/// The agents and the person: the name, the folder, and whether it is a person.
const AGENTS: [(&str, &str, bool); 4] = [
    ("agent 0", HOME, false),
    ("agent 1", HOME, false),
    ("agent 2", DESK, false),
    ("a person", DESK, true),
];
const SENDERS: usize = 2;
const DELIVERIES: usize = 3;
const PAUSES: usize = 3;
const FAULTS: usize = 12;
/// How many seconds the store's clock is ahead (negative: behind).
const CLOCKS: [i64; 4] = [0, 3_600, -120, -3_600];
/// How long it takes until every control has noticed that the clock was set.
const NOTICED: Duration = Duration::from_secs(4);
/// How long it takes until a silent connection to Redis is replaced.
const REPLACED: Duration = Duration::from_secs(2);
/// One run in this many ends with a backlog of due items or, in some of the runs whose commits wait
/// for replicas, with a burst of frames.
const LOADS: u8 = 4;
const PARTITIONS: u16 = 4;
/// How long everything may take to settle after the last fault: a session's lease and a few
/// attempts.
const SETTLE: Duration = Duration::from_secs(120);

/// How many threads or tasks have panicked.
static PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
#[ignore = "tests/simulation/run runs it, with a seed"]
#[expect(clippy::print_stderr, reason = "it prints what happened")]
fn a_seed() {
    let seed = env::var("ARIZUKO_SEED").expect("ARIZUKO_SEED is set");
    let seed: u64 = seed.parse().expect("ARIZUKO_SEED is a number");
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        shown(panic);
    }));
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let history = runtime.expect("a runtime").block_on(simulate(Rng::with_seed(seed)));
    let panics = PANICS.load(Ordering::Relaxed);
    if panics > 0 {
        history.breach(&format!("{panics} tasks have panicked"));
    }
    let breaches = history.breaches();
    if !breaches.is_empty() || env::var("ARIZUKO_TRACE").is_ok() {
        eprintln!("{}", history.trace());
    }
    assert!(breaches.is_empty(), "seed {seed}: {breaches:#?}");
}

/// Lets visitors and agents work under faults, and then without any until all is settled.
async fn simulate(mut rng: Rng) -> History {
    let history = History::begin();
    let (replicas, distance) = (rng.usize(..2), Duration::from_micros(rng.u64(100..5_000)));
    history.say(&format!("replicas that must vouch: {replicas}, {distance:?} away"));
    let mut world = World::new(rng.fork(), history.clone(), replicas, distance);
    for number in 0..CONTROLS {
        world.start(number).await;
    }
    let operator = world.operator();
    let links = [
        issue(&operator, &mut rng, HOME, 0).await,
        issue(&operator, &mut rng, HOME, 0).await,
        issue(&operator, &mut rng, HOME, BUDGET).await,
    ];
    let hook = issue_hook(&operator, &mut rng).await;
    let mut crashes = Vec::new();
    for (name, folder, person) in AGENTS {
        let (crash, crashing) = mpsc::channel(1);
        let (clients, history) = (world.operator(), history.clone());
        let agent = Agent::new(clients, history, rng.fork(), (name, folder), person);
        tokio::spawn(agent.run(crashing));
        crashes.push(crash);
    }
    let gateway = world.gateway();
    let mut callers = JoinSet::new();
    for number in 0..VISITORS {
        let visitor = Visitor {
            clients: gateway.clone(),
            history: history.clone(),
            rng: rng.fork(),
            name: format!("visitor {number}"),
            address: format!("192.0.2.{number}"),
            token: links[number % links.len()].token.clone(),
            messages: MESSAGES,
            // The turns of the link with a budget are counted at the end.
            deletes: number % links.len() != 2,
        };
        callers.spawn(visitor.run());
    }
    for _ in 0..SENDERS {
        let sender = Sender {
            clients: gateway.clone(),
            history: history.clone(),
            rng: rng.fork(),
            token: hook.token.clone(),
            deliveries: DELIVERIES,
        };
        callers.spawn(sender.run());
    }
    let clients = operator.clone();
    let operate = |rng: &mut Rng| Operator {
        clients: clients.clone(),
        history: history.clone(),
        rng: rng.fork(),
    };
    let paused = [links[0].clone(), links[1].clone(), hook.clone()];
    callers.spawn(operate(&mut rng).pause(paused.into(), PAUSES));
    for _ in 0..FAULTS {
        sleep(Duration::from_millis(rng.u64(200..4_000))).await;
        fault(&mut world, &history, &mut rng, &crashes).await;
    }
    if rng.bool() {
        let number = rng.usize(..CONTROLS);
        callers.spawn(operate(&mut rng).revoke(links[0].clone()));
        sleep(Duration::from_millis(rng.u64(..500))).await;
        history.say(&format!("control {number} is killed"));
        world.kill(number);
    }
    sleep(Duration::from_millis(rng.u64(..2_000))).await;
    world.heal().await;
    history.say("all is well again");
    let settling = async {
        while callers.join_next().await.is_some() {}
        while !judge::is_settled(&world.servers.model(), PARTITIONS, &history).await {
            sleep(Duration::from_secs(1)).await;
        }
    };
    if timeout(SETTLE, settling).await.is_err() {
        history.breach(&format!("nothing is settled {SETTLE:?} after the last fault"));
    } else if rng.u8(..LOADS) == 0 {
        // The last fault may have been a connection that went silent just now.
        sleep(REPLACED).await;
        if world.replicas > 0 && rng.bool() {
            burst::check(&world, &history, &mut rng).await;
        } else {
            let partition = FolderName::parse(HOME).expect("a folder").partition(PARTITIONS);
            backlog::check(&world, &history, &mut rng, partition).await;
        }
    }
    history.say("the end");
    let budgets = [(links[2].token.clone(), TokenId::from(links[2].id.clone()), BUDGET as usize)];
    judge::judge(&world.servers.model(), PARTITIONS, &history, &budgets).await;
    history
}

/// Makes one random fault.
async fn fault(world: &mut World, history: &History, rng: &mut Rng, crashes: &[mpsc::Sender<()>]) {
    let number = rng.usize(..CONTROLS);
    let while_ = Duration::from_millis(rng.u64(500..12_000));
    match rng.u8(..12) {
        0 => {
            history.say(&format!("control {number} is killed"));
            world.kill(number);
        }
        1 => {
            history.say(&format!("control {number} is asked to stop"));
            world.stop(number);
        }
        2 | 3 => {
            history.say("the controls that were down start again");
            world.heal().await;
        }
        4 => {
            history.say(&format!("the connections to control {number} are cut"));
            world.network.cut(number);
        }
        5 => {
            history.say(&format!("the connections to control {number} freeze for {while_:?}"));
            spoil(&world.network, number, Line::Frozen, while_);
        }
        6 => {
            let line = *rng.choice(&[Line::Slow, Line::Lossy, Line::Frozen]).expect("one");
            history.say(&format!("{line:?} between control {number} and Redis, {while_:?}"));
            if let Some(way) = world.way(number) {
                spoil(&world.network, way, line, while_);
            }
        }
        7 if world.serves() => {
            let seconds = *rng.choice(&CLOCKS).expect("one");
            history.say(&format!("the clock of Redis is {seconds} s wrong"));
            world.open_ways();
            world.servers.set_clock(seconds * 1_000);
            // A control that starts before the others have noticed can't know their time.
            sleep(NOTICED).await;
        }
        8 => silence(world, history, number).await,
        9 => {
            history.say("Redis starts again");
            world.cut_ways();
            world.servers.restart();
        }
        10 if world.replicas > 0 => {
            history.say("the replica takes over");
            world.cut_ways();
            world.servers.fail_over();
        }
        _ => {
            let crash = rng.choice(crashes).expect("there are agents");
            let _ = crash.try_send(());
        }
    }
}

/// Lets a control's open connections to Redis go silent for good, and checks that they are
/// replaced.
async fn silence(world: &World, history: &History, number: usize) {
    let (Some(way), Some(store)) = (world.way(number), world.store(number)) else { return };
    history.say(&format!("the connections of control {number} to Redis go silent for good"));
    world.network.strand(way);
    let read = [Read::Record("none".to_owned())];
    let asking = async { while store.load(0, &read).await.is_err() {} };
    if timeout(REPLACED, asking).await.is_err() {
        history.breach(&format!("Redis is out of reach {REPLACED:?} later"));
    }
}

/// Spoils the connections to a host for a while.
fn spoil(network: &Network, host: usize, line: Line, while_: Duration) {
    network.set(host, line);
    let network = network.clone();
    tokio::spawn(async move {
        sleep(while_).await;
        network.set(host, Line::Open);
    });
}
