//! Runs docs/install.md as it is written, on machines without anything of arizuko.

use super::{machine::Machine, shipped};
use arizuko_tests::prelude::*;

/// Words of the blocks that the tests here do not run. Such a block needs another machine, or
/// another test covers it.
const NOT_HERE: [&str; 3] = [
    // `package.rs` tests what the package has.
    "cargo deb --package arizuko",
    "ssh -N -L",
    // `up/site.rs` tests this setting.
    "ARIZUKO_PUBLIC_URL=https://{root}.chat.example.com",
];
// Each of these words is in exactly one block of the page, which the tests below run.
const PACKAGE: &str = "apt install ./arizuko";
const PROGRAMS: &str = "cargo install --locked --root /usr/local --path cli";
const HOOK: &str = "certbot certonly --standalone";
const UP: &str = "https://chat.example.com\nARIZUKO_LISTEN=";
const START_UP: &str = "--now arizuko\n";
const LINK: &str = "arizuko token issue acme chat --origin";
const CADDY: &str = "apt install caddy";
const BEHIND_CADDY: &str = "ARIZUKO_TRUSTED_PROXY=";
const NGINX: &str = "apt install nginx";
const AUTHORITY: &str = "-out ca.pem";
const SERVER: &str = "-out control.pem";
const CLIENT: &str = "-out gateway.pem";
const SECRETS: &str = "openssl rand";
const CONTROL: &str = "ARIZUKO_REDIS_PLAINTEXT=";
const GATEWAY: &str = "ARIZUKO_CA=/etc/arizuko/tls/ca.pem";
const START_SERVERS: &str = "--now arizuko-control";
const OPERATOR: &str = "export ARIZUKO_CONTROL=";
const AGENT_KEY: &str = "arizuko key create acme > ";
const AGENT: &str = "AGENT=";
const START_AGENT: &str = "--now arizuko-agent@acme";
const RUN: [&str; 20] = [
    PACKAGE,
    PROGRAMS,
    HOOK,
    UP,
    START_UP,
    LINK,
    CADDY,
    BEHIND_CADDY,
    NGINX,
    AUTHORITY,
    SERVER,
    CLIENT,
    SECRETS,
    CONTROL,
    GATEWAY,
    START_SERVERS,
    OPERATOR,
    AGENT_KEY,
    AGENT,
    START_AGENT,
];

/// An indented block of the page, without the indentation.
struct Block {
    text: String,
    /// The file in `/etc` that was named last in the text before it.
    file: String,
}

fn blocks() -> Vec<Block> {
    let page = fs::read_to_string(shipped("docs/install.md")).expect("it is there");
    let (mut blocks, mut file, mut is_within) = (Vec::<Block>::new(), String::new(), false);
    for line in page.lines() {
        match (line.strip_prefix("    "), blocks.last_mut()) {
            (Some(line), Some(block)) if is_within => block.text += &format!("{line}\n"),
            (Some(line), _) => {
                let text = format!("{line}\n");
                blocks.push(Block { text, file: std::mem::take(&mut file) });
                is_within = true;
            }
            (None, _) => {
                let named = line.split('`').skip(1).step_by(2);
                let named = named.filter(|words| words.starts_with("/etc/")).last();
                file = named.map_or(file, str::to_owned);
                is_within = false;
            }
        }
    }
    blocks
}

/// Returns the only block that contains this.
fn block(with: &str) -> Block {
    let mut blocks = blocks();
    blocks.retain(|block| block.text.contains(with));
    assert_eq!(blocks.len(), 1, "blocks with {with:?}");
    blocks.remove(0)
}

impl Machine {
    /// Runs a block in a folder.
    async fn runs(&self, folder: &str, with: &str) -> Outcome {
        self.shell(folder, &block(with).text).await
    }

    /// Writes a block to the file that the page names.
    fn writes(&self, with: &str) {
        let Block { text, file } = block(with);
        self.write(&file, &text);
    }

    /// Installs the programs, the units and their users without a package.
    async fn install(&self) {
        self.runs("/checkout", PROGRAMS).await;
        for page in ["arizuko.1", "arizuko-token-issue.1", "arizuko-control.1"] {
            assert!(!self.read(&format!("/usr/local/share/man/man1/{page}")).is_empty());
        }
        assert!(self.read("/etc/bash_completion.d/arizuko").contains("arizuko"));
    }

    /// Runs a block that tells systemd to start units, and starts them in systemd's place.
    async fn starts<const N: usize>(&self, with: &str, units: [&str; N]) -> [Process; N] {
        self.shell("/", "rm -f /run/systemctl").await;
        self.runs("/", with).await;
        let told = units.map(|unit| format!("start {unit}\n")).concat();
        assert_eq!(self.read("/run/systemctl"), told);
        units.map(|unit| self.begin(unit))
    }

    /// Asserts that an agent answers on a link.
    async fn is_answered(&self, link: &str, reply: &str) {
        let mut curl = self.command("curl");
        curl.args(["--silent", "--show-error", "--cacert", "/root/authority.pem"]);
        curl.args(["--data", "content=hello", &format!("{link}?wait=15")]);
        let answer: Value = serde_json::from_str(&run(&mut curl, "").await.expect(0).out)
            .expect("the answer is JSON");
        assert_eq!(answer["assistant"][0]["content"], reply, "{answer}");
    }

