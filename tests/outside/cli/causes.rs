//! Why a server can't be reached is said in plain words, once.

use arizuko_tests::prelude::*;
use tokio::net::TcpListener;

/// Starts a server with this certificate. Returns its URL, too.
async fn server(at: &Path, name: &str, shown: &Certificate) -> (Process, String) {
    let mut gateway = program("arizuko-gateway", at);
    gateway.args(["--listen", "127.0.0.1:0", "--gateway-key", "x"]);
    gateway.arg("--tls-cert").arg(&shown.cert).arg("--tls-key").arg(&shown.key);
    let mut gateway = Process::start(name, gateway, &at.join("logs"));
    let line = gateway.line().await;
    (gateway, line.rsplit(' ').next().expect("a URL").to_owned())
}

#[apply(embedded)]
async fn why_a_server_is_not_reached_is_said_in_plain_words() {
    let folder = Folder::new();
    let at = folder.path();
    let authority = Authority::new(&at.join("tls")).await;
    let hosts = ["IP:127.0.0.1"];
    let good = authority.issue("good", &hosts).await;
    let expired = authority.issue_expired("expired", &hosts).await;
    let misnamed = authority.issue("misnamed", &[]).await;
    let own = Certificate {
        cert: authority.file(),
        key: authority.file().with_file_name("authority.key"),
    };
    let (_good, good) = server(at, "good", &good).await;
    let (_expired, expired) = server(at, "expired", &expired).await;
    let (_misnamed, misnamed) = server(at, "misnamed", &misnamed).await;
    let (_own, own) = server(at, "own", &own).await;
    let stranger = Authority::new(&at.join("stranger")).await.file();
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let silent = silent.local_addr().expect("it is bound");
    let (ours, nobody) = (authority.file(), format!("http://127.0.0.1:{}", free_port()));
    for (url, trusted, told) in [
        (&nobody, &ours, "connection refused"),
        (&"http://nowhere.invalid".to_owned(), &ours, "its name can't be looked up"),
        (&good, &stranger, "this machine does not trust its certificate"),
        (&own, &ours, "this machine does not trust its certificate"),
        (&expired, &ours, "its certificate has expired, or the clock here is wrong"),
        (&misnamed, &ours, "its certificate is for another name"),
        (&nobody.replace("http://", "https://"), &ours, "connection refused"),
    ] {
        let mut chat = program("arizuko", at);
        chat.args(["chat", &format!("{url}/chat/{}/", random_id())]).env_remove("RUST_LOG");
        let failed = run(chat.env("SSL_CERT_FILE", trusted), "").await.expect(1).err;
        assert!(failed.contains(&format!("({told}")), "{told}: {failed}");
        let raw = ["os error", "lookup address", "certificate:", "Other", "ERROR"];
        assert!(!raw.iter().any(|raw| failed.contains(raw)), "{failed}");
        assert_eq!(failed.lines().count(), 1, "{failed}");
    }
    let mut ready = program("arizuko", at);
    let late = run(ready.args(["ready", &format!("http://{silent}")]), "").await.expect(1).err;
    assert!(late.contains("does not answer: no answer in time"), "{late}");
    for (control, told) in [
        ("http://nowhere.invalid:7070", "7070: its name can't be looked up"),
        (&own, "its certificate is one for an authority"),
        (&expired, "its certificate has expired"),
    ] {
        let mut status = program("arizuko", at);
        status.args(["status", "--control", control, "--ca"]).arg(&ours);
        let failed = run(&mut status, "").await.expect(1).err;
        assert!(failed.contains(told) && !failed.contains('('), "{failed}");
    }
}

#[apply(embedded)]
async fn doctor_says_why_the_public_url_is_not_reached_and_nothing_beside(kind: Kind) {
    let folder = Folder::new();
    let authority = Authority::new(&folder.path().join("tls")).await;
    let certificate = authority.issue("good", &["IP:127.0.0.1"]).await;
    let (_server, url) = server(folder.path(), "server", &certificate).await;
    let stack = Stack::with_public_url(kind, &[], &url).await;
    let outcome = stack.arizuko(&["doctor"]).await.expect(1);
    assert!(outcome.out.contains("this machine does not trust its certificate"), "{outcome:?}");
    assert_eq!(outcome.err, "error: 1 check failed\n");
}
