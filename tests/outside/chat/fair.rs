//! No visitor keeps the others from a link or from its agent.

use arizuko_tests::prelude::*;
use futures_util::future::join_all;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// Trusts forwarded addresses.
const ADDRESSES: [(&str, &str); 1] = [("ARIZUKO_TRUSTED_PROXY", "127.0.0.0/8")];
/// How many honest visitors there are, and how many addresses the attacker has.
const COUNT: usize = 20;
/// How many messages each honest visitor sends, each after the answer to the one before.
const MESSAGES: usize = 3;

/// A visitor who sends from an address.
#[derive(Clone)]
struct Somebody {
    visitor: Visitor,
    address: String,
}

impl Somebody {
    fn at(stack: &Stack, link: &Link, gateway: Instance, address: String) -> Self {
        Self { visitor: stack.visitor(link, gateway).from_address(&address), address }
    }

    /// Sends a message in a new conversation, and returns the answer.
    async fn try_say(&self, content: &str) -> arizuko_tests::http::Answer {
        self.visitor.post_json(&json!({"content": content})).await
    }
}

/// Sends the messages of the honest visitors, and answers one turn after the other until each of
/// these messages that was taken has an answer. Returns how many turns the agent answered during
/// the longest wait of an honest visitor, and how many of the honest visitors' messages were taken.
async fn serve(agent: &mut Session, honest: &[Somebody]) -> (usize, usize) {
    let mut asked_at = HashMap::new();
    let (mut taken, mut longest, mut answered) = (0, 0, 0);
    let first = join_all(honest.iter().map(|somebody| somebody.try_say(&somebody.address))).await;
    for (somebody, answer) in honest.iter().zip(first) {
        if answer.status == 202 {
            asked_at.insert(somebody.address.clone(), (1, answered));
            taken += 1;
        }
    }
    while !asked_at.is_empty() {
        let held = agent.turn().await;
        let from = String::from_utf8_lossy(&held.turn.content).into_owned();
        agent.answer(held, "answered").await;
        answered += 1;
        if let Some((number, at)) = asked_at.remove(&from) {
            longest = longest.max(answered - at);
            let somebody = honest.iter().find(|somebody| somebody.address == from);
            if number < MESSAGES
                && let Some(somebody) = somebody
                && somebody.try_say(&from).await.status == 202
            {
                asked_at.insert(from, (number + 1, answered));
                taken += 1;
            }
        }
        agent.credit(1).await;
    }
    (longest, taken)
}

/// Starts to send messages from all addresses until `stop` is set, as fast as they are taken and a
/// hundred times a second once they are refused. Returns once each address has been refused.
async fn attack(attackers: Vec<Somebody>, stop: &Arc<AtomicBool>) {
    let begun = attackers.into_iter().map(|attacker| {
        let (refused, was_refused) = tokio::sync::oneshot::channel();
        let stop = stop.clone();
        tokio::spawn(async move {
            let mut refused = Some(refused);
            while !stop.load(Relaxed) {
                if attacker.try_say("attack").await.status == 429 {
                    refused.take().map(|refused| refused.send(()));
                    sleep(Duration::from_millis(10)).await;
                }
            }
        });
        was_refused
    });
    within("each attacker to be refused", join_all(begun)).await;
}

async fn a_slow_agent_under_attack(kind: Kind, address: fn(usize) -> String) {
    let stack = Stack::with_default_turns(kind, &ADDRESSES).await;
    let link = stack.issue("acme").await;
    let somebody = |number: usize, address| Somebody::at(&stack, &link, BOTH[number % 2], address);
    let honest: Vec<_> =
        (0..COUNT).map(|number| somebody(number, format!("192.0.2.{number}"))).collect();
    let attackers: Vec<_> = (0..COUNT).map(|number| somebody(number, address(number))).collect();
    let mut agent = stack.session(B, hello("acme", 1)).await;
    let (usual, _) = serve(&mut agent, &honest).await;
    // The agent answers nothing until each attacker has been refused.
    let stop = Arc::new(AtomicBool::new(false));
    attack(attackers, &stop).await;
    let (longest, taken) = serve(&mut agent, &honest).await;
    stop.store(true, Relaxed);
    let all = COUNT * MESSAGES;
    assert!(taken * 100 >= all * 95, "{taken} of {all} messages were taken");
    assert!(longest <= 3 * usual, "one waited for {longest} turns of the agent, usually {usual}");
}

