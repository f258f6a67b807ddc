//! The harness: starts the real programs as processes, on port 0 and with a folder of their own,
//! and drives them from outside as visitors, agents and operators do.
//!
//! Whatever goes wrong here panics: that is how a test fails. Every wait is bounded and says what
//! it waited for.

pub mod agent;
pub mod attach;
mod binaries;
mod browser;
pub mod certificates;
pub mod cli;
pub mod collector;
pub mod endpoint;
pub mod fleet;
pub mod folder;
pub mod http;
pub mod metrics;
pub mod model;
pub mod operator;
pub mod person;
pub mod prelude;
pub mod process;
pub mod proxy;
pub mod python;
pub mod redis;
pub mod routes;
pub mod sse;
pub mod stack;
mod suite;
pub mod tools;

pub use macro_rules_attribute::apply;
pub use stack::{BOTH, Instance, Kind, Part, Stack};

use serde_json::Value;
use std::{fmt::Display, time::Duration};
use tokio::{
    runtime,
    time::{sleep, timeout},
};

/// How long anything may take that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long a whole test may take.
const LIMIT: Duration = Duration::from_secs(420);

/// Waits for something that should happen, and fails the test when it doesn't.
pub async fn within<T>(what: impl Display, event: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, event).await {
        Ok(happened) => happened,
        Err(_) => panic!("waited {PATIENCE:?} for {what}, in vain"),
    }
}

/// Waits until something holds, and fails the test when it doesn't.
pub async fn until(what: impl Display, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Checks some fields of a JSON document.
#[track_caller]
pub fn assert_fields(document: &Value, fields: Value) {
    for (name, value) in fields.as_object().expect("an object of fields") {
        assert_eq!(&document[name], value, "{name} in {document}");
    }
}

/// What a test takes as its argument.
pub trait Fixture {
    /// Makes it for a stack of this kind.
    fn of(kind: Kind) -> impl Future<Output = Self>;
}

/// For a test that starts its stack itself, with settings.
impl Fixture for Kind {
    async fn of(kind: Kind) -> Self {
        kind
    }
}

/// For a test on a stack with the defaults.
impl Fixture for Stack {
    async fn of(kind: Kind) -> Self {
        Self::start(kind).await
    }
}

/// Runs one test in the calling thread: its processes live as long as that thread.
pub fn run<T: Fixture, F: Future<Output = ()>>(kind: Kind, test: impl FnOnce(T) -> F) {
    run_for(LIMIT, kind, test);
}

/// Like [`run`], with another limit.
pub fn run_for<T: Fixture, F: Future<Output = ()>>(
    limit: Duration,
    kind: Kind,
    test: impl FnOnce(T) -> F,
) {
    binaries::build();
    // An error says that another test has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime needs no more than a few file descriptors");
    runtime.block_on(async {
        let ended = timeout(limit, async { test(T::of(kind).await).await }).await;
        assert!(ended.is_ok(), "the test was not over after {limit:?}");
    });
}
