//! The faults that a run makes.

use crate::Dice;
use arizuko_tests::prelude::*;

const AGENTS: usize = 3;
/// By how many seconds a fault sets clocks ahead (negative: behind).
const CLOCKS: [i64; 4] = [0, 3_600, -120, -3_600];

/// A stack, its agents, and the faults that it can have.
pub(crate) struct Faults {
    stack: Stack,
    agents: Vec<Process>,
    possible: Vec<Fault>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    KillControl,
    KillGateway,
    StopControl,
    StopGateway,
    KillAgent,
    FreezeControl,
    FreezeGateway,
    FreezeAgent,
    /// The connections to a control stay open, but nothing passes on them any more.
    SilenceControl,
    DropToControl,
    DelayToControl,
    SetClocks,
    SilenceRedis,
    SilenceSubscribers,
    DropToRedis,
    DelayToRedis,
    SetClockOfRedis,
    RestartRedis,
    FreezeRedis,
    CutSubscribers,
    FlushScripts,
    /// A server of a fleet, primary or replica, is away for so long that another may replace it.
    KillServer,
    FreezeServer,
    CutServer,
}

const ANYWHERE: [Fault; 12] = [
    Fault::KillControl,
    Fault::KillGateway,
    Fault::StopControl,
    Fault::StopGateway,
    Fault::KillAgent,
    Fault::FreezeControl,
    Fault::FreezeGateway,
    Fault::FreezeAgent,
    Fault::SilenceControl,
    Fault::DropToControl,
    Fault::DelayToControl,
    Fault::SetClocks,
];
const ON_ONE_REDIS: [Fault; 9] = [
    Fault::SilenceRedis,
    Fault::SilenceSubscribers,
    Fault::DropToRedis,
    Fault::DelayToRedis,
    Fault::SetClockOfRedis,
    Fault::RestartRedis,
    Fault::FreezeRedis,
    Fault::CutSubscribers,
    Fault::FlushScripts,
];
const IN_A_FLEET: [Fault; 3] = [Fault::KillServer, Fault::FreezeServer, Fault::CutServer];

impl Faults {
    pub(crate) fn begin(stack: Stack) -> Self {
        let more: &[Fault] = match stack.kind() {
            Kind::Embedded => &[],
            Kind::OneRedis | Kind::Pair => &ON_ONE_REDIS,
            Kind::Sentinel | Kind::Cluster => &IN_A_FLEET,
        };
        let agents = (0..AGENTS).map(|number| agent(&stack, number)).collect();
        let mut possible = [&ANYWHERE, more].concat();
        // Sets no clocks on the embedded store: it would take the wrong time at once when a later
        // fault restarts it.
        possible.retain(|fault| stack.kind() != Kind::Embedded || *fault != Fault::SetClocks);
        Self { agents, stack, possible }
    }

