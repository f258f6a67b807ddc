//! Checks Redis's settings for those that weaken a promise.

use super::servers::{Server, Servers};
use redis::{InfoDict, RedisResult, Value, cmd};
use std::collections::HashMap;

/// Returns a sentence for each setting that the operator should change.
pub(super) async fn remarks(server: &Server) -> Vec<String> {
    match read(server).await {
        Ok((settings, replicas)) => judge(&settings, replicas),
        Err(_) => vec![
            "Redis does not show its settings, so it is unknown what would survive a crash"
                .to_owned(),
        ],
    }
}

/// Refuses servers that may evict any key when they are full.
pub(super) async fn must_not_evict(servers: &Servers) -> anyhow::Result<()> {
    for server in servers.all() {
        let mut connection = server.connection.clone();
        let memory = cmd("INFO").arg("memory").query_async::<InfoDict>(&mut connection).await;
        let policy = memory.ok().and_then(|memory| memory.get::<String>("maxmemory_policy"));
        if let Some(policy) = policy.filter(|policy| policy.starts_with("allkeys-")) {
            anyhow::bail!(
                "{} has maxmemory-policy {policy}, so it evicts conversations, links and keys when it \
                 is full: set maxmemory-policy noeviction, or say --redis-may-evict if all of it \
                 may be lost",
                server.address()
            );
        }
    }
    Ok(())
}

/// Reads the settings, and how many replicas there are.
async fn read(server: &Server) -> RedisResult<(HashMap<String, String>, usize)> {
    let mut connection = server.connection.clone();
    let settings = cmd("CONFIG")
        .arg("GET")
        .arg(&[
            "appendonly",
            "appendfsync",
            "maxmemory",
            "maxmemory-policy",
            "min-replicas-to-write",
        ])
        .query_async(&mut connection)
        .await?;
    let (_, _, replicas): (String, u64, Vec<Value>) =
        cmd("ROLE").query_async(&mut connection).await?;
    Ok((settings, replicas.len()))
}

fn judge(settings: &HashMap<String, String>, replicas: usize) -> Vec<String> {
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|found| found == value);
    let mut remarks = Vec::new();
    if is("appendonly", "no") {
        remarks.push(
            "a crash of Redis loses what came after its last snapshot: set appendonly yes and \
             appendfsync always",
        );
    } else if !is("appendfsync", "always") {
        remarks.push(
            "a crash of Redis may lose the last second: set appendfsync always to lose nothing",
        );
    }
    if !is("maxmemory", "0") && !is("maxmemory-policy", "noeviction") {
        remarks
            .push("Redis may evict conversations when it is full: set maxmemory-policy noeviction");
    }
    if replicas > 0 && is("min-replicas-to-write", "0") {
        remarks.push(
            "a primary that is cut off goes on taking messages, which will be lost, and accepting \
             revoked tokens: set min-replicas-to-write 1 and min-replicas-max-lag 10",
        );
    }
    remarks.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_that_breaks_a_promise_is_said() {
        let settings = |appendonly: &str, appendfsync: &str, maxmemory: &str, policy: &str| {
            HashMap::from([
                ("appendonly".to_owned(), appendonly.to_owned()),
                ("appendfsync".to_owned(), appendfsync.to_owned()),
                ("maxmemory".to_owned(), maxmemory.to_owned()),
                ("maxmemory-policy".to_owned(), policy.to_owned()),
                ("min-replicas-to-write".to_owned(), "0".to_owned()),
            ])
        };
        let said = |settings| judge(&settings, 0).join(" ");
        assert_eq!(said(settings("yes", "always", "0", "allkeys-lru")), "");
        assert_eq!(said(settings("yes", "always", "1", "noeviction")), "");
        assert!(said(settings("no", "always", "0", "x")).contains("snapshot"));
        assert!(said(settings("yes", "everysec", "0", "x")).contains("last second"));
        assert!(said(settings("yes", "always", "1", "allkeys-lru")).contains("evict"));
        let sound = settings("yes", "always", "0", "x");
        assert!(judge(&sound, 1).join(" ").contains("cut off"));
    }
}
