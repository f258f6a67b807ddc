//! Third-party programs: clients, proxies, Python.

use crate::{
    cli::{Outcome, run},
    process::{Process, command},
    within,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{
    env::{self, consts::ARCH},
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpSocket, TcpStream},
    process::Command,
};

/// Runs curl.
pub async fn curl(arguments: &[&str]) -> Outcome {
    run(
        command(found("curl")).args(["--silent", "--show-error", "--no-buffer"]).args(arguments),
        "",
    )
    .await
}

/// Starts an nginx with this `http` block. It writes only to `folder`.
pub fn nginx(folder: &Path, http: &str) -> Process {
    nginx_with(folder, "master_process off;", http)
}

/// Starts an nginx like [`nginx`], with these directives outside the block.
pub fn nginx_with(folder: &Path, directives: &str, http: &str) -> Process {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};"))
        .concat();
    let config = format!(
        "{directives} daemon off; pid nginx.pid; events {{}}\n\
         http {{ access_log off; {temporary}\n{http} }}\n"
    );
    fs::write(folder.join("nginx.conf"), config).expect("the folder is ours");
    let mut nginx = command(found("nginx"));
    nginx.arg("-p").arg(folder).args(["-e", "stderr", "-c", "nginx.conf"]);
    Process::start("nginx", nginx, folder)
}

/// Runs a script of `tests/python`.
pub async fn python(script: &str, arguments: &[&str]) -> Outcome {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let mut python = command(interpreter());
    run(python.arg(scripts.join(script)).args(arguments), "").await
}

/// Returns the path of the Python that has the packages that `tests/run` installs.
pub fn interpreter() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    assert!(python.exists(), "there is no tests/.venv with the Python clients: tests/run makes it");
    python
}

/// Returns the path of Deno's program. The command of its package would need an installation
/// script.
pub fn deno() -> PathBuf {
    let package = format!(
        "browser/node_modules/@deno/linux-{}-glibc/deno",
        match ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        }
    );
    let deno = Path::new(env!("CARGO_MANIFEST_DIR")).join(package);
    assert!(deno.exists(), "there is no Deno in tests/browser: tests/run installs it");
    deno
}

/// Shifts a program's clock by an offset such as `+300s`. Its timers run as usual.
pub fn set_clock(command: &mut Command, wrong: &str) {
    found("faketime");
    // The dynamic linker expands `$LIB`.
    command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1");
    command.env("FAKETIME", wrong);
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// Shifts a program's clock by the offset in this file (`+300s`), and again whenever the file
/// changes. Its timers run as usual.
pub fn set_clock_by(command: &mut Command, file: &Path) {
    set_clock(command, "+0s");
    command.env_remove("FAKETIME");
    command.env("FAKETIME_TIMESTAMP_FILE", file).env("FAKETIME_NO_CACHE", "1");
}

/// Returns the path of a program; fails the test if it is not installed.
pub fn found(program: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{program} is not installed: tests/run installs all that the tests need")
    })
}

/// Returns 256 random bits in base64url.
pub fn random_id() -> String {
    let mut bytes = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.expect("the system has random numbers");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Connects to a server from one of this machine's addresses: any address in 127.0.0.0/8.
pub async fn dial(url: &str, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("sockets are to be had");
    socket.bind(format!("{from}:0").parse().expect("an address")).expect("it is this machine's");
    let (_, address) = url.split_once("://").expect("a URL");
    let stream = socket.connect(address.parse().expect("an address")).await;
    stream.expect("the server accepts")
}

/// Waits until the server has closed the connection.
pub async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _ = within("the end of a connection", stream.read_to_end(&mut rest)).await;
}
