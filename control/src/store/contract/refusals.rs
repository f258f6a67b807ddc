//! Batches that Redis cannot apply change nothing.

use super::{
    server::Server,
    steps::{add, append, batch, put, record},
};
use crate::store::{Store, StoreError, Write};

#[tokio::test]
async fn a_batch_that_cannot_be_applied_changes_nothing() {
    let server = Server::start();
    let store = server.open().await;
    let key = |name: &str| format!("test:{{3}}:{name}");
    server.ask(&["SADD", &key("set"), "foreign"]);
    server.ask(&["SET", &key("log"), "foreign"]);
    server.ask(&["SET", &key("counter"), "foreign"]);
    let count = Write::Count { counter: "counter".to_owned(), by: 1 };
    let trim = Write::Trim { log: "set".to_owned(), through: 1 };
    let remove = Write::Remove { set: "log".to_owned(), member: "m".to_owned() };
    for impossible in [add("set", "m", 1), remove, append("log", 1), trim, count] {
        let refused = format!("{impossible:?}");
        let outcome = store.commit(&batch(1, vec![], vec![put("a", "1"), impossible])).await;
        let Err(StoreError::Unavailable(why)) = outcome else {
            panic!("{refused}: {outcome:?}");
        };
        assert!(why.contains("WRONGTYPE") && why.contains("--redis-prefix"), "{why}");
        assert_eq!(record(&store, "a").await, None, "{refused}");
    }
}
