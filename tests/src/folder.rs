//! A folder for everything that a test's programs write.

use crate::process::program;
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
};
use tempfile::TempDir;
use tokio::process::Command;

/// Writes a file that only its owner may read, as our programs require of a file with a key.
pub fn write_secret(path: &Path, secret: &str) {
    let mut file = OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(secret.as_bytes()));
    written.expect("the folder is ours");
}

/// The folder, with `home`, `run` and `logs` in it. It is removed when the test passes. A failing
/// test keeps it and prints where its logs are.
pub struct Folder(TempDir);

impl Folder {
    /// Creates a folder.
    #[expect(clippy::new_without_default, reason = "it touches the file system")]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("arizuko-test-").tempdir();
        let folder = folder.expect("the system has room for temporary files");
        for name in ["home", "run", "logs"] {
            fs::create_dir(folder.path().join(name)).expect("the folder is new");
        }
        Self(folder)
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns the folder of logs, which has one file for each process.
    pub fn logs(&self) -> PathBuf {
        self.path().join("logs")
    }

    /// Returns a command that runs one of our programs, with its home in this folder.
    pub fn program(&self, name: &str) -> Command {
        program(name, self.path())
    }
}

impl Drop for Folder {
    #[expect(clippy::print_stderr, reason = "the test runner shows it with the failure")]
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.disable_cleanup(true);
            eprintln!("── this test's logs are in {}", self.logs().display());
        }
    }
}
