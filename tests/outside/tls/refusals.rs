//! Wrong TLS settings are refused with a sentence that says what to do.

use arizuko_tests::prelude::*;
use tokio::{io::AsyncReadExt as _, net::TcpListener};

const HOSTS: [&str; 1] = ["IP:127.0.0.1"];

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[apply(embedded)]
async fn servers_refuse_unusable_certificates_and_say_why() {
    let folder = Folder::new();
    let authority = Authority::new(&folder.path().join("tls")).await;
    let one = authority.issue("one", &HOSTS).await;
    let other = authority.issue("other", &HOSTS).await;
    let data = text(&folder.path().join("data"));
    let (cert, key) = (text(&one.cert), text(&one.key));
    let none = text(&folder.path().join("none"));
    let (alone, both) = (["--tls-cert", &cert], ["--tls-cert", &cert, "--tls-key"]);
    for (flags, told) in [
        (&alone[..], "--tls-cert and --tls-key go together"),
        (&["--tls-key", &key], "--tls-cert and --tls-key go together"),
        (&[&both[..], &[&text(&other.key)]].concat(), "is not the key of the certificate in"),
        (&[&both[..], &[&cert]].concat(), "cannot read a key from"),
        (&[&both[..], &[&none]].concat(), "cannot read a key from"),
        (&["--tls-cert", &none, "--tls-key", &key], "cannot read"),
        (&["--tls-cert", &key, "--tls-key", &key], "there is no certificate in"),
    ] {
        let control = ["--listen", "127.0.0.1:0", "--data-dir", &data];
        let gateway = ["--listen", "127.0.0.1:0", "--gateway-key", "x"];
        for (name, own) in [("arizuko-control", control), ("arizuko-gateway", gateway)] {
            let mut server = program(name, folder.path());
            let outcome = run(server.args(own).args(flags), "").await.expect(1);
            assert!(outcome.err.contains(told), "{told}: {outcome:?}");
            assert!(outcome.out.is_empty() && !outcome.err.contains("panicked"), "{outcome:?}");
        }
    }
    let ca = text(&authority.file());
    let mut control = program("arizuko-control", folder.path());
    control.args(["--data-dir", &data, "--client-ca", &ca]);
    let told = run(&mut control, "").await.expect(1).err;
    assert!(told.contains("--client-ca needs --tls-cert"), "{told}");
}

/// Starts a control, with the certificate `shown` if there is one. With `client_ca`, control
/// requires a certificate of this authority from each client. Returns control's URL, too.
async fn control(
    at: &Path,
    name: &str,
    shown: Option<&Certificate>,
    client_ca: Option<&Path>,
) -> (Process, String) {
    let mut control = program("arizuko-control", at);
    control.args(["--listen", "127.0.0.1:0"]);
    control.env("ARIZUKO_OPERATOR_KEY", random_id()).env("ARIZUKO_GATEWAY_KEY", random_id());
    control.arg("--data-dir").arg(at.join(name));
    if let Some(Certificate { cert, key }) = shown {
        control.arg("--tls-cert").arg(cert).arg("--tls-key").arg(key);
    }
    if let Some(file) = client_ca {
        control.arg("--client-ca").arg(file);
    }
    let mut control = Process::start(name, control, &at.join("logs"));
    let line = control.line().await;
    let url = line.rsplit(' ').next().expect("a URL").to_owned();
    (control, url)
}

/// Opens a port that resets every connection, as if it were closed with data still unread.
async fn resetting() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 8]).await;
            stream.set_zero_linger().expect("a socket may be reset");
        }
    });
    address.to_string()
}

