//! The order of delivery: one turn of a conversation at a time, oldest first, up to the credit.

use arizuko_tests::prelude::*;
use std::collections::{BTreeSet, HashMap};

#[apply(every_stack)]
async fn two_messages_in_one_second_are_both_answered_in_order(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let first = here.say("one").await;
    let second = there.say_in(&first.conversation, "two").await;
    let held = agent.turn().await;
    assert_eq!(held.turn.turn_id, first.turn);
    let waiting = here.json(&format!("{}/status", second.turn)).await;
    assert_eq!(waiting["status"], "queued", "one turn of a conversation at a time");
    agent.answer(held, "1").await;
    let held = agent.turn().await;
    assert_eq!(held.turn.turn_id, second.turn);
    agent.answer(held, "2").await;
    for (turn, text) in [(&first.turn, "1"), (&second.turn, "2")] {
        let snapshot = there.json(turn).await;
        assert_eq!(snapshot["status"], "done");
        assert_eq!(snapshot["assistant"][0]["content"], text);
    }
}

#[apply(every_stack)]
async fn each_of_many_messages_is_answered_once_and_in_order(kind: Kind) {
    let settings = [("ARIZUKO_ADDRESS_RATE", "10000"), ("ARIZUKO_LINK_RATE", "10000")];
    let stack = Stack::with(kind, &settings).await;
    let visitors = stack.visit_both("acme").await;
    let mut agents =
        [stack.session(A, hello("acme", 4)).await, stack.session(B, hello("acme", 4)).await];
    let talk = async |number: usize| {
        let visitor = &visitors[number % 2];
        let first = visitor.say("0").await;
        let second = visitor.say_in(&first.conversation, "1").await;
        let third = visitor.say_in(&first.conversation, "2").await;
        [first.turn, second.turn, third.turn]
    };
    let talking = futures_util::future::join_all((0..12).map(talk));
    let answering = async {
        let mut seen: HashMap<String, Vec<String>> = HashMap::new();
        let [one, other] = &mut agents;
        for _ in 0..36 {
            let (agent, held) = tokio::select! {
                turn = one.offered() => (&mut *one, turn),
                turn = other.offered() => (&mut *other, turn),
            };
            let text = String::from_utf8_lossy(&held.content).into_owned();
            seen.entry(held.conversation.clone()).or_default().push(text);
            agent.answer(Held { turn: held, seq: 1 }, "ok").await;
            agent.credit(1).await;
        }
        seen
    };
    let (turns, seen) = tokio::join!(talking, answering);
    assert_eq!(seen.len(), 12);
    assert!(seen.values().all(|order| order == &["0", "1", "2"]), "{seen:?}");
    for turn in turns.iter().flatten() {
        let snapshot = visitors[0].json(turn).await;
        assert_fields(&snapshot, json!({"status": "done", "attempt": 1}));
    }
}

/// The turns come one right after the other. None waits until control reads the queue again, which
/// it does every 10 s.
#[apply(every_stack)]
async fn an_agent_with_credit_gets_all_turns_that_wait(kind: Kind) {
    const TURNS: usize = 50;
    let room = [("ARIZUKO_ADDRESS_RATE", "100000"), ("ARIZUKO_ADDRESS_TURNS", "1000")];
    let stack = Stack::with(kind, &room).await;
    let visitor = stack.visit("acme").await;
    let mut posted = BTreeSet::new();
    for number in 0..TURNS {
        posted.insert(visitor.say(&format!("message {number}")).await.turn);
    }
    let mut agent = stack.session(B, hello("acme", 100)).await;
    let mut got = BTreeSet::new();
    let receiving = async {
        while got.len() < TURNS {
            got.insert(agent.turn().await.turn.turn_id);
        }
    };
    let all = tokio::time::timeout(Duration::from_secs(9), receiving).await;
    assert!(all.is_ok(), "{} of {TURNS} turns came", got.len());
    assert_eq!(got, posted);
}

#[apply(every_stack)]
async fn an_agent_gets_no_more_turns_than_its_credit(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = stack.session(B, hello("acme", 2)).await;
    let mut turns = Vec::new();
    for text in ["a", "b", "c", "d"] {
        turns.push(visitor.say(text).await.turn);
    }
    let (first, second) = (agent.turn().await, agent.turn().await);
    // Ending a turn gives no credit: the agent asks for another turn itself.
    agent.answer(first, "1").await;
    let status = async |turn: &str| {
        let standing = visitor.json(&format!("{turn}/status?wait=1")).await;
        standing["status"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(status(&turns[2]).await, "queued");
    agent.credit(1).await;
    let third = agent.turn().await;
    assert_eq!(third.turn.turn_id, turns[2]);
    assert_eq!(status(&turns[3]).await, "queued");
    agent.answer(second, "2").await;
    agent.answer(third, "3").await;
    agent.credit(5).await;
    let fourth = agent.turn().await;
    assert_eq!(fourth.turn.turn_id, turns[3]);
}

#[apply(every_stack)]
async fn a_new_agent_gets_the_queued_turns(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let first = visitor.say("one").await;
    let other = visitor.say("two").await;
    let mut agent = stack.attach("acme", B).await;
    for turn in [first.turn, other.turn] {
        let held = agent.turn().await;
        assert_eq!(held.turn.turn_id, turn, "the oldest first");
        agent.answer(held, "at last").await;
    }
}

#[apply(every_stack)]
async fn agents_of_one_folder_share_its_turns(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut one = stack.session(A, hello("acme", 1)).await;
    let mut other = stack.session(B, hello("acme", 1)).await;
    let (a, b) = (visitor.say("a").await, visitor.say("b").await);
    let (first, second) = (one.turn().await, other.turn().await);
    let mut handed = [first.turn.turn_id.clone(), second.turn.turn_id.clone()];
    let mut said = [a.turn, b.turn];
    handed.sort();
    said.sort();
    assert_eq!(handed, said, "each agent got one turn");
}

#[apply(every_stack)]
async fn a_turn_carries_as_much_history_as_the_agent_asks_for(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let wanted = Hello { history: 3, ..hello("acme", 100) };
    let mut agent = stack.session(B, wanted).await;
    let mut conversation = String::new();
    let mut histories = Vec::new();
    for text in ["one", "two", "three"] {
        let posted = match conversation.as_str() {
            "" => visitor.say(text).await,
            id => visitor.say_in(id, text).await,
        };
        conversation = posted.conversation;
        let mut held = agent.turn().await;
        let history = held.turn.history.iter().map(|m| m.content.clone()).collect::<Vec<_>>();
        histories.push(history);
        agent.append(&mut held, delta("m1", "re ")).await;
        agent.append(&mut held, delta("m1", text)).await;
        agent.finish(&held).await;
    }
    assert_eq!(histories[0], [""; 0]);
    assert_eq!(histories[1], ["one", "re one"]);
    assert_eq!(histories[2], ["re one", "two", "re two"], "the newest three, the oldest first");
}

#[apply(every_stack)]
async fn agents_of_other_folders_get_nothing(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let _others = [
        stack.attach("acme/eng", A).await,
        stack.attach("other", B).await,
        stack.attach("acmex", B).await,
    ];
    let posted = visitor.post_json(&json!({"content": "x"})).await;
    assert_eq!(posted.json()["agent_attached"], false);
    let turn = posted.posted().turn;
    let standing = visitor.json(&format!("{turn}/status?wait=2")).await;
    assert_fields(&standing, json!({"status": "queued", "agent_attached": false}));
}
