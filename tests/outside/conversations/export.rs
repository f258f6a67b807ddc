//! Exports of whole conversations.

use super::{ROOM, cnv};
use arizuko_proto::v1::RevokeKeyRequest;
use arizuko_proto::v1::key_service_client::KeyServiceClient;
use arizuko_tests::prelude::*;
use std::{collections::BTreeSet, process::Stdio};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Returns the lines of an export with these arguments.
async fn exported(stack: &Stack, arguments: &[&str]) -> Vec<Value> {
    let export = [&["conversation", "export"], arguments].concat();
    let out = stack.arizuko(&export).await.expect(0).out;
    out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

#[apply(every_stack)]
async fn an_export_has_every_turn_that_was_asked_for(stack: Stack) {
    let support = LinkOptions::default();
    let [plain, support] =
        [stack.issue("acme").await, stack.issue_with("acme", "support", support).await];
    let mut agent = stack.attach("acme", A).await;
    let first = stack.visitor(&plain, A).say("first").await;
    agent.answer_next("one\n# not a heading\r> nor that").await;
    let second = stack.visitor(&support, B).say("second").await;
    agent.answer_next("two").await;
    let third = stack.visitor(&plain, B).say_in(&first.conversation, "third").await;
    agent.answer_next("three").await;
    stack.visit("other").await.say("not acme's").await;
    stack.revoke("web:acme").await;

    let turns = |lines: &[Value]| {
        let turns = lines.iter().map(|line| line["turn"]["turn_id"].clone());
        turns.collect::<Vec<_>>()
    };
    let [one, two, three] =
        [&first, &second, &third].map(|posted| json!(public_id::turn(&posted.turn)));
    let all = exported(&stack, &["acme"]).await;
    // The second conversation was inactive for longer than the first.
    assert_eq!(turns(&all), [two.clone(), one.clone(), three.clone()]);
    assert_eq!(all[1]["conversation"]["conversation_id"], json!(cnv(&first)));
    assert_eq!(all[1]["turn"]["messages"][1]["content"], "one\n# not a heading\r> nor that");
    assert_eq!(turns(&exported(&stack, &["--jid", "web:acme/support"]).await), [two]);
    assert_eq!(turns(&exported(&stack, &["acme", "--since", "1h"]).await).len(), 3);
    let text = stack
        .arizuko(&["conversation", "export", "--jid", "web:acme", "--format", "markdown"])
        .await;
    let text = text.expect(0).out;
    for part in [
        &format!(
            "# web:acme, {}\n\n## {}, done\n\n**visitor**, 20",
            cnv(&first),
            one.as_str().expect("an id")
        ),
        "\n\n> one\n> # not a heading\n> > nor that\n\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.matches("\n# ").count(), 0, "one heading for one conversation: {text}");
    let audit = stack.arizuko(&["audit", "--json"]).await.expect(0).json();
    assert!(audit.to_string().contains("conversation.export"), "{audit}");
}

/// How many turns the large export has.
const TURNS: usize = 700;
/// How long each message of the large export is, in bytes.
const MESSAGE: usize = 60_000;
/// By how many bytes control's memory may grow during the large export: half of the size of its
/// messages.
const BOUND: u64 = (TURNS * MESSAGE / 2) as u64;

#[apply(embedded_and_one_redis)]
async fn an_export_of_many_turns_takes_little_memory_however_slowly_it_is_read(kind: Kind) {
    let settings = [&ROOM[..], &[("ARIZUKO_LINK_RATE", "100000")]].concat();
    let mut stack = Stack::with(kind, &settings).await;
    stack.arizuko(&["route", "set", "web:acme", "--mode", "drop"]).await.expect(0);
    let visitor = stack.visit("acme").await;
    let long = "x".repeat(MESSAGE);
    let mut posted = visitor.say(&long).await;
    for turn in 1..TURNS {
        posted = match turn % 100 {
            0 => visitor.say(&long).await,
            _ => visitor.say_in(&posted.conversation, &long).await,
        };
    }
    let before = stack.process(Control(A)).peak_memory();
    let mut export = stack.operators_command();
    export.args(["conversation", "export", "acme"]).stdout(Stdio::piped());
    let mut export = export.spawn().expect("the program starts");
    let pid = export.id().expect("it runs");
    let mut lines = BufReader::new(export.stdout.take().expect("it is piped")).lines();
    let mut ids = BTreeSet::new();
    let read = async {
        let mut previous = 0;
        while let Some(line) = lines.next_line().await.expect("it is text") {
            let line: Value = serde_json::from_str(&line).expect("each line is JSON");
            ids.insert(line["turn"]["turn_id"].as_str().expect("an id").to_owned());
            // Reads slowly at first: waits until the export's memory stops growing.
            while ids.len() == 1 && previous != peak(pid) {
                previous = peak(pid);
                sleep(Duration::from_millis(500)).await;
            }
        }
    };
    read.await;
    assert_eq!(ids.len(), TURNS);
    assert!(export.wait().await.expect("it is our child").success());
    let more = stack.process(Control(A)).peak_memory() - before;
    assert!(more < BOUND, "control needed {} MiB more", more >> 20);
}

/// Returns the peak of a process's memory, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
    peak.unwrap_or_default()
}

#[apply(embedded_and_one_redis)]
async fn an_export_ends_with_an_error_when_its_key_is_revoked(kind: Kind) {
    let settings = [&ROOM[..], &[("ARIZUKO_LINK_RATE", "100000")]].concat();
    let stack = Stack::with(kind, &settings).await;
    stack.arizuko(&["route", "set", "web:acme", "--mode", "drop"]).await.expect(0);
    let visitor = stack.visit("acme").await;
    for _ in 0..200 {
        visitor.say(&"x".repeat(60_000)).await;
    }
    let key = stack.key(KeyKind::Operator, "", KeyReach::Unspecified, false).await;
    let mut export = stack.operators_command();
    export.env("ARIZUKO_KEY", &key.key).args(["conversation", "export", "acme"]);
    export.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut export = export.spawn().expect("the program starts");
    let mut lines = BufReader::new(export.stdout.take().expect("it is piped")).lines();
    within("the first line", lines.next_line()).await.expect("it is text");
    let mut keys = KeyServiceClient::new(stack.operator(A).await);
    let request = RevokeKeyRequest { key_id: key.key_id, with_tokens: false };
    keys.revoke_key(request).await.expect("operators revoke");
    let mut count = 1;
    while within("the end", lines.next_line()).await.expect("it is text").is_some() {
        count += 1;
    }
    assert!(count < 200, "the rest is missing");
    let ended = within("the end", export.wait_with_output()).await.expect("it is our child");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("the export is not complete"), "{told}");
}
