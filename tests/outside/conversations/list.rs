//! Lists of conversations, their filters and pages.

use super::{ROOM, cnv, listed};
use arizuko_proto::v1::{
    Finish, ListConversationsRequest, conversation_service_client::ConversationServiceClient,
};
use arizuko_tests::prelude::*;

/// Ends a turn as failed.
async fn fail(agent: &mut Session, held: &Held, error: &str, detail: &str) {
    agent
        .say(Said::Finish(Finish {
            turn_id: held.turn.turn_id.clone(),
            attempt: held.turn.attempt,
            seq: held.seq,
            failed: true,
            error: error.to_owned(),
            detail: detail.to_owned(),
            usage: None,
        }))
        .await;
    while !agent.appended(held).await.finished {}
}

#[apply(every_stack)]
async fn conversations_are_listed_by_folder_address_status_and_time(stack: Stack) {
    let (plain, support) = (
        stack.issue("acme").await,
        stack.issue_with("acme", "support", LinkOptions::default()).await,
    );
    let mut agent = stack.attach("acme", B).await;
    let done = stack.visitor(&plain, A).say("first").await;
    agent.answer_next("done with it").await;
    let failed = stack.visitor(&support, A).say("second").await;
    let held = agent.turn().await;
    fail(&mut agent, &held, "", "the disk is full").await;
    let running = stack.visitor(&plain, B).say("third").await;
    let mut held = agent.turn().await;
    // A turn without a frame would be requeued after a while.
    agent.append(&mut held, delta("m", "I am")).await;
    // No agent of acme/eng is attached.
    let waiting = stack.visit("acme/eng").await.say("fourth").await;
    let other = stack.visit("other").await.say("not acme's").await;

    let [done, failed, running, waiting, other] =
        [&done, &failed, &running, &waiting, &other].map(cnv);
    let every = [&waiting, &running, &failed, &done];
    for (arguments, expected) in [
        (&["acme"][..], &every[..]),
        (&["other"], &[&other]),
        (&["acme/eng"], &[&waiting]),
        (&["--jid", "web:acme/support"], &[&failed]),
        (&["acme", "--jid", "web:acme"], &[&running, &done]),
        (&["acme", "--status", "open"], &[&waiting, &running]),
        (&["acme", "--status", "waiting"], &[&waiting]),
        (&["acme", "--status", "failed"], &[&failed]),
        (&["acme", "--since", "1h"], &every),
    ] {
        let found = listed(&stack, arguments).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{arguments:?}");
    }
    sleep(Duration::from_millis(1_100)).await;
    assert!(listed(&stack, &["acme", "--since", "1s"]).await.is_empty());

    let table = stack.arizuko(&["conversation", "list", "acme"]).await.expect(0).out;
    let widest = table.lines().map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|widest| widest <= 80), "{table}");
    for row in [format!("{done}  web:acme          done"), "done with it".into(), "second".into()] {
        assert!(table.contains(&row), "{row}: {table}");
    }
    stack.arizuko(&["conversation", "list"]).await.expect(1);
    stack.arizuko(&["conversation", "list", "acme", "--jid", "web:other"]).await.expect(1);
}

