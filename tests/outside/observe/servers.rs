//! The list of controls and gateways in `arizuko status`.

use arizuko_proto::v1::gateway_service_client::GatewayServiceClient;
use arizuko_tests::prelude::*;
use futures_util::stream::{self, StreamExt as _};

/// Returns the servers that `status` lists.
async fn listed(stack: &Stack) -> Vec<Value> {
    let status = stack.arizuko(&["status", "--json"]).await.expect(0).json();
    status["servers"].as_array().expect("a list").clone()
}

/// Waits until `status` lists exactly the servers at these URLs.
async fn lists(stack: &Stack, urls: &[(&str, String)]) {
    let mut wanted: Vec<_> = urls
        .iter()
        .map(|(kind, url)| {
            let (_, address) = url.split_once("://").expect("a URL");
            (format!("SERVER_KIND_{kind}"), address.to_owned())
        })
        .collect();
    wanted.sort();
    until(format!("status to list {wanted:?}"), async || {
        let servers = listed(stack).await;
        let found = servers.iter().map(|server| {
            let name = server["name"].as_str().expect("a name");
            let address = name.split(' ').next_back().expect("an address");
            (server["kind"].as_str().expect("a kind").to_owned(), address.to_owned())
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        found == wanted
    })
    .await;
}

#[apply(every_stack)]
async fn status_lists_the_controls_and_gateways_that_run(mut stack: Stack) {
    let mut urls = Vec::new();
    for instance in BOTH {
        urls.extend([("CONTROL", stack.control(instance)), ("GATEWAY", stack.gateway(instance))]);
    }
    urls.sort();
    urls.dedup();
    lists(&stack, &urls).await;
    for server in listed(&stack).await {
        assert_eq!(server["version"], env!("CARGO_PKG_VERSION"), "{server}");
        assert!(server["started_at"].is_string() && server["seen_at"].is_string(), "{server}");
        assert_eq!(server["certificate_ends_at"], Value::Null, "{server}");
    }
    let shown = stack.arizuko(&["status"]).await.expect(0).out;
    let rows = shown.lines().skip_while(|line| !line.starts_with("SERVER")).skip(1);
    let rows = rows.take_while(|line| !line.is_empty()).inspect(|row| {
        assert!(row.ends_with("now"), "{row}");
    });
    assert_eq!(rows.count(), urls.len(), "{shown}");
    if stack.kind() != Kind::Pair {
        return;
    }
    // A server that stops leaves the list at once. A server that is killed stays in the list for a
    // while, so that operators notice.
    for part in [Gateway(A), Control(A)] {
        stack.process(part).signal(Signal::SIGTERM);
        assert_eq!(stack.process(part).exit().await.code(), Some(0));
    }
    stack.kill(Gateway(B));
    let left = [("CONTROL", stack.control(B)), ("GATEWAY", stack.gateway(B))];
    lists(&stack, &left).await;
}

#[apply(one_redis)]
async fn status_shows_when_certificates_end(kind: Kind) {
    let stack = Stack::with_tls(kind, &[]).await;
    lists(&stack, &[("CONTROL", stack.control(A)), ("GATEWAY", stack.gateway(A))]).await;
    for server in listed(&stack).await {
        assert!(server["certificate_ends_at"].is_string(), "{server}");
    }
}

#[apply(embedded)]
async fn status_lists_a_thousand_at_most(stack: Stack) {
    let key = stack.key(KeyKind::Gateway, "", KeyReach::Unspecified, false).await;
    let channel = connect(&stack.control(A), Some(&key.key)).await;
    let tell = |number: usize| {
        let mut gateway = GatewayServiceClient::new(channel.clone());
        let name = format!("gateway {number}");
        let request = v1::ReportGatewayRequest { name, ..Default::default() };
        async move { gateway.report_gateway(request).await }
    };
    let told: Vec<_> = stream::iter(0..1_010).map(tell).buffered(4).collect().await;
    let refused: Vec<_> = told.iter().filter_map(|told| told.as_ref().err()).collect();
    // The stack's own servers are among the thousand that are listed.
    assert!((10..=12).contains(&refused.len()), "{}", refused.len());
    assert!(refused.iter().all(|status| reason(status) == ErrorReason::LimitReached));
    tell(0).await.expect("one that is listed goes on telling");
}
