//! Runs the commands of docs/install.md, with other ports and folders and `localhost` as the name.

use super::shipped;
use arizuko_tests::prelude::*;
use std::{env, os::unix::fs::PermissionsExt as _};
use tokio::process::Command;

/// The beginnings of lines that the tests here do not run: the lines change a whole machine, or
/// other tests cover them.
const NOT_HERE: [&str; 12] = [
    "apt install ",
    // `package.rs` and `cli/completions.rs` test these.
    "arizuko man ",
    "arizuko completions ",
    "cargo ",
    "certbot certonly --webroot ",
    "cp /usr/share/doc/arizuko/",
    // `package.rs` tests it.
    "deploy/third-party ",
    "install -m 644 deploy/",
    "ssh ",
    "systemctl ",
    "systemd-sysusers",
    // `proxies.rs` and `up/site.rs` test these settings.
    "ARIZUKO_PUBLIC_URL=",
];
// Each of these words is in exactly one block of the page, which the tests below run.
const HOOK: &str = "certbot certonly --standalone";
const UP: &str = "https://chat.example.com\nARIZUKO_LISTEN=";
const LINK: &str = "arizuko token issue acme chat --origin";
const AUTHORITY: &str = "-out ca.pem";
const SERVER: &str = "-out control.pem";
const CLIENT: &str = "-out gateway.pem";
const SECRETS: &str = "openssl rand";
const CONTROL: &str = "ARIZUKO_REDIS_PLAINTEXT=";
const GATEWAY: &str = "ARIZUKO_CA=/etc/arizuko/tls/ca.pem";
const OPERATOR: &str = "export ARIZUKO_CONTROL=";
const AGENT_KEY: &str = "arizuko key create acme > ";
const AGENT: &str = "AGENT=";
const RUN: [&str; 12] = [
    HOOK, UP, LINK, AUTHORITY, SERVER, CLIENT, SECRETS, CONTROL, GATEWAY, OPERATOR, AGENT_KEY,
    AGENT,
];

