//! Deployments that share a Redis, and stores that are emptied.

use arizuko_proto::v1::{GetStatusRequest, admin_service_client::AdminServiceClient};
use arizuko_tests::prelude::*;

/// Returns a command that starts another control on a stack's Redis.
fn control(stack: &mut Stack, flags: &[&str]) -> tokio::process::Command {
    let mut control = stack.program("arizuko-control");
    control.args(["--listen", "127.0.0.1:0", "--redis", &stack.redis().url()]).args(flags);
    control.env("ARIZUKO_OPERATOR_KEY", stack.operator_key());
    control.env("ARIZUKO_GATEWAY_KEY", random_id());
    control
}

async fn partitions(stack: &Stack, at: &str) -> u32 {
    let mut admin = AdminServiceClient::new(connect(at, Some(stack.operator_key())).await);
    let status = admin.get_status(GetStatusRequest {}).await.expect("operators ask");
    status.into_inner().partitions
}

#[apply(one_redis)]
async fn a_prefix_belongs_to_the_deployment_that_used_it_first(mut stack: Stack) {
    let other = ["--public-url", "https://other.example"];
    let outcome = run(&mut control(&mut stack, &other), "").await.expect(1);
    let told =
        "belongs to the deployment https://{root}.example, and this is https://other.example";
    assert!(outcome.err.contains(told), "{outcome:?}");
    for own in [["--redis-prefix", "other"], ["--deployment", "https://{root}.example"]] {
        let started = control(&mut stack, &[&other[..], &own].concat());
        Process::start("other", started, &stack.logs()).line().await;
    }
}

#[apply(one_redis)]
async fn an_emptied_store_keeps_its_partitions(mut stack: Stack) {
    let before = partitions(&stack, &stack.control(A)).await;
    stack.redis().ask(&["FLUSHALL"]).await;
    assert!(!stack.process(Control(A)).exit().await.success());
    let said = fs::read_to_string(stack.logs().join("control-a.log")).expect("it is text");
    assert!(said.contains("the store was emptied"), "{said}");
    let flags = ["--public-url", "https://{root}.example", "--partitions", "7"];
    let later = control(&mut stack, &flags);
    let mut later = Process::start("later", later, &stack.logs());
    let line = later.line().await;
    let later = line.rsplit(' ').next().expect("a URL");
    assert_eq!(partitions(&stack, later).await, before);
}

#[apply(one_redis)]
async fn a_control_stops_when_others_begin_its_store_anew(mut stack: Stack) {
    // Writes the layout that other controls would write if they began the store anew, with 7
    // partitions, before this control reads it again.
    let layout = r#"{"format":4,"partitions":7,"deployment":"https://{root}.example"}"#;
    let record = format!("0000000000000001 {layout}");
    stack.redis().ask(&["SET", "arizuko:{0}:layout", &record]).await;
    assert!(!stack.process(Control(A)).exit().await.success());
    let said = fs::read_to_string(stack.logs().join("control-a.log")).expect("it is text");
    assert!(said.contains("begun anew with 7 partitions"), "{said}");
}

#[apply(one_redis)]
async fn a_redis_that_evicts_any_key_is_refused(mut stack: Stack) {
    stack.redis().ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let url = ["--public-url", "https://{root}.example"];
    let outcome = run(&mut control(&mut stack, &url), "").await.expect(1);
    assert!(outcome.err.contains("maxmemory-policy allkeys-lru"), "{outcome:?}");
    assert!(outcome.err.contains("--redis-may-evict"), "{outcome:?}");
    let allowed = control(&mut stack, &[&url[..], &["--redis-may-evict"]].concat());
    Process::start("allowed", allowed, &stack.logs()).line().await;
}
