//! `arizuko up` on a site, with a certificate.

use super::{Home, text};
use arizuko_tests::prelude::*;

#[apply(embedded)]
async fn every_tenant_has_links_on_its_own_host() {
    let home = Home::new();
    let authority = Authority::new(&home.path().join("tls")).await;
    let server = authority.issue("site", &["DNS:*.chat.example"]).await;
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut up = home.arizuko();
    up.args(["up", "--json", "--control-listen", "127.0.0.1:0"]);
    up.args(["--listen", &listen, "--public-url"]);
    up.arg(format!("https://{{root}}.chat.example:{port}"));
    up.arg("--tls-cert").arg(&server.cert);
    up.arg("--tls-key").arg(&server.key);
    let mut up = Process::start("up", up, &home.path().join("logs"));
    let ready: Value = serde_json::from_str(&up.line().await).expect("one line of JSON");
    assert_eq!(text(&ready, "gateway"), format!("https://{listen}"));
    // The certificate is for another name than the one in the health check's URL.
    let mut check = home.arizuko();
    run(check.args(["ready", &format!("https://{listen}")]), "").await.expect(0);
    let demo = text(&ready, "chat_url");
    assert!(demo.starts_with(&format!("https://demo.chat.example:{port}/chat/")), "{demo}");
    let mut issue = home.arizuko();
    issue.args(["token", "issue", "acme/support", "chat"]);
    let acme = run(&mut issue, "").await.expect(0).out.trim().to_owned();
    assert!(acme.starts_with(&format!("https://acme.chat.example:{port}/chat/")), "{acme}");

    for command in [&["token", "issue", "Acme", "chat"][..], &["key", "create", "ACME/eng"]] {
        let told = home.fails(command).await;
        assert!(told.contains("no capitals. Write acme"), "{told}");
    }

    // Both links work as printed; only the hosts' address is faked.
    let ca = authority.file().display().to_string();
    let resolve = ["demo", "acme"].map(|root| format!("{root}.chat.example:{port}:127.0.0.1"));
    let trust = ["--cacert", &ca, "--resolve", &resolve[0], "--resolve", &resolve[1]];
    let post = ["--data", "content=hello there", &format!("{demo}?wait=15")];
    let answered = curl(&[&trust[..], &post].concat()).await.expect(0).out;
    let answered: Value = serde_json::from_str(&answered).expect("JSON");
    assert!(text(&answered["assistant"][0], "content").contains("hello there"), "{answered}");
    let page = curl(&[&trust[..], &["--include", &acme]].concat()).await.expect(0).out;
    assert!(page.starts_with("HTTP/2 200"), "{page}");
}

#[apply(embedded)]
async fn doctor_finds_a_certificate_that_ends_soon() {
    let home = Home::new();
    let authority = Authority::new(&home.path().join("tls")).await;
    let port = free_port();
    for (server, level) in [
        (authority.issue_ending("localhost", &[]).await, "warning"),
        (authority.issue("renewed", &["DNS:localhost"]).await, "ok"),
    ] {
        let mut up = home.arizuko();
        up.args(["up", "--json", "--no-demo", "--control-listen", "127.0.0.1:0"]);
        up.args(["--listen", &format!("127.0.0.1:{port}")]);
        up.args(["--public-url", &format!("https://localhost:{port}")]);
        up.arg("--tls-cert").arg(&server.cert).arg("--tls-key").arg(&server.key);
        let mut up = Process::start("up", up, &home.path().join("logs"));
        up.line().await;
        let mut doctor = home.arizuko();
        doctor.env("SSL_CERT_FILE", authority.file()).args(["doctor", "--json"]);
        let findings = run(&mut doctor, "").await.expect(0).json()["findings"].take();
        let findings = findings.as_array().expect("a list").iter();
        let mut found = findings.filter(|finding| finding["subject"] == "certificate");
        assert_eq!(found.next().map(|found| &found["level"]), Some(&json!(level)));
    }
}

#[apply(embedded)]
async fn settings_that_would_serve_nobody_are_refused() {
    let home = Home::new();
    let authority = Authority::new(&home.path().join("tls")).await;
    let server = authority.issue("site", &[]).await;
    let (cert, key) = (server.cert.display().to_string(), server.key.display().to_string());
    let up = ["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"];
    let told = home.fails(&[&up[..], &["--tls-cert", &cert, "--tls-key", &key]].concat()).await;
    assert!(told.contains("--public-url"), "{told}");
    let url = ["--public-url", "https://chat.example", "--tls-cert", &cert];
    let told = home.fails(&[&up[..], &url].concat()).await;
    assert!(told.contains("--tls-cert and --tls-key go together"), "{told}");
    for url in ["https://acme.com/chat", "https://acme .com", "https://", "https://a:b@acme.com"] {
        let told = home.fails(&[&up[..], &["--public-url", url]].concat()).await;
        assert!(told.contains("no path") && told.trim().ends_with("or user name"), "{told}");
    }
    let told = home.fails(&[&up[..], &["--public-url", "acme.com"]].concat()).await;
    assert!(told.trim().ends_with("--public-url begins with https:// or http://"), "{told}");
    let told = home.fails(&["up", "--control-listen", "0.0.0.0:0"]).await;
    assert!(told.contains("the control of `up` has no TLS"), "{told}");
}

#[apply(embedded)]
async fn up_has_the_settings_of_both_servers() {
    let home = Home::new();
    let flags = async |name: &str, command: &[&str]| {
        let mut program = program(name, home.path());
        let help = run(program.args(command).arg("--help"), "").await.expect(0).out;
        let words = help.lines().filter_map(|line| line.split_whitespace().next());
        words.filter(|word| word.starts_with("--")).map(str::to_owned).collect::<Vec<_>>()
    };
    let up = flags("arizuko", &["up"]).await;
    // `up` lacks these settings: its keys are in its data folder, and its control has no TLS and
    // one gateway.
    let own = [
        "operator-key",
        "gateway-key",
        "client-ca",
        "client-crl",
        "client-role",
        "control",
        "ca",
        "client-cert",
        "client-key",
    ];
    for server in ["arizuko-control", "arizuko-gateway"] {
        for flag in flags(server, &[]).await {
            let name = flag.trim_start_matches("--").trim_end_matches("-file");
            assert!(up.contains(&flag) || own.contains(&name), "{flag} of {server}");
        }
    }
    let contact = ["--no-demo", "--security-contact", "mailto:security@example.com"];
    let (_up, ready) = home.up(&contact).await;
    let file = format!("{}/.well-known/security.txt", text(&ready, "gateway"));
    assert!(curl(&[&file]).await.expect(0).out.contains("security@example.com"));
}
