//! Names of controls: a name stands for all controls whose addresses the resolver has for it, and
//! these change. The resolver is the system's; programs here see another /etc/hosts, which it reads
//! again for each question.

use arizuko_tests::language::{package, package_of_python};
use arizuko_tests::prelude::*;
use std::os::unix::fs::MetadataExt as _;
use tokio::process::Command;

const ADDRESSES: [&str; 4] = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];

/// A Redis, and the names that the programs on it see.
struct Site {
    folder: Folder,
    redis: Redis,
    /// The port of all controls, of their metrics, and of the gateway.
    ports: [u16; 3],
    keys: [String; 2],
    tls: Option<(Certificate, PathBuf)>,
}

impl Site {
    async fn new() -> Self {
        let folder = Folder::new();
        let redis = Redis::start(folder.path(), &folder.logs()).await;
        fs::write(folder.path().join("host.conf"), "multi on\n").expect("the folder is ours");
        let ports = [free_port(), free_port(), free_port()];
        Self { folder, redis, ports, keys: [random_id(), random_id()], tls: None }
    }

    /// Gives the name `control` these addresses. Writes the file in place, since it is mounted.
    fn name(&self, addresses: &[&str]) {
        let lines = addresses.iter().map(|address| format!("{address} control\n"));
        fs::write(self.folder.path().join("hosts"), lines.collect::<String>()).expect("it is ours");
    }

    /// Returns a command that sees the site's names, in a mount namespace of its own.
    fn inside(&self, program: &Command) -> Command {
        let program = program.as_std();
        let is_root = fs::metadata("/proc/self").expect("Linux has it").uid() == 0;
        let mut command = command(found("unshare"));
        command.args(if is_root { &["--mount"][..] } else { &["--map-root-user", "--mount"] });
        command.args(["sh", "-ec", "mount --bind $1/hosts /etc/hosts; mount --bind $1/host.conf /etc/host.conf; shift; exec \"$@\"", "sh"]);
        command.arg(self.folder.path()).arg(program.get_args().last().expect("a program"));
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        command.env("ARIZUKO_CONTROL", format!("{scheme}://control:{}", self.ports[0]));
        if let Some((_, ca)) = &self.tls {
            command.env("ARIZUKO_CA", ca);
        }
        command
    }

    fn arizuko(&self) -> Command {
        let mut arizuko = self.inside(&self.folder.program("arizuko"));
        arizuko.env("ARIZUKO_KEY", &self.keys[0]);
        arizuko
    }

    /// Starts a control at an address.
    async fn control(&self, address: &str) -> Process {
        let [port, metrics, _] = self.ports;
        let mut control = self.folder.program("arizuko-control");
        control.args(["--listen", &format!("{address}:{port}"), "--redis", &self.redis.url()]);
        control.args(["--metrics-listen", &format!("{address}:{metrics}")]);
        control.env("ARIZUKO_OPERATOR_KEY", &self.keys[0]);
        control.env("ARIZUKO_GATEWAY_KEY", &self.keys[1]);
        if let Some((Certificate { cert, key }, _)) = &self.tls {
            control.arg("--tls-cert").arg(cert).arg("--tls-key").arg(key);
        }
        let mut control = Process::start(address, control, &self.folder.logs());
        control.line_with("listens on").await;
        control
    }

    async fn gateway(&self) -> Process {
        let mut gateway = self.inside(&self.folder.program("arizuko-gateway"));
        gateway.args(["--listen", &format!("127.0.0.1:{}", self.ports[2])]);
        gateway.env("ARIZUKO_GATEWAY_KEY", &self.keys[1]);
        let mut gateway = Process::start("gateway", gateway, &self.folder.logs());
        gateway.line().await;
        gateway
    }

    /// Issues a link and posts a message to it. All gateways prefer one control for a link.
    async fn post(&self) -> u16 {
        let url = run(self.arizuko().args(["token", "issue", "acme", "chat"]), "").await.expect(0);
        let (_, path) = url.out.trim().split_once("/chat/").expect("a link");
        let link = format!("http://127.0.0.1:{}/chat/{path}", self.ports[2]);
        let posted = reqwest::Client::new().post(link).body("hello");
        posted
            .header("content-type", "text/plain")
            .send()
            .await
            .expect("it answers")
            .status()
            .as_u16()
    }

