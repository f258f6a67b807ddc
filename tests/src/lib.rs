//! The harness: starts the real programs as processes, on free ports and in a folder of each test's
//! own, and drives them as visitors, agents and operators do.
//!
//! Everything here panics on failure: that fails the test. Every wait is bounded and says what it
//! waited for.

pub mod agent;
pub mod attach;
mod binaries;
mod browser;
pub mod certificates;
pub mod cli;
pub mod clients;
pub mod collector;
mod contract;
pub mod endpoint;
pub mod fleet;
pub mod folder;
pub mod http;
pub mod language;
pub mod metrics;
pub mod model;
pub mod operator;
pub mod person;
mod picture;
pub mod prelude;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod routes;
pub mod sse;
pub mod stack;
mod suite;
pub mod tools;

pub use browser::Browser;
pub use language::Language;
pub use macro_rules_attribute::apply;
pub use stack::{BOTH, Instance, Kind, Part, Stack};

use serde_json::Value;
use std::{fmt::Display, pin::Pin, time::Duration};
use tokio::{
    runtime,
    time::{sleep, timeout},
};

/// How long a test waits for one event, at most.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long a test may take.
const LIMIT: Duration = Duration::from_secs(420);

/// Waits for an event, and fails the test if it doesn't happen.
pub async fn within<T>(what: impl Display, event: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, event).await {
        Ok(happened) => happened,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Waits until a condition holds, and fails the test if it doesn't.
pub async fn until(what: impl Display, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Asserts the values of some fields of a JSON document.
#[track_caller]
pub fn assert_fields(document: &Value, fields: Value) {
    for (name, value) in fields.as_object().expect("an object of fields") {
        assert_eq!(&document[name], value, "{name} in {document}");
    }
}

/// A value that a test can take as its argument.
pub trait Fixture {
    /// Prepares the argument for a test on this kind of stack.
    fn of(kind: Kind) -> impl Future<Output = Self>;
}

/// For tests that start a stack with settings.
impl Fixture for Kind {
    async fn of(kind: Kind) -> Self {
        kind
    }
}

/// For tests on a stack with the defaults.
impl Fixture for Stack {
    async fn of(kind: Kind) -> Self {
        Self::start(kind).await
    }
}

/// Runs one test in the calling thread. Its processes die with that thread.
pub fn run<T: Fixture, F: Future<Output = ()>>(kind: Kind, test: impl FnOnce(T) -> F) {
    run_for(LIMIT, kind, test);
}

/// Like [`run`], with another limit.
pub fn run_for<T: Fixture, F: Future<Output = ()>>(
    limit: Duration,
    kind: Kind,
    test: impl FnOnce(T) -> F,
) {
    block_on(limit, Box::pin(async { test(T::of(kind).await).await }));
}

/// Knows nothing of the test's type, so that the runtime is compiled once and not for each test.
fn block_on(limit: Duration, test: Pin<Box<dyn Future<Output = ()> + '_>>) {
    binaries::build();
    // An error means that another test has installed the provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system has a few file descriptors");
    let ended = runtime.block_on(async { timeout(limit, test).await });
    assert!(ended.is_ok(), "the test was not over after {limit:?}");
}