#[apply(embedded)]
async fn a_client_says_what_is_wrong_with_tls_to_control() {
    let folder = Folder::new();
    let at = folder.path();
    let authority = Authority::new(&at.join("tls")).await;
    let stranger = Authority::new(&at.join("stranger")).await;
    let server = authority.issue("server", &HOSTS).await;
    let misnamed = authority.issue("misnamed", &[]).await;
    let expired = authority.issue_expired("expired", &HOSTS).await;
    let ours = authority.issue("ours", &[]).await;
    let old = authority.issue_expired("old", &[]).await;
    let theirs = stranger.issue("theirs", &[]).await;
    let ca = authority.file();
    let (_one, plain) = control(at, "plain", None, None).await;
    let (_two, secure) = control(at, "secure", Some(&server), None).await;
    let (_three, mutual) = control(at, "mutual", Some(&server), Some(&ca)).await;
    let (_four, elsewhere) = control(at, "elsewhere", Some(&misnamed), None).await;
    let (_five, stale) = control(at, "stale", Some(&expired), None).await;

    let trusting = |ca: &Path| vec!["--ca".to_owned(), text(ca)];
    let showing = |Certificate { cert, key }: &Certificate| {
        let shown = ["--client-cert".to_owned(), text(cert), "--client-key".to_owned(), text(key)];
        [trusting(&ca), shown.to_vec()].concat()
    };
    let mixed = Certificate { cert: ours.cert.clone(), key: theirs.key.clone() };
    let as_http = secure.replace("https://", "http://");
    let reset = resetting().await;
    let (reset, reset_plain) = (format!("https://{reset}"), format!("http://{reset}"));
    let as_https = plain.replace("http://", "https://");
    for (url, flags, told) in [
        (&secure, trusting(&stranger.file()), "check --ca"),
        (&secure, vec![], "name the authority's file with --ca"),
        (&elsewhere, trusting(&ca), "its certificate is for another name"),
        (&stale, trusting(&ca), "its certificate has expired"),
        (&as_https, trusting(&ca), "it has no TLS at this address"),
        (&as_http, vec![], "https"),
        (&mutual, trusting(&ca), "--client-cert"),
        (&mutual, showing(&theirs), "--client-cert"),
        (&reset, trusting(&ca), "--client-cert"),
        (&reset_plain, vec![], "https://"),
        (&mutual, showing(&old), "--client-cert"),
        (&mutual, showing(&mixed), "is not the key of the certificate in"),
        (&secure, trusting(&ours.key), "there is no certificate in"),
        (&secure, showing(&ours)[..4].to_vec(), "--client-cert and --client-key go together"),
    ] {
        let mut list = program("arizuko", at);
        list.env_remove("RUST_LOG").args(["token", "list", "--control", url]);
        let outcome = run(list.args(&flags), "").await.expect(1);
        assert!(outcome.err.contains(told), "{told}: {outcome:?}");
        assert_eq!(outcome.err.lines().count(), 1, "{outcome:?}");
    }
    // With the right settings, control refuses only the missing key.
    for (url, flags) in [(&secure, trusting(&ca)), (&mutual, showing(&ours)), (&plain, vec![])] {
        let mut list = program("arizuko", at);
        let outcome = run(list.args(["token", "list", "--control", url]).args(&flags), "").await;
        assert!(outcome.err.contains("wants a key"), "{outcome:?}");
    }
}

#[apply(one_redis)]
async fn a_gateway_without_a_certificate_says_why_it_is_not_ready(kind: Kind) {
    let stack = Stack::with_tls(kind, &[]).await;
    let mut gateway = stack.program("arizuko-gateway");
    gateway.args(["--listen", "127.0.0.1:0"]);
    gateway.env("ARIZUKO_GATEWAY_KEY", random_id());
    gateway.args(["--control", &stack.control(A)]);
    gateway.env_remove("ARIZUKO_CLIENT_CERT").env_remove("ARIZUKO_CLIENT_KEY");
    let mut gateway = Process::start("stranger", gateway, &stack.logs());
    let line = gateway.line().await;
    let url = line.rsplit(' ').next().expect("a URL");
    let link = stack.issue("acme").await;
    let ca = text(&stack.tls().authority.file());
    let page = ["--cacert", &ca, "--include", &format!("{url}/chat/{}/", link.token)];
    let page = curl(&page).await.expect(0).out;
    assert!(page.starts_with("HTTP/2 503"), "{page}");
    let said = gateway.said();
    assert!(said.contains("--client-cert"), "{said}");
}
