//! Visitors see when a person is typing.

use arizuko_tests::prelude::*;
use arizuko_tests::{person::Person, sse::Events};

/// Returns the texts of the status frames until the end of the turn.
async fn statuses(live: &mut Events) -> Vec<String> {
    let seen = live.rest().await.into_iter();
    let statuses = seen.filter(|event| event.name == "status");
    statuses.map(|event| text(&event.data["text"])).collect()
}

async fn next_status(live: &mut Events) -> String {
    let event = live.next().await.expect("the stream goes on");
    assert_eq!(event.name, "status", "{event:?}");
    text(&event.data["text"])
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().expect("a status is text").to_owned()
}

async fn opened(stack: &Stack, seat: Seat) -> (Person, Events) {
    let link = stack.issue("acme/people").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let live = stack.visitor(&link, B).listen(&posted.turn).await;
    let mut ann = stack.person(seat, "acme/people", "Ann", B).await;
    ann.opens("hello").await;
    (ann, live)
}

#[apply(every_stack)]
async fn visitors_see_that_a_person_types_while_keys_are_pressed(stack: Stack) {
    let (mut ann, mut live) = opened(&stack, Seat::Terminal).await;
    // Typing a command shows nothing.
    ann.press("/li\x15");
    ann.press("H");
    assert_eq!(next_status(&mut live).await, "Ann is typing…");
    for _ in 0..20 {
        ann.press("m");
    }
    // Emptying the line clears the status.
    ann.press("\x15");
    assert_eq!(next_status(&mut live).await, "");
    // Without further keys the status clears by itself. It shows again after two seconds at the
    // earliest.
    sleep(Duration::from_secs(2)).await;
    ann.press("Hell");
    assert_eq!(next_status(&mut live).await, "Ann is typing…");
    assert_eq!(next_status(&mut live).await, "");
    ann.press("o");
    assert_eq!(next_status(&mut live).await, "Ann is typing…");
    ann.asks("!", "Sent.").await;
    assert_eq!(statuses(&mut live).await, [""; 0]);
}

#[apply(every_stack)]
async fn in_a_pipe_the_command_typing_sets_the_status(stack: Stack) {
    let (mut ann, mut live) = opened(&stack, Seat::Pipes).await;
    ann.asks("/typing", "sees that you are typing").await;
    assert_eq!(next_status(&mut live).await, "Ann is typing…");
    assert_eq!(next_status(&mut live).await, "", "the status clears by itself");
    ann.asks("/typing", "sees that you are typing").await;
    assert_eq!(next_status(&mut live).await, "Ann is typing…");
    ann.asks("/back", "1 is with the agent now.").await;
    assert_eq!(next_status(&mut live).await, "", "the next agent may not be typing");
}
