//! How long messages are kept, which an operator sets for each tenant.

use arizuko_tests::prelude::*;

/// A visitor of a tenant, with a conversation whose only turn has ended.
struct Kept {
    visitor: Visitor,
    posted: Posted,
}

impl Kept {
    async fn by(stack: &Stack, tenant: &str) -> Self {
        let visitor = stack.visit(tenant).await;
        let mut agent = stack.attach(tenant, A).await;
        let posted = visitor.say("hello").await;
        agent.answer_next("bye").await;
        assert_eq!(visitor.end_of(&posted.turn).await["status"], "done");
        Self { visitor, posted }
    }

    /// The status with which the conversation is read: 404 once it is deleted.
    async fn status(&self) -> u16 {
        self.visitor.get(&format!("c/{}", self.posted.conversation)).await.status.as_u16()
    }

    /// The status with which the turn's frames are read: 410 once they are deleted.
    async fn of_frames(&self) -> u16 {
        self.visitor.get(&format!("{}?after=0", self.posted.turn)).await.status.as_u16()
    }

    async fn deleted(&self) {
        until("the conversation to be deleted", async || self.status().await == 404).await;
    }
}

async fn set(stack: &Stack, tenant: &str, flags: &[&str]) {
    stack.arizuko(&[&["folder", "set", tenant], flags].concat()).await.expect(0);
}

#[apply(embedded_and_pair)]
async fn a_tenants_messages_are_kept_as_long_as_was_set_for_it(stack: Stack) {
    let [before, other] = [Kept::by(&stack, "acme").await, Kept::by(&stack, "other").await];
    // An open turn has nothing that is past retention.
    let open = stack.visit("acme/eng").await;
    let waiting = open.say("is anybody there?").await;
    set(&stack, "acme", &["--keep-messages", "1s"]).await;
    // The setting holds for what is already kept, and for what comes.
    before.deleted().await;
    Kept::by(&stack, "acme").await.deleted().await;
    assert_eq!((other.status().await, other.of_frames().await), (200, 200));
    assert_eq!(open.json(&waiting.turn).await["status"], "queued");

    set(&stack, "acme", &["--keep-messages", "default", "--keep-frames", "1s"]).await;
    let again = Kept::by(&stack, "acme").await;
    until("the frames to be deleted", async || again.of_frames().await == 410).await;
    set(&stack, "other", &["--keep-messages", "1s"]).await;
    other.deleted().await;
    assert_eq!(again.status().await, 200, "acme's messages are kept as by default");
}

#[apply(embedded_and_one_redis)]
async fn a_tenants_messages_can_be_kept_longer_than_others(kind: Kind) {
    let short = ["ARIZUKO_KEEP_FRAMES", "ARIZUKO_KEEP_MESSAGES"].map(|name| (name, "2s"));
    let stack = Stack::with(kind, &short).await;
    set(&stack, "acme", &["--keep-messages", "1h", "--keep-frames", "1h"]).await;
    let [kept, other] = [Kept::by(&stack, "acme").await, Kept::by(&stack, "other").await];
    other.deleted().await;
    assert_eq!((kept.status().await, kept.of_frames().await), (200, 200));
}

#[apply(embedded)]
async fn a_message_goes_at_its_time_though_its_conversation_goes_on(stack: Stack) {
    let Kept { visitor, posted } = Kept::by(&stack, "acme").await;
    set(&stack, "acme", &["--keep-messages", "3s"]).await;
    visitor.say_in(&posted.conversation, "and more").await;
    until("the message to be deleted", async || visitor.get(&posted.turn).await.status == 404)
        .await;
    let page = visitor.json(&format!("c/{}", posted.conversation)).await;
    let turns = page["turns"].as_array().expect("the turns");
    assert_eq!(turns.len(), 1, "the open turn stays: {page}");
}

#[apply(embedded)]
async fn an_operator_sets_it_within_bounds_and_everybody_can_tell(stack: Stack) {
    let shown = async || stack.arizuko(&["folder", "show", "acme"]).await.expect(0).out;
    let cells = |table: &str| -> Vec<Vec<String>> {
        let rows = table.lines().skip(1).map(|row| row.split_whitespace());
        rows.map(|row| row.skip(1).map(str::to_owned).collect()).collect()
    };
    assert_eq!(cells(&shown().await), [["30d", "-"], ["1d", "-"]]);
    set(&stack, "acme", &["--keep-messages", "12h"]).await;
    assert_eq!(cells(&shown().await), [["12h", "12h"], ["12h", "-"]]);
    set(&stack, "acme", &["--keep-frames", "1h"]).await;
    assert_eq!(cells(&shown().await), [["12h", "12h"], ["1h", "1h"]]);
    let audit = stack.arizuko(&["audit", "acme"]).await.expect(0).out;
    assert!(audit.contains("folder.set"), "{audit}");
    assert!(audit.contains("keep_messages 12h, keep_frames 1h"), "{audit}");

    for (folder, flag, value, why) in [
        ("acme/eng", "--keep-messages", "7d", "name acme"),
        ("acme", "--keep-messages", "30m", "frames"),
        ("acme", "--keep-frames", "1d", "messages"),
        ("acme", "--keep-messages", "3651d", "3650d"),
        ("acme", "--keep-frames", "10ms", "1s"),
    ] {
        let refused = stack.arizuko(&["folder", "set", folder, flag, value]).await.expect(1);
        assert!(refused.err.contains(why), "{flag} {value}: {refused:?}");
    }
    stack.arizuko(&["folder", "set", "acme"]).await.expect(2);
    assert_eq!(cells(&shown().await), [["12h", "12h"], ["1h", "1h"]], "nothing has changed");

    let viewer = stack.key(KeyKind::Viewer, "", KeyReach::Unspecified, false).await.key;
    let agent = stack.agent_key("acme").await;
    let with_key = async |key: &str, words: &[&str]| {
        let mut command = stack.operators_command();
        run(command.env("ARIZUKO_KEY", key).args(words), "").await
    };
    for key in [&viewer, &agent] {
        let refused = with_key(key, &["folder", "set", "acme", "--keep-frames", "2h"]).await;
        assert!(refused.code == Some(1) && refused.err.contains("key"), "{refused:?}");
    }
    assert_eq!(with_key(&viewer, &["folder", "show", "acme"]).await.expect(0).out, shown().await);
    with_key(&agent, &["folder", "show", "acme"]).await.expect(1);
    set(&stack, "acme", &["--keep-messages", "default", "--keep-frames", "default"]).await;
    assert_eq!(cells(&shown().await), [["30d", "-"], ["1d", "-"]]);
}

#[apply(embedded)]
async fn before_it_deletes_something_a_person_is_asked(stack: Stack) {
    let ask = async |kept: &str, answer: &str| {
        let words = ["folder", "set", "acme", "--keep-messages", kept];
        let mut person = stack.at_terminal(&words);
        person.ends_with("than 1h, for good? [y/N] ").await;
        person.enter(answer);
        person.gone().await
    };
    assert_eq!(ask("1h", "n").await.code(), Some(1));
    assert!(stack.arizuko(&["folder", "show", "acme"]).await.expect(0).out.contains("30d"));
    assert_eq!(ask("1h", "y").await.code(), Some(0));
    // The command doesn't ask about a setting that keeps messages for longer.
    let mut longer = stack.at_terminal(&["folder", "set", "acme", "--keep-messages", "2h"]);
    let shown = longer.sees("within minutes").await;
    assert!(!shown.contains("[y/N]"), "{shown}");
}
