//! Faults while an agent uses a module: nothing is lost, and nothing comes twice.

use super::whole;
use arizuko_tests::{prelude::*, proxy::Target};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

#[apply(embedded_and_pair)]
async fn killing_a_control_loses_nothing_of_a_reply(language: Language, mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "1", &[]).await;
    let posted = visitor.say("count").await;
    let mut program = agent.turn().await;
    let mut text = String::new();
    for number in 0..6 {
        let before = format!("{number} ");
        program.print(&before).await;
        stack.kill(Control(BOTH[number % 2]));
        program.print("and ").await;
        stack.restart(Control(BOTH[number % 2])).await;
        text += &format!("{before}and ");
    }
    stack.kill(Control(A));
    program.reply("at last").await;
    stack.restart(Control(A)).await;
    whole(&visitor, &posted, &(text + "at last")).await;
}

#[apply(pair)]
async fn stopping_a_control_loses_nothing_of_a_reply(language: Language, mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "2", &[]).await;
    let (first, second) = (visitor.say("count").await, visitor.say("count").await);
    let mut programs = [agent.turn().await, agent.turn().await];
    let mut text = String::new();
    for (number, instance) in BOTH.into_iter().enumerate() {
        let control = stack.process(Control(instance));
        control.signal(Signal::SIGTERM);
        for program in &mut programs {
            program.print(&format!("{number} ")).await;
        }
        text += &format!("{number} ");
        assert_eq!(stack.process(Control(instance)).exit().await.code(), Some(0));
        stack.restart(Control(instance)).await;
    }
    for program in programs {
        program.exit(0).await;
    }
    for posted in [first, second] {
        whole(&visitor, &posted, &text).await;
    }
}

#[apply(pair)]
async fn restarting_redis_loses_nothing_of_a_reply(language: Language, mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "1", &[]).await;
    let posted = visitor.say("count").await;
    let mut program = agent.turn().await;
    let mut text = String::new();
    for number in 0..4 {
        let redis = stack.redis();
        redis.kill();
        let word = format!("{number} ");
        program.print(&word).await;
        text += &word;
        stack.redis().restart().await;
    }
    program.exit(0).await;
    whole(&visitor, &posted, &text).await;
}

#[apply(pair)]
async fn frames_that_redis_has_lost_are_sent_again(language: Language, mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut agent = language.agent(&stack, "1", &[]).await;
    let posted = visitor.say("count").await;
    let mut program = agent.turn().await;
    program.print("one ").await;
    visitor.listen(&posted.turn).await.take(1).await;
    stack.redis().remember();
    for (frames, word) in [(2, "two "), (3, "three ")] {
        program.print(word).await;
        visitor.listen(&posted.turn).await.take(frames).await;
    }
    let redis = stack.redis();
    redis.forget_the_rest().await;
    program.reply("four").await;
    whole(&visitor, &posted, "one two three four").await;
}

#[apply(pair)]
async fn an_agent_moves_on_from_a_control_that_hangs(language: Language, mut stack: Stack) {
    let visitor = stack.visit("acme").await;
    let target = stack.control(B).trim_start_matches("http://").to_owned();
    let hanging = Proxy::start(Target::Address(target)).await;
    hanging.drop_packets();
    let controls = format!("http://{},{}", hanging.address(), stack.control(A));
    let mut agent = language.agent_with(&stack, &[("ARIZUKO_CONTROL", &controls)]).await;
    let posted = visitor.say("count").await;
    let mut program = agent.turn().await;
    program.print("one ").await;
    visitor.listen(&posted.turn).await.take(1).await;
    hanging.resume();
    stack.kill(Control(A));
    program.print("two ").await;
    visitor.listen(&posted.turn).await.take(2).await;
    hanging.drop_packets();
    stack.restart(Control(A)).await;
    program.reply("three").await;
    whole(&visitor, &posted, "one two three").await;
}

/// A control that ends just when an agent connects may close the connection before it has sent
/// anything.
#[apply(embedded)]
async fn an_agent_moves_on_from_a_control_that_hangs_up(language: Language, stack: Stack) {
    let visitor = stack.visit("acme").await;
    let ending = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let controls =
        format!("http://{},{}", ending.local_addr().expect("it is bound"), stack.control(A));
    let hang_up = async {
        loop {
            let (mut connection, _) = ending.accept().await.expect("it listens");
            // An error means that the agent has closed the connection first.
            let _ = connection.shutdown().await;
        }
    };
    let answer = async {
        let mut agent = language.agent_with(&stack, &[("ARIZUKO_CONTROL", &controls)]).await;
        let posted = visitor.say("hello").await;
        agent.turn().await.reply("at last").await;
        whole(&visitor, &posted, "at last").await;
    };
    tokio::select! {
        () = hang_up => {}
        () = answer => {}
    }
}
