//! Caddy and nginx in front of a gateway, with the configurations in `deploy`. For the tests,
//! addresses, certificate and folders differ, nginx's read timeout is shorter, and Caddy has
//! neither its admin endpoint nor automatic HTTPS.

use super::shipped;
use arizuko_tests::prelude::*;
use arizuko_tests::tools::{self};

/// A proxy in front of a stack's gateway.
struct Site {
    stack: Stack,
    url: String,
    authority: Authority,
    proxy: Process,
}

#[apply(embedded)]
async fn a_gateway_behind_caddy_serves_everything(kind: Kind) {
    Site::start(kind, caddy).await.serves_all().await;
}

#[apply(embedded)]
async fn a_gateway_behind_nginx_serves_everything(kind: Kind) {
    Site::start(kind, nginx).await.serves_all().await;
}

/// The settings on which a proxy's configuration depends.
struct Settings<'a> {
    port: u16,
    gateway: &'a str,
    certificate: &'a Certificate,
    folder: &'a Path,
}

async fn caddy(settings: Settings<'_>) -> Process {
    let Settings { port, gateway, certificate: Certificate { cert, key }, folder } = settings;
    let caddy = || {
        let mut caddy = command(found("caddy"));
        caddy.env("HOME", folder).env("XDG_DATA_HOME", folder);
        caddy.env("ARIZUKO_SITE", format!("https://localhost:{port}"));
        caddy.env("ARIZUKO_GATEWAY", gateway);
        caddy
    };
    let mut adapt = caddy();
    adapt.args(["adapt", "--config"]);
    let adapted = run(adapt.arg(shipped("deploy/Caddyfile")), "").await.expect(0);
    assert!(!adapted.err.contains("warn"), "{adapted:?}");
    // Keeps Caddy from opening other ports and from making a certificate authority.
    let mut config: Value = serde_json::from_str(&adapted.out).expect("JSON");
    config["admin"] = json!({"disabled": true});
    config["apps"]["tls"] =
        json!({"certificates": {"load_files": [{"certificate": cert, "key": key}]}});
    config["apps"]["http"]["servers"]["srv0"]["automatic_https"] = json!({"disable": true});
    config["apps"]["http"]["servers"]["srv0"]["tls_connection_policies"] = json!([{}]);
    let file = folder.join("caddy.json");
    fs::write(&file, config.to_string()).expect("the folder is ours");
    let mut run = caddy();
    run.args(["run", "--config"]).arg(file);
    Process::start("caddy", run, folder)
}

async fn nginx(settings: Settings<'_>) -> Process {
    let Settings { port, gateway, certificate: Certificate { cert, key }, folder } = settings;
    let shipped = fs::read_to_string(shipped("deploy/nginx.conf")).expect("it is there");
    let mut site = String::new();
    for line in shipped.lines().filter(|line| !line.contains("[::]")) {
        site += &format!("{line}\n");
    }
    let (http, https) = (free_port(), port);
    let live = "/etc/letsencrypt/live/chat.example.com";
    for (shipped, here) in [
        ("listen 80;", format!("listen 127.0.0.1:{http};")),
        ("listen 443 ", format!("listen 127.0.0.1:{https} ")),
        (&format!("{live}/fullchain.pem"), cert.display().to_string()),
        (&format!("{live}/privkey.pem"), key.display().to_string()),
        ("chat.example.com", "localhost".to_owned()),
        ("server 127.0.0.1:8080;", format!("server {gateway};")),
        ("/var/log/nginx", folder.display().to_string()),
        // This is shorter than the silence below, in which only comments keep the stream open.
        ("proxy_read_timeout 1h;", "proxy_read_timeout 2s;".to_owned()),
    ] {
        assert!(site.contains(shipped), "no {shipped} in deploy/nginx.conf");
        site = site.replace(shipped, &here);
    }
    tools::nginx(folder, &site)
}

