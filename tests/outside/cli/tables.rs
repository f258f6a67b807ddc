//! Tables fit the terminal.

use arizuko_proto::v1::Route;
use arizuko_tests::prelude::*;

/// Returns the words of a table that name something. They are in the first column, but in the audit
/// log in every column.
fn names<'a>(command: &str, table: &'a str) -> Vec<&'a str> {
    let words = table.lines().skip(1).flat_map(|line| {
        let many = if command == "audit" { usize::MAX } else { 1 };
        line.split_whitespace().take(many)
    });
    words.filter(|word| !word.ends_with('Z') && word.contains(['_', ':'])).collect()
}

#[apply(embedded)]
async fn every_table_fits_80_columns_and_no_id_is_cut(kind: Kind) {
    let settings = [crate::hooks::signatures::SEAL, ("ARIZUKO_PRIVATE_EVENT_TARGETS", "true")];
    let stack = Stack::with(kind, &settings).await;
    let long = "everything that our customers ask on the pages of the shop 日本";
    let options =
        LinkOptions { name: long.into(), greeting: long.repeat(3), ..LinkOptions::default() };
    let link = stack.issue_with("acme/eng", "support-of-customers", options).await;
    stack.issue_with("acme/eng", &"long".repeat(15), LinkOptions::default()).await;
    let all = ["--subtree", "--routes", "--speak-as-person", "--expires", "90d", "--name", long];
    stack.arizuko(&[&["key", "create", "acme/eng"], &all[..]].concat()).await.expect(0);
    let (persona, topic) = (Some(long.into()), Some("leads".into()));
    let escalation = escalation("web:acme/eng", Duration::from_secs(90), "acme/people", long);
    stack.route(Route { persona, topic, ..escalation }).await;
    let url = format!("http://127.0.0.1:{}/events/of/the/tenant", free_port());
    let subscribe = ["event", "subscribe", "acme", "--url", &url, "--json"];
    let created = stack.arizuko(&subscribe).await.expect(0).json();
    let subscription = created["subscription"]["subscription_id"].as_str().expect("an id");
    let posted = stack.visitor(&link, A).say(long).await;
    let hook = stack.issue_hook("acme/eng", "github", "").await;
    let id = "X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let at = format!("{}/hook/{}", stack.gateway(A), hook.token);
    curl(&["--data", "x", "-H", id, &at]).await.expect(0);
    let name = "a program with a long name on eng-host-1".to_owned();
    let mut agent = stack.session(A, Hello { name, ..hello("acme/eng", 10) }).await;
    agent.answer_next(long).await;
    agent.answer_next(long).await;
    let waits = ["event", "list", subscription];
    until("an event that failed", async || {
        let listed = stack.arizuko(&waits).await.expect(0).out;
        listed.contains("connection")
    })
    .await;
    let cnv = public_id::conversation(&posted.conversation);
    let tables: [&[&str]; 15] = [
        &["token", "list"],
        &["token", "list", "--all"],
        &["token", "show", &link.jid],
        &["token", "stats", &link.jid],
        &["key", "list"],
        &["route", "list"],
        &["route", "explain", &link.jid],
        &["audit"],
        &["event", "subscriptions"],
        &waits,
        &["conversation", "list", "acme"],
        &["delivery", "list", "acme"],
        &["folder", "show", "acme"],
        &["status"],
        &["doctor"],
    ];
    for table in tables {
        let arguments = [table, &["--no-pager"]].concat();
        let mut terminal = stack.at_terminal_of(24, 80, &arguments);
        terminal.gone().await;
        let shown = terminal.text();
        for line in shown.lines().filter(|line| !line.starts_with("note: ")) {
            let wide = line.chars().filter(|c| *c > '\u{2fff}').count();
            let width = line.chars().count() + wide;
            assert!(width <= 80 || !line.trim().contains(' '), "{width}: {line}\n{shown}");
        }
        let piped = stack.arizuko(table).await;
        if table[0] != "doctor" {
            for name in names(table[0], &piped.expect(0).out) {
                assert!(shown.contains(name), "{name}: {shown}");
            }
        }
    }
    let wide = stack.at_terminal_of(24, 200, &["conversation", "list", "acme"]);
    assert!(shown(wide).await.contains(long), "nothing is cut where there is room");
    let listed = shown(stack.at_terminal_of(24, 80, &["conversation", "list", "acme"])).await;
    assert!(listed.contains(&cnv) && listed.contains('…'), "{listed}");
}

async fn shown(mut terminal: Person) -> String {
    terminal.gone().await;
    terminal.text()
}
