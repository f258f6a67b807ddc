//! `arizuko chat`: the replies that it prints, and the failures that it explains.

use arizuko_tests::{prelude::*, tools::nginx};

#[apply(every_stack)]
async fn chat_prints_the_replies_of_one_conversation(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let answering = async {
        let mut conversations = Vec::new();
        for answer in ["Hello **you**", "and again"] {
            let held = agent.turn().await;
            conversations.push(held.turn.conversation.clone());
            agent.answer(held, answer).await;
        }
        conversations
    };
    let mut chat = stack.operators_command();
    chat.env_remove("ARIZUKO_KEY").env_remove("ARIZUKO_CONTROL").args(["chat", &link.url]);
    let (outcome, conversations) = tokio::join!(run(&mut chat, "one\ntwo\n"), answering);
    let outcome = outcome.expect(0);
    assert!(
        outcome.out.contains("Hello **you**") && outcome.out.contains("and again"),
        "{outcome:?}"
    );
    assert_eq!(conversations[0], conversations[1], "one conversation");
}

#[apply(embedded)]
async fn chat_does_the_work_that_a_link_asks_for(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let issue = ["token", "issue", "acme", "chat", "--proof-of-work", "on"];
    let url = stack.arizuko(&issue).await.expect(0).out;
    let mut agent = stack.attach("acme", A).await;
    let answering = async {
        for answer in ["done", "again"] {
            agent.answer_next(answer).await;
        }
    };
    let mut chat = stack.operators_command();
    let chat = chat.args(["chat", url.trim()]);
    let (outcome, ()) = tokio::join!(run(chat, "one\ntwo\n"), answering);
    let outcome = outcome.expect(0);
    assert!(outcome.out.contains("done") && outcome.out.contains("again"), "{outcome:?}");
    let listed = stack.arizuko(&["token", "list", "acme", "--json"]).await.expect(0).json();
    let asked = &listed["tokens"][0]["options"]["limits"]["proof_of_work"];
    assert_eq!(asked, "PROOF_OF_WORK_ON", "{listed}");
}

#[apply(every_stack)]
async fn chat_explains_its_failures(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let link = stack.issue("acme").await;
    stack.arizuko(&["token", "pause", &link.jid]).await.expect(0);
    let paused = stack.arizuko(&["chat", &link.url]).await.expect(1);
    assert!(paused.err.contains("this link is paused"), "{paused:?}");
    stack.revoke(&link.token_id).await;
    let revoked = stack.arizuko(&["chat", &link.url]).await.expect(1);
    assert!(revoked.err.contains("for a new one"), "{revoked:?}");
    let hook = stack.issue_hook("acme", "github", "").await;
    let wrong = stack.arizuko(&["chat", &hook.url]).await;
    assert!([Some(1), Some(2)].contains(&wrong.code) && !wrong.err.is_empty(), "{wrong:?}");
    let gone = stack.arizuko(&["chat", "http://127.0.0.1:1/chat/x/"]).await.expect(1);
    assert!(gone.err.contains("cannot reach"), "{gone:?}");
    assert!(![&revoked, &wrong, &gone].iter().any(|outcome| outcome.err.contains(&link.token)));

    let mut agent = stack.attach("acme", B).await;
    let failing = stack.issue("acme").await;
    let answering = async {
        use arizuko_proto::v1::{Finish, attach_request::Message as Said};
        let held = agent.turn().await;
        let turn_id = held.turn.turn_id.clone();
        agent
            .say(Said::Finish(Finish {
                turn_id,
                attempt: 1,
                seq: 1,
                failed: true,
                ..Finish::default()
            }))
            .await;
        agent.appended(&held).await;
    };
    let mut chat = stack.operators_command();
    let chat = chat.args(["chat", &failing.url]);
    let (outcome, ()) = tokio::join!(run(chat, "hello\n"), answering);
    let outcome = outcome.expect(1);
    assert!(outcome.err.contains("The agent could not answer."), "{outcome:?}");
}

#[apply(embedded)]
async fn chat_polls_where_a_proxy_holds_the_stream_back(kind: Kind) {
    let port = free_port();
    let stack = Stack::with_public_url(kind, &[], &format!("http://127.0.0.1:{port}")).await;
    let folder = stack.folder().join("nginx");
    fs::create_dir(&folder).expect("the folder is new");
    // This proxy ignores the gateway's X-Accel-Buffering.
    let gateway = stack.gateway(A);
    let site = format!(
        "server {{ listen 127.0.0.1:{port}; location / {{
             proxy_pass {gateway}; proxy_ignore_headers X-Accel-Buffering; }} }}"
    );
    let nginx = nginx(&folder, &site);
    nginx.listens(port).await;
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let answering = async {
        for answer in ["Hello **you**", "and again"] {
            agent.answer_next(answer).await;
        }
    };
    let mut chat = stack.operators_command();
    let chat = chat.args(["chat", &link.url]);
    let (outcome, ()) = tokio::join!(run(chat, "one\ntwo\n"), answering);
    let outcome = outcome.expect(0);
    assert_eq!(outcome.out, "Hello **you**\nand again\n", "{outcome:?}");
    assert_eq!(outcome.err.matches("every second").count(), 1, "{outcome:?}");
    assert!(!outcome.err.contains("trying again"), "{outcome:?}");
}
