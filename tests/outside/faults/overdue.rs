//! Many items that are due at once, after control was away.

use arizuko_tests::prelude::*;
use futures_util::{StreamExt as _, stream};

/// How many turns of one tenant are overdue.
const TURNS: usize = 1_500;
/// After how long a turn expires: about twice as long as posting all turns takes on a slow machine.
const DEADLINE: (&str, &str) = ("ARIZUKO_TURN_DEADLINE", "8s");

#[apply(embedded_and_one_redis)]
async fn what_one_tenant_lets_become_due_holds_up_nobody_else(kind: Kind) {
    // On Redis, the tenants also share one partition.
    let partitions = if kind == Kind::Embedded { "256" } else { "1" };
    let settings = [
        DEADLINE,
        ("ARIZUKO_PARTITIONS", partitions),
        ("ARIZUKO_ADDRESS_RATE", "1000000"),
        ("ARIZUKO_LINK_RATE", "1000000"),
        ("ARIZUKO_ADDRESS_TURNS", "100000"),
        ("ARIZUKO_LINK_TURNS", "100000"),
    ];
    let mut stack = Stack::with(kind, &settings).await;
    let [busy, quiet] = [stack.issue("acme").await, stack.issue("quiet").await];
    let flood = stack.visitor(&busy, A);
    let posting = (0..TURNS).map(|_| flood.say("flood"));
    let flooded: Vec<Posted> = stream::iter(posting).buffered(16).collect().await;
    let visitor = stack.visitor(&quiet, A);
    let posted = visitor.say("hello").await;
    stack.kill(Control(A));
    sleep(Duration::from_secs(9)).await;
    stack.restart(Control(A)).await;

    let (visitor, flood) = (stack.visitor(&quiet, A), stack.visitor(&busy, A));
    assert_eq!(visitor.end_of(&posted.turn).await["status"], "expired");
    for turn in [0, TURNS / 2, TURNS - 1] {
        assert_eq!(flood.end_of(&flooded[turn].turn).await["status"], "expired");
    }
    let ended_at = async |visitor: &Visitor, posted: &Posted| {
        let snapshot = visitor.json(&posted.turn).await;
        snapshot["ended_at"].as_str().expect("it has ended").to_owned()
    };
    let quiet = ended_at(&visitor, &posted).await;
    let middle = ended_at(&flood, &flooded[TURNS / 2]).await;
    assert!(quiet < middle, "the quiet tenant waits for the busy one: {quiet}, {middle}");
}
