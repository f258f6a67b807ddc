//! Random faults under load. Not a part of `tests/run`:
//!
//!     cargo test --workspace --test soak -- <duration> <seed>
//!
//! Two controls and two gateways run over one Redis. Visitors send messages, read the replies at
//! both gateways and compare them; agents answer. About every second the seed picks a fault, such
//! as a process to kill or stop, or a link to delay or silence. A run ends with a summary, or at the
//! first guarantee that does not hold.

#![expect(clippy::print_stdout, reason = "it tells how it goes")]

use arizuko_proto::duration;
use arizuko_tests::prelude::*;
use arizuko_tests::run_for;
use std::{env, time::SystemTime};
use tokio::sync::watch;

const VISITORS: usize = 12;
const AGENTS: usize = 3;

const SETTINGS: [(&str, &str); 6] = [
    ("ARIZUKO_LEASE", "3s"),
    ("ARIZUKO_AGENT_HEARTBEAT", "500ms"),
    ("ARIZUKO_ATTEMPTS", "1000"),
    ("ARIZUKO_LINK_RATE", "60000"),
    ("ARIZUKO_ADDRESS_RATE", "60000"),
    ("ARIZUKO_RECHECK", "300s"),
];

fn main() {
    let mut arguments = env::args().skip(1);
    let length = arguments.next().unwrap_or_else(|| "2m".to_owned());
    let length = duration::parse(&length).unwrap_or_else(|wrong| panic!("{wrong}"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let clock = now.map_or(1, |now| now.as_secs());
    let seed = arguments.next().and_then(|seed| seed.parse().ok()).unwrap_or(clock);
    println!("soak for {}, seed {seed}", duration::print(length));
    let limit = length + Duration::from_secs(300);
    run_for(limit, Kind::Pair, |kind| soak(kind, length, Dice(seed | 1)));
}

/// Pseudo-random numbers from a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

async fn soak(kind: Kind, length: Duration, mut dice: Dice) {
    let mut stack = Stack::with_proxies(kind, &SETTINGS).await;
    let link = stack.issue("acme").await;
    let mut agents: Vec<_> = (0..AGENTS).map(|number| agent(&stack, number)).collect();
    let (over, ending) = watch::channel(false);
    let visitors = (0..VISITORS).map(|number| {
        let visitors = stack.visitors(&link);
        tokio::spawn(visit(number, visitors, ending.clone()))
    });
    let visitors: Vec<_> = visitors.collect();

    let (begun, mut faults) = (Instant::now(), 0);
    while begun.elapsed() < length {
        let fault = dice.roll(13);
        break_something(&mut stack, &mut agents, &mut dice, fault).await;
        faults += 1;
        sleep(Duration::from_millis(300 + dice.roll(1_500))).await;
    }
    over.send_replace(true);
    let mut turns = 0;
    for visitor in visitors {
        turns += visitor.await.expect("every promise held");
    }
    println!("{faults} faults, {turns} turns, each answered once and read whole by both");
}

fn agent(stack: &Stack, number: usize) -> Process {
    let mut exec = stack.program("arizuko");
    exec.args(["agent", "exec", "--folder", "acme", "--concurrency", "8"]);
    for control in [number, number + 1] {
        exec.arg("--control").arg(stack.control(BOTH[control % 2]));
    }
    exec.env("ARIZUKO_KEY", stack.operator_key());
    exec.args(["--", "python3", "-IS"]).arg(script("echo.py"));
    Process::start(&format!("agent-{number}"), exec, &stack.logs())
}

async fn break_something(stack: &mut Stack, agents: &mut [Process], dice: &mut Dice, fault: u64) {
    let which = if dice.roll(2) == 0 { A } else { B };
    match fault {
        0 => stack.restart(Control(which)).await,
        1 => stack.restart(Gateway(which)).await,
        2 => {
            let control = stack.process(Control(which));
            control.signal(Signal::SIGTERM);
            control.exit().await;
            stack.restart(Control(which)).await;
        }
        3 => {
            let number = usize::try_from(dice.roll(AGENTS as u64)).unwrap_or(0);
            agents[number].kill();
            agents[number] = agent(stack, number);
        }
        4 => stack.to_redis(which).silence(),
        5 => stack.to_redis(which).silence_subscribers(),
        6 => stack.to_control(which).silence(),
        7 => stack.redis().restart().await,
        8 => drop(stack.redis().ask(&["CLIENT", "KILL", "TYPE", "PUBSUB"]).await),
        9 => drop(stack.redis().ask(&["SCRIPT", "FLUSH"]).await),
        fault => {
            let pause = Duration::from_millis(dice.roll(2_500));
            break_for(stack, which, fault, pause).await;
        }
    }
}

async fn break_for(stack: &mut Stack, which: Instance, fault: u64, pause: Duration) {
    match fault {
        10 => {
            stack.redis().freeze();
            sleep(pause).await;
            stack.redis().thaw();
        }
        11 => {
            stack.to_redis(which).drop_packets();
            sleep(pause).await;
            stack.to_redis(which).resume();
        }
        _ => {
            stack.to_redis(which).delay(Duration::from_millis(100));
            sleep(pause).await;
            stack.to_redis(which).delay(Duration::ZERO);
        }
    }
}

/// Sends messages and reads the replies until the end. Returns how many turns there were.
async fn visit(number: usize, visitors: [Visitor; 2], ending: watch::Receiver<bool>) -> usize {
    let (mut turns, mut conversation) = (0, String::new());
    while !*ending.borrow() {
        let message = format!("{number}.{turns} ");
        let posted = say(&visitors, &conversation, &message).await;
        conversation.clone_from(&posted.conversation);
        let (here, there) = tokio::join!(
            read_to_the_end(&visitors[0], &posted.turn),
            read_to_the_end(&visitors[1], &posted.turn),
        );
        assert_eq!(here, there, "both have read the same");
        let text = text(&here);
        assert_eq!(text, message.repeat(5), "{:?}", names(&here));
        let ends = names(&here).iter().filter(|name| **name == "turn_done").count();
        assert_eq!(ends, 1, "{:?}", names(&here));
        let numbers = here.iter().filter_map(|event| event.data["n"].as_u64());
        assert!(numbers.eq(1..=here.len() as u64), "{here:?}");
        turns += 1;
    }
    turns
}

/// Repeats a message with one idempotency key until it is taken.
async fn say(visitors: &[Visitor; 2], conversation: &str, content: &str) -> Posted {
    let key = random_id();
    let message = match conversation {
        "" => json!({"content": content}),
        conversation => json!({"content": content, "conversation": conversation}),
    };
    for visitor in visitors.iter().cycle() {
        let request = visitor.request(Method::POST, "");
        let request = request.header("idempotency-key", &key).json(&message);
        match try_send(request).await {
            Ok(answer) if answer.status == 202 => return answer.posted(),
            Ok(answer) => assert!(
                [429, 503, 504].contains(&answer.status.as_u16()),
                "{}: {}",
                answer.status,
                answer.text()
            ),
            Err(_) => {}
        }
        sleep(Duration::from_millis(200)).await;
    }
    unreachable!("there are visitors")
}
