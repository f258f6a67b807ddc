//! Canned replies.

use arizuko_tests::prelude::*;

#[apply(embedded)]
async fn a_canned_reply_is_sent_by_its_name(stack: Stack) {
    let file = stack.folder().join("replies.toml");
    let replies = "thanks = \"Thank you.\"\nsteps = \"\"\"\nFirst this.\n/then that.\"\"\"\n";
    std::fs::write(&file, replies).expect("a folder to write to");
    let file = file.to_str().expect("UTF-8");
    let visitor = stack.visit("acme/people").await;
    let posted = visitor.say("hello").await;
    let mut inbox = stack.operators_command();
    inbox.args(["inbox", "acme/people", "--name", "Ann", "--replies", file]);
    let script = "/r\n/r thanks\n/open 1\n/r steps\n/r thanks\n/r nothing\n/close\n";
    let outcome = run(&mut inbox, script).await.expect(1);
    for told in [
        "steps: First this. /then that.\nthanks: Thank you.\n",
        "Nothing is open",
        "/then that.\nSent.\n",
        "Thank you.\nSent, as a message of its own.\n",
        "There is no reply nothing: /r lists them.\n",
    ] {
        assert!(outcome.out.contains(told), "{told:?}: {outcome:?}");
    }
    assert!(outcome.err.contains("2 lines were not carried out"), "{outcome:?}");
    let messages = stack.read("acme/people", &posted.conversation).await;
    let contents: Vec<_> = messages.iter().map(|message| &*message.content).collect();
    assert_eq!(contents, ["hello", "First this.\n/then that.", "Thank you."]);

    let mut without = stack.operators_command();
    without.args(["inbox", "acme/people", "--name", "Ann"]);
    let none = run(&mut without, "/r thanks\n").await.expect(1);
    assert!(none.out.contains("start the inbox with --replies FILE"), "{none:?}");
    std::fs::write(file, "thanks = 1\n").expect("a folder to write to");
    let wrong = run(&mut inbox, "").await.expect(1);
    assert!(wrong.err.contains("line 1: ") && wrong.err.contains("replies.toml"), "{wrong:?}");
}
