//! Two people in one folder.

use super::SEATS;
use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn a_turn_that_one_person_takes_disappears_for_the_other(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", A).await;
        let mut ben = stack.person(seat, "acme/people", "Ben", B).await;
        let first = visitor.say("first").await;
        for person in [&mut ann, &mut ben] {
            person.sees("1 waits").await;
        }
        let second = visitor.say("second").await;
        for person in [&mut ann, &mut ben] {
            person.sees("2 waits").await;
        }
        ann.asks("/open 1", "first").await;
        // Ben's list follows within a second.
        while ben.asks("/list", "2 waits").await.contains("1 waits") {}
        let list = ann.asks("/list", "1 is yours").await;
        assert!(list.contains("2 waits"), "{list}");
        ben.asks("/open 2", "second").await;
        ben.asks("from Ben", "Sent.").await;
        ann.asks("from Ann", "Sent.").await;
        for (posted, name) in [(first, "Ann"), (second, "Ben")] {
            visitor.end_of(&posted.turn).await;
            let said = visitor.get(&posted.turn).await.json();
            assert_eq!(said["assistant"][0]["name"], name);
        }
        for mut person in [ann, ben] {
            person.asks("/close", "closed").await;
        }
    }
}

#[apply(every_stack)]
async fn the_slower_of_two_people_is_told(stack: Stack) {
    let visitor = stack.visit("acme/people").await;
    for seat in SEATS {
        let mut ann = stack.person(seat, "acme/people", "Ann", A).await;
        let mut ben = stack.person(seat, "acme/people", "Ben", B).await;
        visitor.say("hello").await;
        for person in [&mut ann, &mut ben] {
            person.sees("1 waits").await;
        }
        for person in [&mut ann, &mut ben] {
            person.enter("/open 1");
        }
        let (ann_is_late, ben_is_late) = tokio::join!(is_late(&mut ann), is_late(&mut ben));
        // The slower person is not always told. They may have opened the conversation without its
        // turn, which the other person holds.
        let status = stack.arizuko(&["status", "--json"]).await.expect(0).json();
        let sessions = status["sessions"].as_array().expect("a list").iter();
        let holders = sessions.filter(|session| session["held"] == 1);
        let holders: Vec<_> = holders.map(|session| &session["name"]).collect();
        assert_eq!(holders.len(), 1, "one of them holds the turn: {status}");
        let (mut winner, winner_is_late) = match holders[0] == "Ann" {
            true => (ann, ann_is_late),
            false => (ben, ben_is_late),
        };
        assert!(!winner_is_late);
        winner.asks("ok", "Sent.").await;
        winner.asks("/close", "closed").await;
    }
}

/// Whether the person's `/open` came too late: somebody else has the turn.
async fn is_late(person: &mut arizuko_tests::person::Person) -> bool {
    person.enter("/help");
    let shown = person.sees("/list ").await;
    let is_late = shown.contains("Somebody else has");
    assert_ne!(is_late, shown.contains("visitor, "), "{shown}");
    is_late
}