    /// Returns how many calls of this method a control has answered with success.
    async fn calls(&self, address: &str, method: &str) -> u64 {
        let page = reqwest::get(format!("http://{address}:{}/metrics", self.ports[1])).await;
        let page = page.expect("it is served").text().await.expect("it is text");
        let series = format!("arizuko_control_calls_total{{method=\"{method}\",code=\"Ok\"}} ");
        let count = page.lines().find_map(|line| line.strip_prefix(&series));
        count.map_or(0, |count| count.parse().expect("a number"))
    }
}

#[apply(embedded)]
async fn a_name_stands_for_all_controls_whose_addresses_it_has() {
    let site = Site::new().await;
    let [one, two, three, four] = ADDRESSES;
    let (issue, post) = ("TokenService/IssueChatLink", "GatewayService/PostMessage");
    let mut controls = vec![site.control(one).await, site.control(two).await];
    site.name(&[one, two]);
    let mut getent = site.inside(&command(found("getent")));
    let known = run(getent.args(["ahosts", "control"]), "").await.expect(0).out;
    assert!(known.contains(one) && known.contains(two), "the resolver has both: {known}");

    let _gateway = site.gateway().await;
    until("both controls to be called, by both", async || {
        assert_eq!(site.post().await, 202);
        let (one, two) = (
            [site.calls(one, issue).await, site.calls(one, post).await],
            [site.calls(two, issue).await, site.calls(two, post).await],
        );
        [one, two].concat().iter().all(|calls| *calls > 0)
    })
    .await;

    controls.push(site.control(three).await);
    site.name(&[two, three]);
    until("the new control to be called", async || {
        assert_eq!(site.post().await, 202);
        site.calls(three, issue).await > 0 && site.calls(three, post).await > 0
    })
    .await;
    let before = [site.calls(one, issue).await, site.calls(one, post).await];
    for _ in 0..5 {
        assert_eq!(site.post().await, 202);
    }
    let after = [site.calls(one, issue).await, site.calls(one, post).await];
    assert_eq!(after, before, "the name does not have it any more");

    // None of the addresses that were known answers any more.
    let last = site.control(four).await;
    site.name(&[four]);
    controls.iter_mut().for_each(Process::kill);
    until("the last control to be called", async || site.post().await == 202).await;
    assert!(site.calls(four, post).await > 0);
    drop(last);
}

#[apply(embedded)]
async fn agents_in_other_languages_call_all_controls_that_a_name_stands_for() {
    let site = Site::new().await;
    let [one, two, three, _] = ADDRESSES;
    let _controls = [site.control(one).await, site.control(two).await];
    // Nothing listens at the third.
    site.name(&[one, two, three]);
    let python = package_of_python(site.folder.path()).await;
    let package = package().join("dist/agent.js").display().to_string();
    let node = command(found("node"));
    for (program, flags, script) in [
        (
            python,
            &["-c"][..],
            "from arizuko_agent import Control\n\
             for _ in range(20): Control().issue_chat_link('acme', 'chat')"
                .to_owned(),
        ),
        (
            node,
            &["--input-type=module", "--eval"],
            format!(
                "const {{ Control }} = await import({package:?});\n\
                 for (let n = 0; n < 20; n++) await new Control().issueChatLink('acme', 'chat');"
            ),
        ),
    ] {
        let calls = async || {
            let method = "TokenService/IssueChatLink";
            [site.calls(one, method).await, site.calls(two, method).await]
        };
        let before = calls().await;
        let mut program = site.inside(&program);
        program.env("ARIZUKO_KEY", &site.keys[0]).args(flags).arg(&script);
        run(&mut program, "").await.expect(0);
        let after = calls().await;
        let [one, two] = [after[0] - before[0], after[1] - before[1]];
        assert!(one > 0 && two > 0 && one + two == 20, "{flags:?}: {one} and {two}");
    }
}

#[apply(embedded)]
async fn the_certificate_of_each_address_is_for_the_name() {
    let mut site = Site::new().await;
    let authority = Authority::new(&site.folder.path().join("tls")).await;
    let certificate = authority.issue("control", &["DNS:control"]).await;
    site.tls = Some((certificate, authority.file()));
    let [one, two, ..] = ADDRESSES;
    let _controls = [site.control(one).await, site.control(two).await];
    site.name(&[one, two]);
    let gateway = site.gateway().await;
    until("the gateway to know the addresses", async || {
        gateway.said().contains("the controls have changed")
    })
    .await;
    until("both controls to be called", async || {
        assert_eq!(site.post().await, 202);
        let method = "GatewayService/PostMessage";
        site.calls(one, method).await > 0 && site.calls(two, method).await > 0
    })
    .await;
}
