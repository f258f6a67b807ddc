//! Tests of a session's ledger, in which each test plays control.

use super::*;
use arizuko_proto::v1::{AgentDelta, Handoff, HeldTurn, agent_frame::Body};

/// A ledger for two turns at a time, welcomed on its first stream.
fn session() -> Ledger {
    welcomed(2)
}

/// A person's ledger, welcomed on its first stream.
fn person() -> Ledger {
    welcomed(0)
}

fn welcomed(concurrency: u32) -> Ledger {
    let mut ledger = Ledger::new(Hello::default(), concurrency);
    let (_, hello) = ledger.hello();
    assert_eq!(hello.credit, concurrency);
    ledger.welcome(&hello, welcome(Vec::new()));
    ledger
}

fn welcome(held: Vec<HeldTurn>) -> Welcome {
    let session_id = "s".into();
    Welcome { session_id, lease: None, heartbeat_interval: None, held }
}

fn turn(turn_id: &str, attempt: u32) -> Turn {
    Turn { turn_id: turn_id.into(), attempt, ..Turn::default() }
}

fn hold(turn_id: &str) -> Hold {
    Hold { turn_id: turn_id.into(), attempt: 1 }
}

fn frame(text: &str) -> AgentFrame {
    let delta = AgentDelta { id: "m1".into(), text: text.into() };
    AgentFrame { body: Some(Body::Delta(delta)) }
}

fn stored(turn_id: &str, next_seq: u64, finished: bool) -> Appended {
    Appended { turn_id: turn_id.into(), attempt: 1, next_seq, finished }
}

/// Returns all that the ledger has to say now, as short words.
fn said(ledger: &mut Ledger) -> Vec<String> {
    let mut words = Vec::new();
    loop {
        words.push(match ledger.next(ledger.stream) {
            Step::Wait => return words,
            Step::Close => "close".into(),
            Step::Send(Request::Accept(accept)) => format!("accept {}", accept.turn_id),
            Step::Send(Request::Append(append)) => {
                format!("append {} {}+{}", append.turn_id, append.seq, append.frames.len())
            }
            Step::Send(Request::Finish(finish)) if finish.failed => {
                format!("fail {}", finish.turn_id)
            }
            Step::Send(Request::Finish(finish)) => {
                format!("finish {} {}", finish.turn_id, finish.seq)
            }
            Step::Send(Request::Reject(reject)) => format!("reject {}", reject.turn_id),
            Step::Send(Request::Credit(credit)) => format!("credit {}", credit.turns),
            Step::Send(Request::Claim(claim)) => format!("claim {}", claim.turn_id),
            Step::Send(Request::Heartbeat(_)) => "heartbeat".into(),
            Step::Send(Request::Hello(_)) => "hello".into(),
        });
        if words.last().is_some_and(|word| word == "close") {
            return words;
        }
    }
}

#[test]
fn a_turn_is_accepted_streamed_finished_and_its_place_returned() {
    let mut ledger = session();
    ledger.turn(&turn("a", 1)).unwrap();
    assert_eq!(said(&mut ledger), ["accept a"]);
    ledger.push(&hold("a"), frame("1")).unwrap();
    ledger.push(&hold("a"), frame("2")).unwrap();
    assert_eq!(said(&mut ledger), ["append a 1+2"]);
    ledger.finish(&hold("a"), Ok(()));
    assert_eq!(said(&mut ledger), ["finish a 3"]);
    ledger.appended(stored("a", 3, false));
    assert_eq!(said(&mut ledger), [""; 0], "the place is taken until Finish is acknowledged");
    ledger.appended(stored("a", 3, true));
    assert_eq!(said(&mut ledger), ["credit 1"]);
}

#[test]
fn another_stream_continues_from_the_frame_that_control_expects() {
    let mut ledger = session();
    let work = ledger.turn(&turn("a", 1)).unwrap();
    for text in ["1", "2", "3"] {
        ledger.push(&hold("a"), frame(text)).unwrap();
    }
    ledger.finish(&hold("a"), Ok(()));
    assert_eq!(said(&mut ledger), ["accept a", "append a 1+3", "finish a 4"]);

    let (stream, hello) = ledger.hello();
    assert_eq!((hello.session_id.as_str(), hello.credit, hello.held[0].next_seq), ("s", 1, 4));
    assert_eq!(ledger.next(stream), Step::Wait, "nothing before Welcome");
    assert_eq!(ledger.next(stream - 1), Step::Close, "the old stream is silent");
    let held = HeldTurn { turn_id: "a".into(), attempt: 1, next_seq: 2 };
    ledger.welcome(&hello, welcome(vec![held]));
    assert_eq!(said(&mut ledger), ["accept a", "append a 2+2", "finish a 4"]);
    assert!(!work.cancelled.is_cancelled());
}

#[test]
fn a_turn_that_welcome_leaves_out_is_lost() {
    let mut ledger = session();
    let work = ledger.turn(&turn("a", 1)).unwrap();
    let (_, hello) = ledger.hello();
    ledger.welcome(&hello, welcome(Vec::new()));
    assert!(work.cancelled.is_cancelled());
    assert!(ledger.push(&hold("a"), frame("1")).is_err());
    assert_eq!(said(&mut ledger), [""; 0], "its handler still takes up the place");
    ledger.finish(&hold("a"), Ok(()));
    assert_eq!(said(&mut ledger), ["credit 1"]);
}

