//! One inbox for several folders.

use arizuko_tests::prelude::*;

#[apply(embedded)]
async fn one_inbox_answers_several_folders(stack: Stack) {
    let sales = stack.visit("acme/sales").await;
    let support = stack.visit("acme/support").await;
    let folders = ["acme/sales", "acme/support", "acme/sales"];
    let mut ann = stack.person_with(Seat::Pipes, &folders, "Ann", A).await;
    let mut asked = Vec::new();
    for (number, visitor, folder) in [(1, &sales, "acme/sales"), (2, &support, "acme/support")] {
        asked.push(visitor.say(&format!("hello {folder}")).await);
        ann.sees(&format!("{number} waits in {folder}, web:{folder}, ")).await;
    }
    for number in ["1", "2"] {
        ann.asks(&format!("/open {number}"), "hello acme/").await;
        ann.asks(number, "Sent.").await;
        ann.asks("more", "Sent, as a message of its own.").await;
    }
    let list = ann.asks("/list", "2 open in acme/support, web:acme/support, since ").await;
    assert!(list.contains("1 open in acme/sales, web:acme/sales, since "), "{list}");
    for (folder, posted) in ["acme/sales", "acme/support"].iter().zip(&asked) {
        let messages = stack.read(folder, &posted.conversation).await;
        assert_eq!(messages.last().map(|said| &*said.content), Some("more"), "{folder}");
    }
    // A conversation that moves from one of the folders to another keeps its number.
    ann.asks("/to acme/sales", "2 is with acme/sales now.").await;
    support.say_in(&asked[1].conversation, "and now?").await;
    ann.sees("2 waits in acme/sales, web:acme/support, ").await;
    ann.asks("/open 2", "and now?").await;
    ann.asks("Now too.", "Sent.").await;
    ann.end().await;
    ann.sees("2 conversations stay with acme/sales.").await;
    assert!(ann.gone().await.success());
    let refused = stack.arizuko(&["inbox", "acme", "acme eng"]).await.expect(2);
    assert!(refused.err.contains("acme/people"), "{refused:?}");
}