#[apply(embedded_and_one_redis)]
async fn a_list_goes_on_where_the_page_before_it_ended(kind: Kind) {
    let stack = Stack::with(kind, &ROOM).await;
    let visitor = stack.visit("acme").await;
    let mut said = Vec::new();
    for number in 0..7 {
        said.push(visitor.say(&format!("message {number}")).await);
    }
    // This makes the oldest conversation the most recently active one.
    visitor.say_in(&said[0].conversation, "again").await;
    said.rotate_left(1);
    let expected: Vec<String> = said.iter().rev().map(cnv).collect();
    let (mut found, mut page) = (Vec::new(), String::new());
    loop {
        let arguments = ["conversation", "list", "acme", "--limit", "3", "--json", "--page", &page];
        let listed = stack.arizuko(&arguments).await.expect(0).json();
        let conversations = listed["conversations"].as_array().expect("a list");
        assert!(conversations.len() <= 3, "{listed}");
        found.extend(
            conversations
                .iter()
                .map(|one| one["conversation_id"].as_str().expect("an id").to_owned()),
        );
        page = listed["next_page_token"].as_str().expect("a token").to_owned();
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(found, expected);
    let first = stack
        .arizuko(&["conversation", "list", "acme", "--limit", "3", "--since", "1d"])
        .await
        .expect(0);
    for words in ["there are more", "conversation list acme --since 1d --limit 3 --page"] {
        assert!(first.err.contains(words), "{words}: {}", first.err);
    }
    let wrong = stack.arizuko(&["conversation", "list", "acme", "--page", "x"]).await.expect(1);
    assert!(wrong.err.contains("page token"), "{wrong:?}");
}

#[apply(embedded_and_one_redis)]
async fn a_search_finds_messages_and_replies_with_all_words(kind: Kind) {
    let stack = Stack::with(kind, &ROOM).await;
    let visitor = stack.visit("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let asked = visitor.say("Where is my REFUND of June?").await;
    agent.answer_next("Let me see.").await;
    let answered = visitor.say("hello").await;
    agent.answer_next("Your refund came in june already.").await;
    let neither = visitor.say("refund").await;
    agent.answer_next("june").await;
    assert_eq!(
        listed(&stack, &["acme", "--search", "june refund"]).await,
        [cnv(&answered), cnv(&asked)]
    );
    assert_eq!(listed(&stack, &["acme", "--search", "nothing of that"]).await.len(), 0);
    let shown = stack.arizuko(&["conversation", "list", "acme", "--search", "already"]).await;
    assert!(shown.expect(0).out.contains("e in june already."));
    assert_eq!(listed(&stack, &["acme", "--search", "JUNE"]).await[0], cnv(&neither));
}

#[apply(embedded_and_one_redis)]
async fn a_search_finds_what_is_in_short_conversations_and_in_long_ones(kind: Kind) {
    let stack = Stack::with(kind, &ROOM).await;
    stack.arizuko(&["route", "set", "web:acme", "--mode", "drop"]).await.expect(0);
    let visitor = stack.visit("acme").await;
    let mut expected = Vec::new();
    // Of conversations with up to 16 turns, several are read at once.
    for turns in [1, 16, 17, 2, 40, 1] {
        visitor.say("hay").await;
        let posted = visitor.say("a needle").await;
        for _ in 1..turns {
            visitor.say_in(&posted.conversation, "hay").await;
        }
        expected.insert(0, cnv(&posted));
    }
    assert_eq!(listed(&stack, &["acme", "--search", "needle"]).await, expected);
    let two = listed(&stack, &["acme", "--search", "needle", "--limit", "2"]).await;
    assert_eq!(two, expected[..2]);
}

#[apply(embedded_and_one_redis)]
async fn a_search_of_much_text_goes_on_page_by_page(kind: Kind) {
    let stack = Stack::with(kind, &ROOM).await;
    let visitor = stack.visit("acme").await;
    // Two letters are too few for the embedded store's index.
    let needle = visitor.say("the needle").await;
    let mut agent = stack.session(A, hello("acme", 1_000)).await;
    agent.answer_next("hay").await;
    let long = "hay ".repeat(15_000);
    let deep = visitor.say("a deep needle").await;
    agent.answer_next("hay").await;
    // 180 messages of 60 kB, half of them in one conversation: more than a search reads for one page.
    for turn in 0..180 {
        match turn % 2 {
            0 => visitor.say_in(&deep.conversation, &long).await,
            _ => visitor.say(&long).await,
        };
        agent.answer_next("hay").await;
    }
    let found = stack.arizuko(&["conversation", "list", "acme", "--search", "ee", "--json"]).await;
    let found = found.expect(0).json();
    let ids: Vec<_> = found["conversations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["conversation_id"].clone())
        .collect();
    assert_eq!(ids, [json!(cnv(&deep)), json!(cnv(&needle))]);
    assert_eq!(found["looked_at"], 92, "{found}");
    let mut terminal = stack.at_terminal(&["conversation", "list", "acme", "--search", "ee"]);
    terminal.gone().await;
    let shown = String::from_utf8_lossy(terminal.bytes()).into_owned();
    let (_, after) = shown.rsplit_once(" conversations, back to 20").expect("how far it is");
    assert!(shown.contains("\r\x1b[Klooked at "), "{shown:?}");
    let (_, table) = after.split_once("\r\x1b[K").expect("the line is cleared");
    assert!(table.contains(&cnv(&deep)) && table.contains(&cnv(&needle)), "{shown:?}");
}

/// Returns the conversations on the first page of a search, and whether there are more pages.
async fn first_page(stack: &Stack, search: &str) -> (Vec<String>, bool) {
    let mut client = ConversationServiceClient::new(stack.operator(A).await);
    let (folder, search) = ("acme".to_owned(), search.to_owned());
    let request = ListConversationsRequest { folder, search, ..Default::default() };
    let page = client.list_conversations(request).await.expect("operators read").into_inner();
    let ids = page.conversations.into_iter().map(|one| one.conversation_id).collect();
    (ids, !page.next_page_token.is_empty())
}

#[apply(embedded)]
async fn an_index_finds_words_behind_much_text(kind: Kind) {
    let stack = Stack::with(kind, &ROOM).await;
    stack.arizuko(&["route", "set", "web:acme", "--mode", "drop"]).await.expect(0);
    let visitor = stack.visit("acme").await;
    let needle = visitor.say("the needle").await;
    // 9 MB: more than a search reads for one page.
    let long = "hay ".repeat(15_000);
    for _ in 0..150 {
        visitor.say(&long).await;
    }
    // Two letters are too few for the index.
    assert_eq!(first_page(&stack, "ee").await, (vec![], true));
    // What is not indexed yet is read.
    until("the messages are in the index", async || {
        first_page(&stack, "needle").await == (vec![cnv(&needle)], false)
    })
    .await;
    let found = listed(&stack, &["acme", "--search", "THE eedl"]).await;
    assert_eq!(found, [cnv(&needle)]);
    stack.arizuko(&["conversation", "delete", &cnv(&needle), "--yes"]).await.expect(0);
    assert_eq!(first_page(&stack, "needle").await.0, Vec::<String>::new());
}
