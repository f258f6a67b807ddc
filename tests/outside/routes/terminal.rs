//! `arizuko chat` shows people, observed messages, unprompted messages and handoffs.

use arizuko_tests::prelude::*;
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

fn chat(stack: &Stack, link: &Link) -> Command {
    let mut chat = stack.operators_command();
    chat.args(["chat", &link.url]);
    chat
}

#[apply(every_stack)]
async fn chat_names_a_person_and_then_the_agent_again(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let link = stack.issue("acme").await;
    let mut bot = stack.attach("acme", A).await;
    let mut ana = stack.session(B, person("acme/people", "Ana")).await;
    let answering = async {
        let mut held = bot.turn().await;
        let frames = vec![message("m1", "One moment."), handoff("acme/people", "", false)];
        bot.push(&mut held, frames).await;
        let inbox = ana.inbox("a turn that waits", |inbox| !inbox.waiting.is_empty());
        let turn = inbox.await.waiting[0].turn_id.clone();
        ana.claim(&turn, false).await;
        let mut held = ana.turn().await;
        for typing in ["Ana is typing…", "", "Ana is typing…", ""] {
            ana.append(&mut held, status(typing)).await;
        }
        ana.answer(held, "Here I am.").await;
        bot.answer_next("Back again.").await;
    };
    let mut chat = chat(&stack, &link);
    let (outcome, ()) = tokio::join!(run(&mut chat, "help\nthanks\n"), answering);
    let outcome = outcome.expect(0);
    let expected = "One moment.\n\nAna: Here I am.\nacme: Back again.\n";
    assert_eq!(outcome.out, expected, "{outcome:?}");
    assert_eq!(outcome.err.matches("Ana is typing…").count(), 1, "{outcome:?}");
}

#[apply(every_stack)]
async fn observed_and_dropped_messages_show_as_received(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let link = stack.issue("acme").await;
    for (route, word) in [(RouteMode::Observe, "observed"), (RouteMode::Drop, "dropped")] {
        stack.route(mode("web:acme", route)).await;
        let mut chat = chat(&stack, &link);
        let outcome = run(chat.arg("--json"), "one\ntwo\n").await.expect(0);
        let told = outcome.err.matches("Your message was received.").count();
        assert_eq!(told, 2, "{outcome:?}");
        assert!(!outcome.err.contains("nobody"), "{outcome:?}");
        let turns = outcome.json()["turns"].clone();
        assert_eq!((&turns[0]["status"], &turns[1]["status"]), (&word.into(), &word.into()));
    }
}

/// `arizuko chat` with a user at the keyboard.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Lines<BufReader<ChildStdout>>,
}

impl Terminal {
    fn open(mut chat: Command) -> Self {
        chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = chat.spawn().expect("it was just built");
        let keyboard = child.stdin.take().expect("it was asked for");
        let screen = child.stdout.take().expect("it was asked for");
        Self { child, keyboard, screen: BufReader::new(screen).lines() }
    }

    async fn types(&mut self, text: &str) {
        let typed = self.keyboard.write_all(text.as_bytes()).await;
        typed.expect("chat reads its standard input");
    }

    async fn shows(&mut self, expected: &str) {
        let line = within(format!("{expected:?}"), self.screen.next_line()).await;
        assert_eq!(line.expect("it is text").as_deref(), Some(expected));
    }

    /// Closes standard input. Returns the lines that chat prints until it exits.
    async fn leaves(self) -> Vec<String> {
        let Self { mut child, keyboard, mut screen } = self;
        drop(keyboard);
        let mut rest = Vec::new();
        while let Some(line) = within("the end", screen.next_line()).await.expect("text") {
            rest.push(line);
        }
        let status = within("the end", child.wait()).await;
        assert!(status.expect("it is our child").success());
        rest
    }
}

#[apply(every_stack)]
async fn unprompted_messages_show_while_nothing_is_typed(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let mut terminal = Terminal::open(chat(&stack, &link));
    terminal.types("tell me when it is done\n").await;
    let held = agent.turn().await;
    let conversation = held.turn.conversation.clone();
    agent.answer(held, "I will").await;
    terminal.shows("I will").await;
    stack.speak("acme", &conversation, "It is done.").await;
    terminal.shows("It is done.").await;
    terminal.types("thanks\n").await;
    let held = agent.turn().await;
    stack.speak("acme", &conversation, "And also:").await;
    terminal.shows("And also:").await;
    agent.answer(held, "Any time").await;
    terminal.shows("Any time").await;
    assert_eq!(terminal.leaves().await, [""; 0]);

    let mut documents = Terminal::open({
        let mut chat = chat(&stack, &link);
        chat.arg("--json");
        chat
    });
    documents.types("and now?\n").await;
    let held = agent.turn().await;
    let conversation = held.turn.conversation.clone();
    let spoken = stack.speak("acme", &conversation, "First this.").await;
    agent.answer(held, "Nothing").await;
    let answered = stack.visitor(&link, A);
    let of_it = |turns: &Value| turns.as_array().map(Vec::len) == Some(2);
    let history = answered.get(&format!("c/{conversation}")).await.expect(200);
    assert!(of_it(&history.json()["turns"]));
    let rest = documents.leaves().await;
    let document: Value = serde_json::from_str(&rest.concat()).expect("one document");
    assert!(of_it(&document["turns"]), "{document}");
    assert_eq!(document["turns"][0]["turn_id"], spoken.as_str());
}

#[apply(every_stack)]
async fn a_restart_that_keeps_everything_is_not_announced(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let link = stack.issue("acme").await;
    let mut bot = stack.attach("acme", A).await;
    let mut people = stack.attach("acme/people", B).await;
    let answering = async {
        let mut held = bot.turn().await;
        let frames = vec![delta("m1", "I fetch"), handoff("acme/people", "", false)];
        bot.push(&mut held, frames).await;
        // This agent leaves before it says anything, so the restart after it drops nothing.
        people.turn().await;
        people.leave().await;
        let mut silent = stack.attach("acme/people", A).await;
        let mut held = silent.turn().await;
        silent.append(&mut held, delta("m1", "I be")).await;
        silent.leave().await;
        let mut last = stack.attach("acme/people", B).await;
        last.answer_next("Here I am.").await;
    };
    let mut chat = chat(&stack, &link);
    let (outcome, ()) = tokio::join!(run(&mut chat, "help\n"), answering);
    let outcome = outcome.expect(0);
    assert_eq!(outcome.out, "I fetch\n\nI be\nHere I am.\n", "{outcome:?}");
    let told = outcome.err.matches("another agent starts over").count();
    assert_eq!(told, 1, "{outcome:?}");
}
