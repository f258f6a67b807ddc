//! Agents that die, come back too late, or lose control's answers.

use super::Readers;
use arizuko_proto::v1::HeldTurn;
use arizuko_tests::prelude::*;

const SHORT: [(&str, &str); 2] = [("ARIZUKO_LEASE", "2s"), ("ARIZUKO_AGENT_HEARTBEAT", "500ms")];

#[apply(every_stack)]
async fn an_agent_that_resumes_after_its_lease_cannot_write(kind: Kind) {
    let stack = Stack::with(kind, &SHORT).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let posted = visitor.say("hello").await;
    let mut agent = stack.agent("acme", &[]).await;
    let mut program = agent.turn().await;
    program.print("from the first").await;
    visitor.listen(&posted.turn).await.take(1).await;
    let readers = Readers::begin(&stack, &link, &posted, 3);
    agent.process.signal(Signal::SIGSTOP);
    let mut other = stack.agent("acme", &[]).await;
    let mut second = other.turn().await;
    // The stopped agent reads this when it resumes, and tries to append it.
    program.print(" and more").await;
    agent.process.signal(Signal::SIGCONT);
    second.print("from the second").await;
    second.exit(0).await;
    let seen = readers.agree("from the second").await;
    let restarts = names(&seen).iter().filter(|name| **name == "restart").count();
    assert_eq!(restarts, 1);
}

/// The last thing that an agent does before it dies.
#[derive(Clone, Copy, Debug)]
enum Step {
    Attached,
    Offered,
    Accepted,
    Appended,
    Finished,
}

#[apply(every_stack)]
async fn an_agent_can_die_after_any_step_without_loss(kind: Kind) {
    let stack = Stack::with(kind, &SHORT).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    for step in [Step::Attached, Step::Offered, Step::Accepted, Step::Appended, Step::Finished] {
        let posted = visitor.say("hello").await;
        let readers = Readers::begin(&stack, &link, &posted, 2);
        let mut agent = stack.attach("acme", B).await;
        match step {
            Step::Attached => {}
            Step::Offered => drop(agent.offered().await),
            Step::Accepted => drop(agent.turn().await),
            Step::Appended => {
                let mut held = agent.turn().await;
                agent.append(&mut held, delta("m1", "half an ans")).await;
            }
            Step::Finished => {
                agent.answer_next("whole").await;
            }
        }
        // The agent vanishes without ending its stream.
        agent.vanish();
        let mut next = stack.agent("acme", &[]).await;
        if !matches!(step, Step::Finished) {
            let program = next.turn().await;
            program.reply("whole").await;
        }
        readers.agree("whole").await;
    }
}

/// Resumes the session over another connection, with the turn that the agent still holds.
async fn resume(stack: &Stack, agent: Session, held: &Held, control: Instance) -> Session {
    let mine = HeldTurn {
        turn_id: held.turn.turn_id.clone(),
        attempt: held.turn.attempt,
        next_seq: held.seq,
    };
    let back = Hello {
        session_id: agent.welcome.session_id.clone(),
        held: vec![mine],
        ..hello("acme", 100)
    };
    agent.vanish();
    Session::open(stack.operator(control).await, back).await
}

#[apply(every_stack)]
async fn an_agent_that_loses_the_answers_stores_nothing_twice(stack: Stack) {
    let link = stack.issue("acme").await;
    let posted = stack.visitor(&link, A).say("hello").await;
    let readers = Readers::begin(&stack, &link, &posted, 2);
    let mut agent = stack.attach("acme", A).await;
    let mut held = agent.turn().await;
    for (number, word) in ["one ", "two ", "three "].into_iter().enumerate() {
        // Control may or may not have stored the frame; its answer is lost with the connection.
        agent.say(held.append(held.seq, vec![delta("m1", word)])).await;
        agent = resume(&stack, agent, &held, BOTH[number % 2]).await;
        agent.say(held.append(held.seq, vec![delta("m1", word)])).await;
        held.seq += 1;
        agent.stored(&held).await;
    }
    let whole = vec![message("m1", "one two three")];
    agent.say(held.append(held.seq, whole.clone())).await;
    agent = resume(&stack, agent, &held, B).await;
    agent.say(held.append(held.seq, whole)).await;
    held.seq += 1;
    agent.stored(&held).await;
    agent.say(held.finish()).await;
    agent.vanish();
    let seen = readers.agree("one two three").await;
    assert_eq!(names(&seen), ["delta", "delta", "delta", "message", "turn_done"]);
}
