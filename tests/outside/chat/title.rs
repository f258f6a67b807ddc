//! The title that an agent gives a conversation.

use super::history::history;
use arizuko_proto::v1::{AgentFrame, agent_frame::Body};
use arizuko_tests::prelude::*;

fn title(text: &str) -> AgentFrame {
    AgentFrame { body: Some(Body::Title(text.to_owned())) }
}

#[apply(every_stack)]
async fn an_agents_title_is_in_the_stream_the_history_and_the_command(stack: Stack) {
    let [here, there] = stack.visit_both("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let posted = here.say("hello").await;
    let mut stream = there.follow(&posted.conversation).await;
    let mut held = agent.turn().await;
    let long = format!("Order\n 17, {}", "x".repeat(200));
    for text in [&*long, "Order 17"] {
        agent.append(&mut held, title(text)).await;
    }
    agent.append(&mut held, message("m1", "It is on its way.")).await;
    agent.finish(&held).await;

    let frames = stream.through("turn_done").await;
    let titles: Vec<&Value> =
        frames.iter().filter(|frame| frame.name == "title").map(|frame| &frame.data).collect();
    let cut = format!("Order 17, {}…", "x".repeat(109));
    assert_eq!(titles[0]["title"], *cut);
    assert_eq!(*titles[1], json!({"turn_id": posted.turn, "n": 2, "title": "Order 17"}));
    let of = async || history(&there, &posted.conversation, "").await["title"].clone();
    assert_eq!(of().await, "Order 17");
    let shown = stack.arizuko(&["conversation", "show", &posted.conversation]).await.expect(0).out;
    assert!(shown.contains("Order 17\n"), "{shown}");

    // An empty title takes the title back.
    let posted = here.say_in(&posted.conversation, "and now?").await;
    let mut held = agent.turn().await;
    agent.append(&mut held, title("")).await;
    agent.finish(&held).await;
    here.end_of(&posted.turn).await;
    assert_eq!(of().await, Value::Null);
}