#[apply(embedded_and_pair)]
async fn an_attack_from_twenty_addresses_does_not_delay_the_others(kind: Kind) {
    a_slow_agent_under_attack(kind, |number| format!("198.51.100.{number}")).await;
}

#[apply(embedded)]
async fn an_attack_from_one_ipv6_site_does_not_delay_the_others(kind: Kind) {
    a_slow_agent_under_attack(kind, |number| format!("2001:db8:1:{number:x}::1")).await;
}

#[apply(embedded)]
async fn nobody_is_refused_because_others_wait_for_a_person(kind: Kind) {
    let stack = Stack::with_default_turns(kind, &ADDRESSES).await;
    let link = stack.issue("acme").await;
    let at = |address: &str| Somebody::at(&stack, &link, A, address.to_owned());
    for number in 0..40 {
        at(&format!("192.0.2.{number}")).try_say("is anybody there?").await.posted();
    }
    // An address may have three open turns in all its conversations. A /64 counts as one address.
    for interface in 1..=3 {
        at(&format!("2001:db8:1:1::{interface}")).try_say("x").await.posted();
    }
    let refused = at("2001:db8:1:1::4").try_say("x").await.refused(429, "TOO_MANY_TURNS");
    assert!(refused.retry_after() >= 1);
    // A /48 may have as many open turns as four addresses.
    let mut taken = 3;
    for subnet in 2..=5 {
        for _ in 0..3 {
            taken += usize::from(
                at(&format!("2001:db8:1:{subnet}::1")).try_say("x").await.status == 202,
            );
        }
    }
    assert_eq!(taken, 12);
    at("2001:db8:2:1::1").try_say("x").await.posted();
    // Each turn that ends makes room for another.
    let mut agent = stack.attach("acme", B).await;
    for _ in 0..53 {
        agent.answer_next("at last").await;
    }
    at("2001:db8:1:1::4").try_say("x").await.posted();
}

#[apply(embedded_and_pair)]
async fn links_of_a_folder_take_turns(kind: Kind) {
    let stack = Stack::with_default_turns(kind, &ADDRESSES).await;
    let (busy, quiet) = (stack.issue("acme").await, stack.issue("acme").await);
    let hook = stack.caller(&stack.issue_hook("acme", "ci", "").await, A);
    for number in 0..15 {
        let address = format!("192.0.2.{number}");
        Somebody::at(&stack, &busy, A, address).try_say("busy").await.posted();
    }
    join_all((0..30).map(|_| hook.post("text/plain", "hook"))).await;
    for number in 0..2 {
        let address = format!("198.51.100.{number}");
        Somebody::at(&stack, &quiet, B, address).try_say("quiet").await.posted();
    }
    let mut agent = stack.session(B, hello("acme", 1)).await;
    let mut order = Vec::new();
    for _ in 0..19 {
        let held = agent.turn().await;
        order.push(String::from_utf8_lossy(&held.turn.content).into_owned());
        agent.answer(held, "ok").await;
        agent.credit(1).await;
    }
    // First comes one turn of each link, then one turn of each visitor who has had none, then the
    // webhook's next turn.
    assert_eq!(order[..3].iter().collect::<HashSet<_>>().len(), 3, "{order:?}");
    assert_eq!(order[3..17].iter().filter(|from| *from == "busy").count(), 14, "{order:?}");
    assert_eq!(order[17..], ["quiet", "hook"], "{order:?}");
}

#[apply(embedded_and_one_redis)]
async fn one_address_leaves_some_of_the_links_rate_to_the_others(kind: Kind) {
    let settings = [
        ("ARIZUKO_TRUSTED_PROXY", "127.0.0.0/8"),
        ("ARIZUKO_LINK_RATE", "1"),
        ("ARIZUKO_LINK_BURST", "40"),
        ("ARIZUKO_ADDRESS_RATE", "60000"),
    ];
    let stack = Stack::with(kind, &settings).await;
    let link = stack.issue("acme").await;
    let at = |address: &str| Somebody::at(&stack, &link, A, address.to_owned());
    let (greedy, mut taken) = (at("192.0.2.1"), 0);
    while greedy.try_say("more").await.status == 202 {
        taken += 1;
    }
    assert!((20..35).contains(&taken), "it took {taken} of 40");
    assert!(greedy.try_say("more").await.refused(429, "RATE_LIMITED").retry_after() >= 1);
    for number in 2..7 {
        at(&format!("192.0.2.{number}")).try_say("hello").await.posted();
    }
}
