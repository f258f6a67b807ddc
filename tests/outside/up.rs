//! `arizuko up`: everything in one process, started as a new user starts it.

mod first_run;
mod next_run;
mod site;
mod stores;

use arizuko_tests::prelude::*;
use tokio::process::Command;

/// A folder that stands for a user's machine.
struct Home(Folder);

impl Home {
    fn new() -> Self {
        Self(Folder::new())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn arizuko(&self) -> Command {
        let mut arizuko = self.0.program("arizuko");
        arizuko.env_remove("RUST_LOG");
        arizuko
    }

    fn start(&self, flags: &[&str]) -> Process {
        let mut up = self.arizuko();
        up.args(["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"]).args(flags);
        Process::start("up", up, &self.0.logs())
    }

    /// Starts `arizuko up --json` and reads the JSON that it prints once it serves.
    async fn up(&self, flags: &[&str]) -> (Process, Value) {
        let mut up = self.start(&[&["--json"], flags].concat());
        let ready = up.line().await;
        (up, serde_json::from_str(&ready).expect("one line of JSON"))
    }

    async fn fails(&self, arguments: &[&str]) -> String {
        let outcome = run(self.arizuko().args(arguments), "").await.expect(1);
        assert_eq!(outcome.out, "", "errors go to standard error: {outcome:?}");
        assert!(
            !outcome.err.contains("panicked") && outcome.err.lines().count() <= 2,
            "{outcome:?}"
        );
        outcome.err
    }
}

fn text(document: &Value, name: &str) -> String {
    document[name].as_str().unwrap_or_else(|| panic!("no {name} in {document}")).to_owned()
}

/// Sends a message on a link and waits for the answer.
async fn answer(url: &str) -> String {
    let post = ["-H", "content-type: text/plain", "--data-binary", "hello *there*"];
    let outcome = curl(&[&post[..], &[&format!("{url}?wait=15")]].concat()).await.expect(0);
    let document: Value = serde_json::from_str(&outcome.out).expect("JSON");
    text(&document["assistant"][0], "content")
}

/// Returns the HTTP status of a link.
async fn status(url: &str) -> String {
    curl(&["--output", "/dev/null", "--write-out", "%{http_code}", url]).await.expect(0).out
}