/// Returns the page's indented blocks, without the indentation.
fn blocks() -> Vec<String> {
    let page = fs::read_to_string(shipped("docs/install.md")).expect("it is there");
    let mut blocks = vec![String::new()];
    for line in page.lines() {
        match (line.strip_prefix("    "), blocks.last_mut()) {
            (Some(line), Some(block)) => *block += &format!("{line}\n"),
            _ => blocks.push(String::new()),
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// A folder that stands for a machine, and what to write there in place of the page's names.
struct Machine {
    folder: Folder,
    names: Vec<(&'static str, String)>,
}

impl Machine {
    fn new() -> Self {
        let folder = Folder::new();
        for name in ["etc", "lib", "tls"] {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("the folder is new");
            // The units' StateDirectoryMode is the same.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("it is ours");
        }
        Self { names: Vec::new(), folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// From now on, replaces the page's name `there` with `here`.
    fn call(&mut self, there: &'static str, here: impl ToString) {
        self.names.push((there, here.to_string()));
    }

    fn here(&self, text: &str) -> String {
        let replace = |text: String, (there, here): &(&str, String)| text.replace(there, here);
        self.names.iter().fold(text.to_owned(), replace)
    }

    /// Returns the only block that contains this, with the names replaced.
    fn block(&self, with: &str) -> String {
        let mut blocks = blocks();
        blocks.retain(|block| block.contains(with));
        assert_eq!(blocks.len(), 1, "{with}: {blocks:?}");
        self.here(&blocks.remove(0))
    }

    /// Sets PATH, so that our programs are found by name, and HOME.
    fn dress(&self, command: &mut Command) {
        let built = program("arizuko", self.path());
        let built = built.as_std().get_args().last().map(Path::new);
        let built = built.and_then(Path::parent).expect("it is in a folder");
        let path = env::var_os("PATH").unwrap_or_default();
        let path = [built.to_owned()].into_iter().chain(env::split_paths(&path));
        let path = env::join_paths(path).expect("no folder has a colon");
        command.env("PATH", path).env("HOME", self.path().join("home"));
    }

    async fn shell(&self, folder: &str, script: &str) -> Outcome {
        let mut shell = command("/bin/sh");
        self.dress(&mut shell);
        shell.current_dir(self.path().join(folder));
        run(shell.args(["-e", "-c", script]), "").await.expect(0)
    }

    /// Starts a unit's command as systemd would, with the unit's environment and these settings.
    /// Returns the process and its first line.
    async fn start(&self, unit: &str, settings: &str) -> (Process, String) {
        let mut service = self.begin(unit, settings);
        let line = service.line().await;
        (service, line)
    }

    /// Starts a unit's command, without waiting for a line.
    fn begin(&self, unit: &str, settings: &str) -> Process {
        let file = shipped(&format!("deploy/{unit}.service"));
        let credentials = self.path().join("credentials").join(unit);
        let text = self.here(&fs::read_to_string(file).expect("it is there"));
        let text = text.replace("%d", &credentials.display().to_string()).replace("%i", "acme");
        let agent = settings.lines().find_map(|line| line.strip_prefix(AGENT));
        let text = text.replace("$AGENT", agent.unwrap_or_default());
        let said = |name: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name));
            lines.flat_map(str::split_whitespace).collect::<Vec<_>>()
        };
        fs::create_dir_all(&credentials).expect("the folder is ours");
        for line in said("SetCredential=") {
            let (name, value) = line.split_once(':').expect("a name and a value");
            fs::write(credentials.join(name), value.replace("\\n", "\n")).expect("it is ours");
        }
        for line in said("LoadCredential=") {
            let (name, path) = line.split_once(':').expect("a name and a path");
            let loaded = fs::copy(path, credentials.join(name)).is_ok();
            assert!(loaded || credentials.join(name).exists(), "systemd finds no {path}");
        }
        let mut service = command("/usr/bin/env");
        self.dress(&mut service);
        service.env("CREDENTIALS_DIRECTORY", &credentials);
        service.args(said("Environment=")).args(settings.lines());
        service.args(said("ExecStart="));
        Process::start(unit, service, &self.path().join("logs"))
    }

    /// Asserts that an agent answers on a link.
    async fn is_answered(&self, link: &str, authority: &Authority, reply: &str) {
        let ca = authority.file().display().to_string();
        let post = ["--cacert", &ca, "--data", "content=hello", &format!("{link}?wait=15")];
        let answer = curl(&post).await.expect(0).out;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["assistant"][0]["content"], reply, "{answer}");
    }
}

#[apply(embedded)]
async fn the_page_sets_up_one_machine() {
    let mut machine = Machine::new();
    let (port, control) = (free_port(), free_port());
    let tls = machine.path().join("etc/tls").display().to_string();
    machine.call("/etc/arizuko/tls", &tls);
    machine.call("/etc/arizuko", machine.path().join("etc").display());
    machine.call("/var/lib", machine.path().join("lib").display());
    machine.call("=/run", format!("={}", machine.path().join("run").display()));
    machine.call("https://chat.example.com", format!("https://localhost:{port}"));
    machine.call("0.0.0.0:443", format!("127.0.0.1:{port}"));
    machine.call("-g arizuko", "-g $(id -g)");

    // Runs certbot's hook as certbot does when it has a certificate.
    let authority = Authority::new(&machine.path().join("authority")).await;
    let issued = authority.issue("site", &["DNS:localhost"]).await;
    let live = machine.path().join("live");
    fs::create_dir(&live).expect("the folder is new");
    fs::copy(issued.cert, live.join("fullchain.pem")).expect("it is there");
    fs::copy(issued.key, live.join("privkey.pem")).expect("it is there");
    let certbot = machine.block(HOOK);
    let hook = certbot.split('\'').nth(1).expect("a hook in quotes");
    let lineage = format!("export RENEWED_LINEAGE={}\n", live.display());
    machine.shell(".", &[&lineage, hook].concat()).await;
    let key = fs::metadata(Path::new(&tls).join("privkey.pem")).expect("the hook has run");
    assert_eq!(key.permissions().mode() & 0o777, 0o640);

    let settings = machine.block(UP) + &format!("ARIZUKO_CONTROL_LISTEN=127.0.0.1:{control}\n");
    let (_up, line) = machine.start("arizuko", &settings).await;
    assert!(line.starts_with("arizuko is up"), "{line}");

    let block = machine.block(LINK);
    let (issue, attach) = block.split_once("arizuko agent").expect("both");
    let here = format!("export ARIZUKO_CONTROL=http://127.0.0.1:{control}\n");
    let issued = machine.shell(".", &[&here, issue].concat()).await;
    let link = issued.out.trim();
    assert!(link.starts_with(&format!("https://localhost:{port}/chat/")), "{issued:?}");
    let script = machine.path().join("my-agent.sh");
    fs::write(&script, "#!/bin/sh\necho \"You said $(cat)\"\n").expect("the folder is ours");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut agent = command("/bin/sh");
    machine.dress(&mut agent);
    let keyed = issue.split_inclusive('\n').next().expect("the key");
    agent.current_dir(machine.path()).arg("-c");
    agent.arg([&here, keyed, "exec arizuko agent", attach].concat());
    let script = Process::start("agent", agent, &machine.path().join("logs"));
    machine.is_answered(link, &authority, "You said hello").await;
    drop(script);

    let mut model = Endpoint::start().await;
    machine.call("http://127.0.0.1:11434", model.url());
    machine.shell(".", &[&here, keyed, &machine.block(AGENT_KEY)].concat()).await;
    let key = fs::metadata(machine.path().join("etc/agents/acme.key")).expect("it was made");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let _agent = machine.begin("arizuko-agent@", &[&machine.block(AGENT), &here[7..]].concat());
    let answering = async {
        let mut asked = model.asked().await;
        assert_eq!(
            (&*asked.path, &asked.body["model"]),
            ("/v1/chat/completions", &json!("llama3.2"))
        );
        asked.begin("text/event-stream").await;
        let choice = json!({"delta": {"content": "from the model"}, "finish_reason": "stop"});
        asked.piece(&format!("data: {}\n\n", json!({"choices": [choice]}))).await;
        asked.end().await;
    };
    tokio::join!(answering, machine.is_answered(link, &authority, "from the model"));
}

#[apply(embedded)]
async fn the_page_sets_up_several_machines() {
    let mut machine = Machine::new();
    let redis = Redis::start(&machine.path().join("redis"), &machine.path().join("logs")).await;
    let (control, gateway) = (free_port(), free_port());
    machine.call("redis://redis.internal:6379/", redis.url());
    machine.call("control.internal:7070", format!("localhost:{control}"));
    machine.call("control.internal", "localhost");
    machine.call("0.0.0.0:7070", format!("127.0.0.1:{control}"));
    machine.call("0.0.0.0:443", format!("127.0.0.1:{gateway}"));
    machine.call("https://chat.example.com", format!("https://localhost:{gateway}"));
    machine.call("/etc/arizuko/tls", machine.path().join("tls").display());
    machine.call("/etc/arizuko", machine.path().join("etc").display());
    let public = Authority::new(&machine.path().join("authority")).await;
    let site = public.issue("site", &["DNS:localhost"]).await;
    fs::copy(site.cert, machine.path().join("tls/fullchain.pem")).expect("it is there");
    fs::copy(site.key, machine.path().join("tls/privkey.pem")).expect("it is there");

    for block in [AUTHORITY, SERVER, CLIENT] {
        machine.shell("tls", &machine.block(block)).await;
    }
    machine.shell(".", &machine.block(SECRETS)).await;
    let (_control, line) = machine.start("arizuko-control", &machine.block(CONTROL)).await;
    assert!(line.ends_with(&format!("https://127.0.0.1:{control}")), "{line}");
    let (_gateway, line) = machine.start("arizuko-gateway", &machine.block(GATEWAY)).await;
    assert!(line.ends_with(&format!("https://127.0.0.1:{gateway}")), "{line}");

    let block = machine.block(OPERATOR);
    let told = machine.shell("tls", &block).await.out;
    let link = told.lines().last().expect("a link");
    assert!(link.starts_with(&format!("https://localhost:{gateway}/chat/")), "{told}");
    let connect: String = block.split_inclusive('\n').take(2).collect();
    let mut agent = command("/bin/sh");
    machine.dress(&mut agent);
    let exec = "exec arizuko agent exec --folder acme -- cat";
    agent.current_dir(machine.path().join("tls")).arg("-c");
    agent.arg(connect + exec);
    let _agent = Process::start("agent", agent, &machine.path().join("logs"));
    machine.is_answered(link, &public, "hello").await;
}

#[apply(embedded)]
async fn every_command_on_the_page_is_tested_or_listed() {
    for block in blocks() {
        let is_run = RUN.iter().any(|known| block.contains(known));
        for line in block.lines().filter(|_| !is_run) {
            let known = NOT_HERE.iter().any(|known| line.starts_with(known));
            let known = known || line == "ARIZUKO_TRUSTED_PROXY=127.0.0.1/32";
            assert!(known, "no test runs this: {line}");
        }
    }
    // The files that the page copies exist.
    let page = fs::read_to_string(shipped("docs/install.md")).expect("it is there");
    for file in ["Caddyfile", "nginx.conf"] {
        assert!(page.contains(&format!("/usr/share/doc/arizuko/{file}")));
        assert!(shipped(&format!("deploy/{file}")).exists());
    }
    assert!(shipped("deploy/arizuko.sysusers").exists());
}
