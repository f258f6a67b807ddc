//! `arizuko agent say`: unprompted messages from a script.

use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn say_sends_as_agent_or_person_and_a_repeat_sends_nothing_new(stack: Stack) {
    let visitor = stack.visitor(&stack.issue("acme").await, B);
    let mut bot = stack.attach("acme", A).await;
    let posted = visitor.say("hello").await;
    bot.answer_next("hi").await;
    let conversation = posted.conversation.as_str();
    let mut live = visitor.follow(conversation).await;
    live.through("turn_done").await;

    let say = ["agent", "say", "--folder", "acme", conversation];
    let said = stack.arizuko(&[&say[..], &["Your order is on its way."]].concat()).await;
    let turn = said.expect(0).out.trim_end().to_owned();
    let seen = live.through("turn_done").await;
    assert_eq!(seen[0].data["turn_id"], json!(turn));
    assert_eq!(seen[0].data["content"], "Your order is on its way.");
    assert_eq!(seen[0].data["author"], "assistant");

    let once = ["--name", "Ann", "--idempotency-key", "k1", "--json"];
    let mut turns = Vec::new();
    for _ in 0..2 {
        let mut command = stack.operators_command();
        command.args(say).args(once).arg("-");
        let said = run(&mut command, "It has\narrived.\n").await.expect(0);
        turns.push(said.json()["turn_id"].clone());
    }
    assert_eq!(turns[0], turns[1]);
    let seen = live.through("turn_done").await;
    assert_fields(&seen[0].data, json!({"author": "person", "name": "Ann"}));
    let messages = stack.read("acme", conversation).await;
    let contents: Vec<_> = messages.iter().map(|message| message.content.trim()).collect();
    assert_eq!(contents, ["hello", "hi", "Your order is on its way.", "It has\narrived."]);

    let mismatch = ["--idempotency-key", "k1", "something else"];
    let mismatch = stack.arizuko(&[&say[..], &mismatch].concat()).await;
    assert!(mismatch.expect(1).err.contains("error: "));
    let mut empty = stack.operators_command();
    assert!(run(empty.args(say), " \n").await.expect(1).err.contains("empty"));
    let elsewhere = ["agent", "say", "--folder", "acme/eng", conversation, "x"];
    let refused = stack.arizuko(&elsewhere).await.expect(1);
    assert!(!refused.err.is_empty(), "{refused:?}");
}