    /// Makes a random fault, and returns what it was. Returns only once the fault is over, if it is
    /// one that ends.
    pub(crate) async fn make_one(&mut self, dice: &mut Dice) -> &'static str {
        let which = if dice.roll(2) == 0 { A } else { B };
        let fault = self.possible[pick(dice, self.possible.len())];
        match fault {
            Fault::KillControl => {
                self.stack.restart(Control(which)).await;
                "controls killed"
            }
            Fault::KillGateway => {
                self.stack.restart(Gateway(which)).await;
                "gateways killed"
            }
            Fault::StopControl => self.stop(Control(which), "controls stopped").await,
            Fault::StopGateway => self.stop(Gateway(which), "gateways stopped").await,
            Fault::FreezeControl => {
                self.freeze(Control(which), dice.millis(5_000), "controls frozen").await
            }
            Fault::FreezeGateway => {
                self.freeze(Gateway(which), dice.millis(5_000), "gateways frozen").await
            }
            Fault::KillAgent => {
                let number = pick(dice, AGENTS);
                self.agents[number].kill();
                self.agents[number] = agent(&self.stack, number);
                "agents killed"
            }
            Fault::FreezeAgent => {
                let agent = &self.agents[pick(dice, AGENTS)];
                agent.signal(Signal::SIGSTOP);
                sleep(dice.millis(6_000)).await;
                agent.signal(Signal::SIGCONT);
                "agents frozen"
            }
            Fault::SilenceControl => {
                self.stack.to_control(which).silence();
                "half-open links to controls"
            }
            Fault::DropToControl => {
                let way = self.stack.to_control(which);
                drop_packets(way, dice.millis(2_500), "packets to controls dropped").await
            }
            Fault::DelayToControl => {
                let way = self.stack.to_control(which);
                delay(way, dice.millis(2_500), "links to controls delayed").await
            }
            Fault::SetClocks => {
                self.stack.set_clocks(&format!("{:+}s", CLOCKS[pick(dice, CLOCKS.len())]));
                "clocks of controls set"
            }
            fault => self.make_one_of_redis(fault, which, dice).await,
        }
    }

    async fn make_one_of_redis(
        &mut self,
        fault: Fault,
        which: Instance,
        dice: &mut Dice,
    ) -> &'static str {
        let stack = &mut self.stack;
        match fault {
            Fault::SilenceSubscribers => {
                stack.to_redis(which).silence_subscribers();
                "half-open links for wake-ups"
            }
            Fault::DropToRedis => {
                let way = stack.to_redis(which);
                drop_packets(way, dice.millis(2_500), "packets to Redis dropped").await
            }
            Fault::DelayToRedis => {
                let way = stack.to_redis(which);
                delay(way, dice.millis(2_500), "links to Redis delayed").await
            }
            Fault::SetClockOfRedis => {
                let seconds = CLOCKS[pick(dice, CLOCKS.len())];
                BOTH.iter().for_each(|control| stack.to_redis(*control).shift_clock(seconds));
                // If a control starts before the other one has noticed the jump, it can't know the
                // time that the other one keeps.
                sleep(Duration::from_secs(2)).await;
                "clocks of Redis set"
            }
            Fault::RestartRedis => {
                stack.redis().restart().await;
                "servers of Redis killed"
            }
            Fault::FreezeRedis => {
                stack.redis().freeze();
                sleep(dice.millis(2_500)).await;
                stack.redis().thaw();
                "servers of Redis frozen"
            }
            Fault::CutSubscribers => {
                stack.redis().ask(&["CLIENT", "KILL", "TYPE", "PUBSUB"]).await;
                "links for wake-ups cut"
            }
            Fault::FlushScripts => {
                stack.redis().ask(&["SCRIPT", "FLUSH"]).await;
                "scripts of Redis forgotten"
            }
            Fault::KillServer => {
                let server = pick(dice, stack.fleet().len());
                stack.fleet().kill(server);
                sleep(dice.millis(4_000)).await;
                stack.fleet().restart(server).await;
                stack.fleet().settle().await;
                "servers of Redis killed"
            }
            Fault::FreezeServer => {
                let server = pick(dice, stack.fleet().len());
                stack.fleet().signal(&[server], Signal::SIGSTOP);
                sleep(dice.millis(4_000)).await;
                stack.fleet().signal(&[server], Signal::SIGCONT);
                stack.fleet().settle().await;
                "servers of Redis frozen"
            }
            Fault::CutServer => {
                let server = pick(dice, stack.fleet().len());
                stack.fleet().cut(server).await;
                "links to servers of Redis cut"
            }
            _ => {
                stack.to_redis(which).silence();
                "half-open links to Redis"
            }
        }
    }

    async fn stop(&mut self, part: arizuko_tests::Part, what: &'static str) -> &'static str {
        self.stack.process(part).signal(Signal::SIGTERM);
        self.stack.process(part).exit().await;
        self.stack.restart(part).await;
        what
    }

    async fn freeze(
        &mut self,
        part: arizuko_tests::Part,
        pause: Duration,
        what: &'static str,
    ) -> &'static str {
        self.stack.process(part).signal(Signal::SIGSTOP);
        sleep(pause).await;
        self.stack.process(part).signal(Signal::SIGCONT);
        what
    }
}

fn pick(dice: &mut Dice, count: usize) -> usize {
    usize::try_from(dice.roll(count as u64)).unwrap_or_default()
}

async fn drop_packets(way: &Proxy, pause: Duration, what: &'static str) -> &'static str {
    way.drop_packets();
    sleep(pause).await;
    way.resume();
    what
}

async fn delay(way: &Proxy, pause: Duration, what: &'static str) -> &'static str {
    way.delay(Duration::from_millis(100));
    sleep(pause).await;
    way.delay(Duration::ZERO);
    what
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