impl Site {
    async fn start(kind: Kind, proxy: impl AsyncFnOnce(Settings<'_>) -> Process) -> Self {
        let settings = [
            ("ARIZUKO_TRUSTED_PROXY", "127.0.0.1/32"),
            ("ARIZUKO_STREAMS_PER_ADDRESS", "1"),
            ("ARIZUKO_HEARTBEAT", "1s"),
        ];
        let stack = Stack::with(kind, &settings).await;
        let authority = Authority::new(&stack.folder().join("tls")).await;
        let certificate = authority.issue("site", &["DNS:localhost"]).await;
        let (port, folder) = (free_port(), stack.folder().join("proxy"));
        fs::create_dir(&folder).expect("the folder is new");
        let proxy = proxy(Settings {
            port,
            gateway: stack.gateway(A).trim_start_matches("http://"),
            certificate: &certificate,
            folder: &folder,
        })
        .await;
        proxy.listens(port).await;
        let url = format!("https://localhost:{port}");
        Self { stack, url, authority, proxy }
    }

    async fn curl(&self, arguments: &[&str]) -> Outcome {
        let ca = self.authority.file().display().to_string();
        curl(&[&["--cacert", &ca], arguments].concat()).await
    }

    /// Starts curl, which reads a stream line by line.
    fn reader(&self, flags: &[&str], stream: &str) -> Process {
        let mut curl = command(found("curl"));
        curl.args(["--silent", "--show-error", "--no-buffer", "--cacert"]);
        curl.arg(self.authority.file()).args(flags).arg(stream);
        Process::start("curl", curl, &self.stack.logs())
    }

    async fn serves_all(mut self) {
        let link = self.stack.issue("acme").await;
        let chat = format!("{}/chat/{}/", self.url, link.token);
        let mut agent = self.stack.attach("acme", A).await;
        for (http, address) in [("--http2", "127.0.0.2"), ("--http1.1", "127.0.0.3")] {
            // Posts as the page does, with the site's origin.
            let origin = format!("origin: {}", self.url);
            let post = ["--json", r#"{"content": "hello"}"#, "--header", &origin, &chat];
            let posted = self.curl(&[&[http, "--fail-with-body"], &post[..]].concat()).await;
            let posted: Value = serde_json::from_str(&posted.expect(0).out).expect("JSON");
            let turn = posted["turn_id"].as_str().expect("a turn");
            let stream = format!("{chat}{turn}/sse");
            let mut events = self.reader(&[http, "--interface", address], &stream);
            events.line_with("retry: ").await;

            // Each frame arrives before the next one is made.
            let mut held = agent.turn().await;
            for text in ["one ", "two ", "three "] {
                agent.append(&mut held, delta("m1", text)).await;
                let line = events.line_with("data: ").await;
                assert!(line.contains(&format!(r#""text":"{text}""#)), "{line}");
            }
            // For longer than the proxy's read timeout, only comments come.
            for _ in 0..3 {
                while events.line().await != ":" {}
            }
            agent.append(&mut held, delta("m1", "four")).await;
            let line = events.line_with("data: ").await;
            assert!(line.contains(r#""text":"four""#), "{line}");

            // The gateway limits streams by the visitor's real address, not by a forged header.
            let status =
                ["--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "1"];
            for (from, made_up, told) in [
                (address, "127.0.0.9", "429"),
                (address, "127.0.0.1", "429"),
                ("127.0.0.4", "127.0.0.2", "200"),
            ] {
                let forwarded = format!("x-forwarded-for: {made_up}");
                let from = ["--interface", from, "--header", &forwarded, &stream];
                let outcome = self.curl(&[&status[..], &from].concat()).await;
                assert_eq!(outcome.out, told, "{http} {made_up}");
            }
            // The proxy closes the gateway's stream when the visitor leaves.
            events.kill();
            let head = ["--interface", address, &stream];
            until("the gateway to see the visitor leave", async || {
                self.curl(&[&status[..], &head].concat()).await.out != "429"
            })
            .await;
            agent.finish(&held).await;
        }
        let page = self.curl(&["--include", &chat]).await.expect(0).out;
        let page = page.to_lowercase();
        assert!(page.starts_with("http/2 200"), "{page}");
        assert_eq!(page.matches("\nstrict-transport-security: max-age=31536000").count(), 1);

        // Without a gateway the proxy answers 502 and logs no token.
        self.stack.cut_the_power();
        let page = self.curl(&["--include", &chat]).await.expect(0).out;
        assert!(page.starts_with("HTTP/2 502"), "{page}");
        assert!(self.proxy.is_running(), "{}", self.proxy.said());
        let logs = fs::read_dir(self.stack.folder().join("proxy")).expect("it is a folder");
        for log in logs.map(|log| log.expect("it is readable").path()) {
            let text = fs::read(&log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.contains(&link.token), "{}: {text}", log.display());
        }
    }
}
