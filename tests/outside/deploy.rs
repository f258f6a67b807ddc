//! Installation: proxy configurations, systemd units, containers, and the instructions.

mod containers;
mod install;
mod machine;
mod package;
mod proxies;
mod units;

use arizuko_tests::prelude::*;

/// Returns the path of a file in this repository.
fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
