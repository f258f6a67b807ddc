//! Where events may be posted: control is inside the operator's network, and whoever subscribes a
//! URL is not.

use super::{SETTINGS, Target, exchange};
use crate::hooks::signatures::SEAL;
use arizuko_tests::prelude::*;

#[apply(embedded)]
async fn only_public_addresses_over_https_are_subscribed(kind: Kind) {
    let stack = Stack::with(kind, &[SEAL]).await;
    let subscribe =
        async |url: &str| stack.arizuko(&["event", "subscribe", "acme", "--url", url]).await;
    for url in [
        "https://127.0.0.1:8000/",
        "https://2130706433/",
        "https://localhost/",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://224.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fd00::1]/",
        "https://0.0.0.0/",
    ] {
        let told = subscribe(url).await.expect(1).err;
        assert!(
            told.contains("public address") && told.contains("--private-event-targets"),
            "{told}"
        );
    }
    for (url, why) in [
        ("http://acme.invalid/", "begins with https://"),
        ("https://ana:secret@acme.invalid/", "no user name"),
        ("acme.invalid", "looks like"),
    ] {
        let told = subscribe(url).await.expect(1).err;
        assert!(told.contains(why), "{url}: {told}");
    }
    // A name that has no address yet may have one later.
    subscribe("https://acme.invalid/events").await.expect(0);
    let told = stack
        .arizuko(&["event", "subscribe", "acme", "--url", "https://acme.invalid/", "--events", "x"])
        .await
        .expect(1)
        .err;
    assert!(told.contains("turn.done"), "it names the kinds that there are: {told}");
}

#[apply(embedded)]
async fn a_redirect_is_not_followed(kind: Kind) {
    let stack = Stack::with(kind, &SETTINGS).await;
    let target = Target::subscribe(&stack, "acme", &[]).await;
    let mut receiver = target.listen(&stack, &["307"]).await;
    let mut agent = stack.attach("acme", B).await;
    exchange(&stack.visit("acme").await, &mut agent, None).await;
    assert_eq!(receiver.next("turn.done").await["path"], "/events");
    target.fails(&stack, "307").await;
    assert_eq!(receiver.next("turn.done").await["path"], "/events", "the retry");
}

#[apply(embedded)]
async fn without_a_key_that_seals_nothing_is_subscribed(stack: Stack) {
    let url = "https://acme.invalid/";
    let told = stack.arizuko(&["event", "subscribe", "acme", "--url", url]).await.expect(1).err;
    assert!(told.contains("--seal-key-file"), "{told}");
}
