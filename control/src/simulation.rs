//! The whole of control under faults: three controls on one store, with the real services, sessions,
//! readers and due items, in a simulated network, store and time. A run is determined by its seed, so
//! that a failure can be run again; `tests/simulation/run --help` says how.
//!
//! At the end of a run every promise is checked: each message that was taken is answered once, with
//! the whole reply; each reader had each frame once, in order; nothing is taken after a revocation
//! has returned; and everything goes on once the last fault has passed.

mod agent;
mod history;
mod judge;
mod network;
mod visitor;
mod way;
mod world;

use agent::Agent;
use arizuko_proto::v1::{IssueChatLinkRequest, RevokeTokenRequest, revoke_token_request::Target};
use fastrand::Rng;
use history::History;
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
use way::Weather;
use world::{CONTROLS, Clients, World};

const VISITORS: usize = 4;
const MESSAGES: usize = 5;
const AGENTS: usize = 2;
const FAULTS: usize = 12;
const PARTITIONS: u16 = 256;
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
    let mut world = World::new(rng.fork());
    for number in 0..CONTROLS {
        world.start(number).await;
    }
    let operator = world.operator();
    let links = [issue(&operator, &mut rng).await, issue(&operator, &mut rng).await];
    let mut crashes = Vec::new();
    for number in 0..AGENTS {
        let (crash, crashing) = mpsc::channel(1);
        let name = format!("agent {number}");
        let agent = Agent::new(world.operator(), history.clone(), rng.fork(), &name);
        tokio::spawn(agent.run(crashing));
        crashes.push(crash);
    }
    let gateway = world.gateway();
    let mut visitors = JoinSet::new();
    for number in 0..VISITORS {
        let visitor = Visitor {
            clients: gateway.clone(),
            history: history.clone(),
            rng: rng.fork(),
            name: format!("visitor {number}"),
            address: format!("192.0.2.{number}"),
            token: links[number % links.len()].0.clone(),
            messages: MESSAGES,
        };
        visitors.spawn(visitor.run());
    }
    for _ in 0..FAULTS {
        sleep(Duration::from_millis(rng.u64(200..4_000))).await;
        fault(&mut world, &history, &mut rng, &crashes).await;
    }
    if rng.bool() {
        let number = rng.usize(..CONTROLS);
        tokio::spawn(revoke(operator, history.clone(), rng.fork(), links[0].clone()));
        sleep(Duration::from_millis(rng.u64(..500))).await;
        history.say(&format!("control {number} is killed"));
        world.kill(number);
    }
    sleep(Duration::from_millis(rng.u64(..2_000))).await;
    world.heal().await;
    history.say("all is well again");
    let settling = async {
        while visitors.join_next().await.is_some() {}
        while !judge::is_settled(&world.sea.model, PARTITIONS, &history).await {
            sleep(Duration::from_secs(1)).await;
        }
    };
    if timeout(SETTLE, settling).await.is_err() {
        history.breach(&format!("nothing is settled {SETTLE:?} after the last fault"));
    }
    history.say("the end");
    judge::judge(&world.sea.model, PARTITIONS, &history).await;
    history
}

/// Issues a link. Returns its token and the token's id.
async fn issue(operator: &Clients, rng: &mut Rng) -> (String, String) {
    let request = IssueChatLinkRequest { folder: "acme".to_owned(), ..Default::default() };
    let issued = operator.tokens(rng).issue_chat_link(request).await;
    let issued = issued.expect("control issues links").into_inner();
    (issued.token, issued.token_id)
}

/// Revokes a link, at one control after another until one says that it is done.
async fn revoke(operator: Clients, history: History, mut rng: Rng, (token, id): (String, String)) {
    let target = Some(Target::TokenId(id));
    loop {
        let request = RevokeTokenRequest { target: target.clone(), dry_run: false };
        let mut tokens = operator.tokens(&mut rng);
        let revoked = timeout(Duration::from_secs(5), tokens.revoke_token(request)).await;
        if matches!(revoked, Ok(Ok(_))) {
            return history.revoke(&token);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Makes one random fault, which passes after a while.
async fn fault(world: &mut World, history: &History, rng: &mut Rng, crashes: &[mpsc::Sender<()>]) {
    let number = rng.usize(..CONTROLS);
    let while_ = Duration::from_millis(rng.u64(500..12_000));
    match rng.u8(..8) {
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
            world.network.set_frozen(number, true);
            let network = world.network.clone();
            tokio::spawn(async move {
                sleep(while_).await;
                network.set_frozen(number, false);
            });
        }
        6 => {
            let weather =
                *rng.choice(&[Weather::Slow, Weather::Lossy, Weather::Silent]).expect("one");
            history.say(&format!("{weather:?} between control {number} and the store, {while_:?}"));
            if let Some(way) = world.way(number) {
                way.set(weather);
                tokio::spawn(async move {
                    sleep(while_).await;
                    way.set(Weather::Fair);
                });
            }
        }
        _ => {
            let crash = rng.choice(crashes).expect("there are agents");
            let _ = crash.try_send(());
        }
    }
}
