//! What an operator puts on a machine: proxies' configurations, units, and the way there.

mod install;
mod proxies;
mod units;

use arizuko_tests::prelude::*;

/// A file of this repository.
fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
