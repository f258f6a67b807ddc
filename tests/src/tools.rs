//! Programs that we didn't write, and that stand for all that may call us.

use crate::{
    cli::{Outcome, run},
    process::{Process, command},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{
    env,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};
use tokio::process::Command;

/// curl.
pub async fn curl(arguments: &[&str]) -> Outcome {
    run(
        command(found("curl")).args(["--silent", "--show-error", "--no-buffer"]).args(arguments),
        "",
    )
    .await
}

/// An nginx with this within its `http`, that keeps to `folder`.
pub fn nginx(folder: &Path, http: &str) -> Process {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};"))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid nginx.pid; events {{}}\n\
         http {{ access_log off; {temporary}\n{http} }}\n"
    );
    fs::write(folder.join("nginx.conf"), config).expect("the folder is ours");
    let mut nginx = command(found("nginx"));
    nginx.arg("-p").arg(folder).args(["-e", "stderr", "-c", "nginx.conf"]);
    Process::start("nginx", nginx, folder)
}

/// A script of `tests/python`, with the packages that `tests/run` has installed.
pub async fn python(script: &str, arguments: &[&str]) -> Outcome {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let mut python = command(interpreter());
    run(python.arg(scripts.join(script)).args(arguments), "").await
}

/// The Python that has those packages.
pub fn interpreter() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    assert!(python.exists(), "there is no tests/.venv with the Python clients: tests/run makes it");
    python
}

/// Makes a program believe that it is earlier or later (`+300s`), while its timers run as ever.
pub fn set_clock(command: &mut Command, wrong: &str) {
    found("faketime");
    // The linker knows what `$LIB` is.
    command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1");
    command.env("FAKETIME", wrong);
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// Where a program is that has to be there.
pub fn found(program: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{program} is not installed: tests/run installs all that the tests need")
    })
}

/// 256 random bits, as text.
pub fn random_id() -> String {
    let mut bytes = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.expect("the system has random numbers");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