    /// Puts the certificate of `chat.example.com` into a folder.
    async fn certify(&self, folder: &str) {
        let authority = Authority::new(&self.folder.path().join("authority")).await;
        let site = authority.issue("site", &["DNS:chat.example.com"]).await;
        self.shell("/", &format!("mkdir -p {folder}")).await;
        for (from, to) in [
            (authority.file(), "/root/authority.pem".to_owned()),
            (site.cert, format!("{folder}/fullchain.pem")),
            (site.key, format!("{folder}/privkey.pem")),
        ] {
            fs::copy(from, self.file(&to)).expect("the folder is there");
        }
    }
}

#[apply(embedded)]
async fn the_page_sets_up_one_machine() {
    let machine = Machine::new().await;
    machine.install().await;

    machine.certify("/etc/letsencrypt/live/chat.example.com").await;
    machine.runs("/root", HOOK).await;
    let key = machine.shell("/", "stat -c '%a %G' /etc/arizuko/tls/privkey.pem").await.out;
    assert_eq!(key, "640 arizuko\n");
    machine.writes(UP);
    let [mut up] = machine.starts(START_UP, ["arizuko"]).await;
    let line = up.line().await;
    assert!(line.starts_with("arizuko is up"), "{line}");

    let text = block(LINK).text;
    let (issue, attach) = text.split_once("arizuko agent").expect("both");
    let issued = machine.shell("/root", issue).await;
    let link = issued.out.trim();
    assert!(link.starts_with("https://chat.example.com/chat/"), "{issued:?}");
    machine.write("/root/my-agent.sh", "#!/bin/sh\necho \"You said $(cat)\"\n");
    machine.shell("/root", "chmod +x my-agent.sh").await;
    let keyed = issue.split_inclusive('\n').next().expect("the key");
    let mut agent = machine.command("/bin/sh");
    agent.args(["-c", &format!("cd /root\n{keyed}exec arizuko agent{attach}")]);
    let script = machine.start("agent", agent);
    machine.is_answered(link, "You said hello").await;
    drop(script);

    machine.shell("/root", &[keyed, &block(AGENT_KEY).text].concat()).await;
    let key = machine.shell("/", "stat -c %a /etc/arizuko/agents/acme.key").await.out;
    assert_eq!(key, "600\n");
    machine.writes(AGENT);
    let mut model = Endpoint::on(machine.listen(11434));
    let _agent = machine.starts(START_AGENT, ["arizuko-agent@acme"]).await;
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
    tokio::join!(answering, machine.is_answered(link, "from the model"));

    // `proxies.rs` tests what the proxies do with these files.
    machine.runs("/root", PACKAGE).await;
    machine.runs("/root", CADDY).await;
    machine.runs("/root", NGINX).await;
    machine.writes(BEHIND_CADDY);
    for (copy, file) in [
        ("/etc/caddy/Caddyfile", "deploy/Caddyfile"),
        ("/etc/nginx/sites-enabled/arizuko", "deploy/nginx.conf"),
    ] {
        let shipped = fs::read_to_string(shipped(file)).expect("it is there");
        assert_eq!(machine.read(copy), shipped);
        let packaged = fs::read_to_string(super::shipped("cli/Cargo.toml")).expect("it is there");
        assert!(
            packaged.contains(&format!("[\"../{file}\", \"usr/share/doc/arizuko/\", \"644\"]"))
        );
    }
}

#[apply(embedded)]
async fn the_page_sets_up_several_machines() {
    // One machine stands for all: it has the names of all.
    let machine = Machine::new().await;
    machine.install().await;
    let mut redis = machine.command("redis-server");
    redis.args(["--port", "6379", "--bind", "127.0.0.1", "--save", ""]);
    let _redis = machine.start("redis", redis);

    machine.shell("/root", "mkdir ca").await;
    for with in [AUTHORITY, SERVER, CLIENT] {
        machine.runs("/root/ca", with).await;
    }
    machine.runs("/root", SECRETS).await;
    machine.certify("/root/live").await;
    let copy = "install -D -m 644 -t /etc/arizuko/tls ca/ca.pem ca/control.pem ca/gateway.pem live/fullchain.pem
         install -g arizuko-control -m 640 -t /etc/arizuko/tls ca/control.key
         install -g arizuko-gateway -m 640 -t /etc/arizuko/tls ca/gateway.key live/privkey.pem";
    machine.shell("/root", copy).await;
    machine.writes(CONTROL);
    machine.writes(GATEWAY);
    let [mut control, mut gateway] =
        machine.starts(START_SERVERS, ["arizuko-control", "arizuko-gateway"]).await;
    let line = control.line().await;
    assert!(line.ends_with("https://0.0.0.0:7070"), "{line}");
    let line = gateway.line().await;
    assert!(line.ends_with("https://0.0.0.0:443"), "{line}");

    let told = machine.runs("/root/ca", OPERATOR).await.out;
    let link = told.lines().last().expect("a link");
    assert!(link.starts_with("https://chat.example.com/chat/"), "{told}");
    let connect: String = block(OPERATOR).text.split_inclusive('\n').take(2).collect();
    let mut agent = machine.command("/bin/sh");
    let exec = "exec arizuko agent exec --folder acme -- cat";
    agent.args(["-c", &format!("cd /root/ca\n{connect}{exec}")]);
    let _agent = machine.start("agent", agent);
    machine.is_answered(link, "hello").await;
}

#[apply(embedded)]
async fn every_command_on_the_page_is_tested_or_listed() {
    for Block { text, .. } in blocks() {
        let known: Vec<_> =
            RUN.iter().chain(&NOT_HERE).filter(|words| text.contains(**words)).collect();
        assert!(!known.is_empty(), "no test runs this: {text}");
    }
}