#[test]
fn frames_that_a_failover_lost_are_sent_again() {
    let mut ledger = session();
    ledger.turn(&turn("a", 1)).unwrap();
    for text in ["1", "2", "3"] {
        ledger.push(&hold("a"), frame(text)).unwrap();
        said(&mut ledger);
    }
    ledger.appended(stored("a", 4, false));
    ledger.appended(stored("a", 2, false));
    assert_eq!(said(&mut ledger), ["append a 2+2"]);
}

#[test]
fn unanswered_requests_are_sent_again_with_the_heartbeats() {
    let mut ledger = session();
    ledger.turn(&turn("a", 1)).unwrap();
    ledger.push(&hold("a"), frame("1")).unwrap();
    ledger.finish(&hold("a"), Ok(()));
    said(&mut ledger);
    ledger.beat();
    assert_eq!(said(&mut ledger), ["heartbeat", "finish a 2"]);
    ledger.beat();
    assert_eq!(said(&mut ledger), ["heartbeat", "append a 1+1", "finish a 2"]);
}

#[test]
fn turns_share_the_stream_fairly() {
    let mut ledger = session();
    for name in ["a", "b"] {
        ledger.turn(&turn(name, 1)).unwrap();
    }
    said(&mut ledger);
    for name in ["a", "b", "a", "b"] {
        let frame = frame(&"x".repeat(50_000));
        ledger.push(&hold(name), frame).unwrap();
    }
    let said = said(&mut ledger);
    assert_eq!(said, ["append a 1+1", "append b 1+1", "append a 2+1", "append b 2+1"]);
}

#[test]
fn stopping_rejects_open_turns_and_waits_for_complete_replies() {
    let mut ledger = session();
    let work = ledger.turn(&turn("a", 1)).unwrap();
    ledger.turn(&turn("b", 1)).unwrap();
    ledger.finish(&hold("b"), Err(Failure::new("exit code 1")));
    ledger.stop();
    assert!(work.cancelled.is_cancelled());
    assert!(ledger.turn(&turn("c", 1)).is_none());
    let mut said_first = said(&mut ledger);
    said_first.sort();
    assert_eq!(said_first, ["accept b", "fail b", "reject a", "reject c"]);
    ledger.appended(stored("b", 1, true));
    assert_eq!(said(&mut ledger), ["close"]);
}

#[test]
fn stored_frames_make_room_once() {
    let mut ledger = session();
    let work = ledger.turn(&turn("a", 1)).unwrap();
    let before = work.window.available_permits();
    work.window.try_acquire_many(super::super::active_turn::permits(&frame("1"))).unwrap().forget();
    ledger.push(&hold("a"), frame("1")).unwrap();
    for next_seq in [2, 1, 2] {
        ledger.appended(stored("a", next_seq, false));
    }
    assert_eq!(work.window.available_permits(), before);
}

#[test]
fn a_person_gets_the_turn_they_claimed_and_gives_no_credit() {
    let mut ledger = person();
    ledger.claim("a", false);
    assert_eq!(said(&mut ledger), ["claim a"]);
    ledger.turn(&turn("a", 1)).unwrap();
    assert_eq!(said(&mut ledger), ["accept a"]);
    ledger.finish(&hold("a"), Ok(()));
    assert_eq!(said(&mut ledger), ["finish a 1"]);
    ledger.appended(stored("a", 1, true));
    assert_eq!(said(&mut ledger), [""; 0]);
}

#[test]
fn a_claim_is_repeated_until_it_is_answered() {
    let mut ledger = person();
    ledger.claim("a", false);
    ledger.claim("b", false);
    assert_eq!(said(&mut ledger), ["claim a", "claim b"]);
    assert!(ledger.refuse("b"));
    let (_, hello) = ledger.hello();
    ledger.welcome(&hello, welcome(Vec::new()));
    assert_eq!(said(&mut ledger), ["claim a"]);
    // Control received the first claim after all, and refuses the second.
    ledger.turn(&turn("a", 1)).unwrap();
    assert!(!ledger.refuse("a"));
}

#[test]
fn a_handoff_ends_a_reply_without_finish() {
    let mut ledger = session();
    let work = ledger.turn(&turn("a", 1)).unwrap();
    ledger.push(&hold("a"), frame("1")).unwrap();
    let body = Some(Body::Handoff(Handoff::default()));
    ledger.push(&hold("a"), AgentFrame { body }).unwrap();
    assert!(ledger.push(&hold("a"), frame("2")).is_err());
    ledger.finish(&hold("a"), Ok(()));
    assert_eq!(said(&mut ledger), ["accept a", "append a 1+2"]);
    // Stopping waits for the end of the turn that was handed off, and does not reject that turn.
    ledger.stop();
    assert_eq!(said(&mut ledger), [""; 0]);
    let ending = Ending::Lost("it was handed off".into());
    assert!(!ledger.end(&hold("a"), ending.clone()), "a handoff is no loss");
    assert_eq!(work.ending.get(), Some(&ending));
    assert_eq!(said(&mut ledger), ["close"]);
}
