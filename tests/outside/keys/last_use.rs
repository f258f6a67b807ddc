//! A key's record says when the key was last used. This is written at most once an hour.

use arizuko_proto::v1::{ListTokensRequest, token_service_client::TokenServiceClient};
use arizuko_tests::prelude::*;

async fn call(stack: &Stack, key: &str) {
    for control in BOTH {
        let mut tokens = TokenServiceClient::new(connect(&stack.control(control), Some(key)).await);
        tokens.list_tokens(ListTokensRequest::default()).await.expect("the key is good");
    }
}

/// Returns when the key with this id was last used, as `key list` says.
async fn last_used_at(stack: &Stack, id: &str) -> Option<String> {
    let listed = stack.arizuko(&["key", "list", "--json"]).await.expect(0).json();
    let keys = listed["keys"].as_array().expect("a list");
    let key = keys.iter().find(|key| key["key_id"] == id).expect("it is listed");
    key["last_used_at"].as_str().map(str::to_owned)
}

/// Returns how many commits have written the record of a key.
fn writes(stack: &Stack, id: &str) -> usize {
    let files = fs::read_dir(stack.logs()).expect("the stack has logs");
    let files = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    let is_write =
        |line: &&str| line.contains("committed") && line.contains(&format!("put key:{id}"));
    files.map(|text| text.lines().filter(is_write).count()).sum()
}

#[apply(embedded_and_pair)]
async fn the_last_use_of_a_key_is_listed_and_written_once(stack: Stack) {
    let used = stack.key(KeyKind::Agent, "acme", KeyReach::Self_, true).await;
    let unused = stack.key(KeyKind::Agent, "acme", KeyReach::Self_, true).await;
    let later = stack.key(KeyKind::Agent, "acme", KeyReach::Self_, true).await;
    assert_eq!(last_used_at(&stack, &used.key_id).await, None);
    for _ in 0..20 {
        call(&stack, &used.key).await;
    }
    until("the listed use", async || last_used_at(&stack, &used.key_id).await.is_some()).await;
    let first = last_used_at(&stack, &used.key_id).await;
    let table = stack.arizuko(&["key", "list"]).await.expect(0).out;
    let second = first.as_deref().and_then(|at| at.split('.').next()).expect("a time");
    assert!(table.contains("USED") && table.matches(second).count() >= 1, "{table}");

    // Waits until the use of a later key is written: by then, a second use of the first key would
    // have been written, too.
    call(&stack, &used.key).await;
    call(&stack, &later.key).await;
    until("the later use", async || last_used_at(&stack, &later.key_id).await.is_some()).await;
    assert_eq!(last_used_at(&stack, &used.key_id).await, first);
    assert_eq!(writes(&stack, &used.key_id), 2, "its creation and its use");
    assert_eq!(last_used_at(&stack, &unused.key_id).await, None);
}

/// Changes the last use of a key to this time, in milliseconds since 1970.
async fn age(stack: &mut Stack, id: &str, last_used_at: &str) {
    let redis = stack.redis();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the store has text");
    let name = text(redis.ask(&["--raw", "keys", &format!("*:key:{id}")]).await);
    let record = text(redis.ask(&["--raw", "get", name.trim()]).await);
    let (before, after) = record.split_once("\"last_used_at\":").expect("it was used");
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    let record = format!("{before}\"last_used_at\":{last_used_at}{after}");
    redis.ask(&["set", name.trim(), record.trim_end()]).await;
}

#[apply(one_redis)]
async fn an_open_stream_is_a_use(kind: Kind) {
    let mut stack = Stack::with(kind, &[("ARIZUKO_RECHECK", "200ms")]).await;
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Self_, true).await;
    let _session = stack.attach_with(&key.key, hello("acme", 0), A).await;
    until("the listed call", async || last_used_at(&stack, &key.key_id).await.is_some()).await;
    age(&mut stack, &key.key_id, "1000").await;
    until("the listed open stream", async || {
        !last_used_at(&stack, &key.key_id).await.expect("it was used").starts_with("1970")
    })
    .await;
}
