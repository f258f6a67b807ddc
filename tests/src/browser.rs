//! Runs the tests in `tests/browser`, which drive Chromium and Firefox, against a stack.

use crate::{
    Instance::{A, B},
    Stack, binaries,
    process::{Process, command},
    tools::found,
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    env,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;

/// How long all test files of one call may take together.
const LIMIT: Duration = Duration::from_secs(400);

/// The browser that visits a stack.
#[derive(Clone, Copy)]
pub enum Browser {
    /// Chromium's engine without a window. It takes half as much processor time as Chromium.
    Shell,
    /// The Chromium that people use, which can also block storage.
    Chromium,
    /// Debian's build of Firefox's long-term release.
    Firefox,
}

impl Browser {
    fn program(self) -> &'static str {
        match self {
            Self::Shell => "chromium-headless-shell",
            Self::Chromium => "chromium",
            Self::Firefox => "firefox-esr",
        }
    }
}

impl Stack {
    /// Runs these files of `tests/browser` against this stack, whose links must lead to its
    /// gateway. With `ARIZUKO_BROWSERS=all` in the environment, runs them in Chromium and then in
    /// Firefox, and puts screenshots into `target/screenshots`.
    pub async fn browser_tests(&self, browser: Browser, files: &[&str]) {
        if env::var("ARIZUKO_BROWSERS").is_ok_and(|all| all == "all") {
            for browser in [Browser::Chromium, Browser::Firefox] {
                let screenshots = binaries::path("../screenshots").join(browser.program());
                self.run_in(browser, files, Some(screenshots)).await;
            }
        } else {
            self.run_in(browser, files, None).await;
        }
    }

    async fn run_in(&self, browser: Browser, files: &[&str], screenshots: Option<PathBuf>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
        let playwright = folder.join("node_modules/playwright-core");
        assert!(playwright.exists(), "playwright-core is not installed: tests/run does it");
        let (chat_url, _demo) = self.demo(&folder).await;

        let mut node = command(found("node"));
        // In one process, all files share a browser.
        let imports = files.iter().map(|file| format!("await import('./{file}.test.js');"));
        node.args(["--test-reporter=tap", "--input-type=module", "--eval"]);
        node.arg(imports.collect::<String>());
        node.current_dir(&folder).process_group(0);
        let controls = format!("{},{}", self.control(A), self.control(B));
        node.env("HOME", self.folder().join("home"));
        node.env("ARIZUKO_BROWSER", found(browser.program()));
        node.env("ARIZUKO_CLI", self.mortal_cli());
        node.env("ARIZUKO_CONTROL", controls);
        node.env("ARIZUKO_KEY", self.operator_key());
        node.env("ARIZUKO_CHAT_URL", chat_url);
        if let Some(screenshots) = screenshots {
            node.env("ARIZUKO_SCREENSHOTS", screenshots);
        }
        let said = self.logs().join("browser.txt");
        let output = File::create(&said).expect("the stack's folder is ours");
        let mut child = node.stdout(output).spawn().expect("node was just found");
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let ended = timeout(LIMIT, child.wait()).await;
        if let Some(group) = group {
            // An error means that no process of the group is left.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let said = fs::read_to_string(said).expect("node writes text");
        let ended = ended.unwrap_or_else(|_| {
            panic!("the browser's tests were not over after {LIMIT:?}:\n{said}")
        });
        let status = ended.expect("it is our child");
        assert!(status.success(), "the browser's tests fail:\n{said}");
    }

    /// Returns a link with a demo agent: the one of `up`, or one from `tests/browser` that this
    /// function starts.
    async fn demo(&self, folder: &Path) -> (String, Option<Process>) {
        if let Some(url) = self.demo_url() {
            return (url.to_owned(), None);
        }
        let mut exec = self.operators_command();
        exec.args(["agent", "exec", "--folder", "demo", "--"])
            .arg(folder.join("agents/document.sh"));
        let agent = Process::start("demo", exec, &self.logs());
        self.attended("demo").await;
        (self.issue("demo").await.url, Some(agent))
    }

    /// Writes a script that runs `arizuko` and dies with the process that started it.
    fn mortal_cli(&self) -> PathBuf {
        let path = self.folder().join("arizuko");
        let arizuko = binaries::path("arizuko");
        let script =
            format!("#!/bin/sh\nexec setpriv --pdeathsig KILL -- '{}' \"$@\"\n", arizuko.display());
        fs::write(&path, script).expect("the stack's folder is ours");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("the file, too");
        path
    }
}
