//! Builds the programs under test and says where they are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Returns the path of one of our programs. They are in the parent of the test program's folder.
pub(crate) fn path(name: &str) -> PathBuf {
    folder().join(name)
}

fn folder() -> PathBuf {
    let this = env::current_exe().expect("a running program has a path");
    let deps = this.parent().expect("a program is in a folder");
    deps.parent().expect("cargo puts tests two folders below its target").to_owned()
}

/// Builds our programs once, so that no test runs an outdated one.
pub(crate) fn build() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = folder();
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--profile", profile, "--bins"]);
        if profile == "dev" {
            // If cargo also builds a test, the dependencies have the same features as in the suite.
            // Otherwise most of the dependencies would be built twice.
            cargo.args(["--workspace", "--test", "outside"]);
        } else {
            for package in ["arizuko", "arizuko-control", "arizuko-gateway"] {
                cargo.args(["--package", package]);
            }
        }
        cargo.current_dir(workspace());
        // Removes the variables that cargo sets for tests. With them, build scripts would see a
        // change and everything would be built again.
        const TOLD: [&str; 5] =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_"];
        for (name, _) in env::vars_os() {
            if TOLD.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                cargo.env_remove(name);
            }
        }
        let status = cargo.status().expect("cargo is there, since it runs us");
        assert!(status.success(), "the programs under test do not build");
    });
}

fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("this package is in the workspace's folder")
}
