//! A real Redis for the store's tests.

use crate::store::{
    redis::{Redis, Source},
    waiting::Waiting,
};
use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::timeout;

/// A Redis that runs until this is dropped.
pub(super) struct Server {
    process: Child,
    folder: TempDir,
}

impl Server {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket", "redis.sock", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts: tests/run installs it");
        Self { process, folder }
    }

    pub(super) async fn open(&self) -> Redis {
        let url = format!("redis+unix://{}", self.folder.path().join("redis.sock").display());
        let source = Source::parse(&url, false).expect("the URL is well formed");
        let waiting = Waiting::default();
        let opened =
            timeout(Duration::from_secs(10), Redis::open(source, "test", 0, &waiting)).await;
        opened.expect("Redis answers within 10 s").expect("it refuses nothing")
    }

    /// Deletes everything.
    pub(super) fn clear(&self) {
        self.ask(&["FLUSHALL"]);
    }

    /// Runs `redis-cli` with these arguments; panics if it fails.
    pub(super) fn ask(&self, arguments: &[&str]) {
        let socket = self.folder.path().join("redis.sock");
        let asked = Command::new("redis-cli").arg("-s").arg(socket).args(arguments).output();
        assert!(asked.is_ok_and(|output| output.status.success()), "{arguments:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
