//! Certificates that are renewed while their server runs.

use arizuko_tests::certificates::serial;
use arizuko_tests::prelude::*;

const HOSTS: [&str; 2] = ["IP:127.0.0.1", "DNS:localhost"];

/// Returns the serial number of the certificate that a server shows on a new connection.
async fn shown(url: String, client: &Certificate) -> String {
    let (_, address) = url.split_once("://").expect("a URL");
    serial(address, client).await
}

#[apply(every_stack)]
async fn a_renewed_certificate_is_served_and_a_broken_one_is_not(kind: Kind) {
    let stack = Stack::with_tls(kind, &[]).await;
    let tls = stack.tls();
    let servers = || {
        let control = Some(stack.control(A)).filter(|url| url.starts_with("https"));
        [Some(stack.gateway(A)), control].into_iter().flatten()
    };
    let visitor = stack.visit("acme").await;
    let posted = visitor.say("hello").await;
    let mut agent = stack.attach("acme", A).await;
    let mut held = agent.turn().await;
    let mut events = visitor.listen(&posted.turn).await;
    events.greeting().await;
    let first = shown(stack.gateway(A), &tls.client).await;

    // The new certificate does not match the old key: the old certificate stays in use.
    let key = fs::read(&tls.server.key).expect("it is there");
    tls.authority.issue("server", &HOSTS).await;
    let new_key = fs::read(&tls.server.key).expect("it is there");
    fs::write(&tls.server.key, &key).expect("it is ours");
    for server in servers() {
        assert_eq!(shown(server, &tls.client).await, first);
    }
    // With its key, the new certificate is used.
    fs::write(&tls.server.key, &new_key).expect("it is ours");
    let second = shown(stack.gateway(A), &tls.client).await;
    assert_ne!(second, first);
    for server in servers() {
        assert_eq!(shown(server, &tls.client).await, second);
    }
    // The new certificate stays in use if a file becomes invalid or disappears.
    fs::write(&tls.server.cert, "nonsense").expect("it is ours");
    for server in servers() {
        assert_eq!(shown(server, &tls.client).await, second);
    }
    fs::remove_file(&tls.server.key).expect("it is ours");
    for server in servers() {
        assert_eq!(shown(server, &tls.client).await, second);
    }
    // Streams that were open before continue, and new ones begin.
    agent.append(&mut held, delta("m1", "still here")).await;
    let event = events.next().await.expect("the stream goes on");
    assert_eq!(event.data["text"], "still here");
    visitor.listen(&posted.turn).await.take(1).await;

    let log = || {
        let logs = fs::read_dir(stack.logs()).expect("it is a folder");
        let logs = logs.map(|log| fs::read_to_string(log.expect("it is readable").path()));
        logs.map(|log| log.expect("logs are text")).collect::<String>()
    };
    for line in [
        "reloaded the certificate",
        "is not the key of the certificate in",
        "keeping the previous one",
        "there is no certificate in",
    ] {
        until(format!("the log to say: {line}"), async || log().contains(line)).await;
    }
}
