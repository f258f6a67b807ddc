//! Revoked certificates of clients.

use arizuko_tests::prelude::*;

#[apply(embedded)]
async fn a_revoked_certificate_is_refused_from_the_next_connection_on() {
    let folder = Folder::new();
    let at = folder.path();
    let authority = Authority::new(&at.join("tls")).await;
    let server = authority.issue("server", &["IP:127.0.0.1"]).await;
    let (lost, kept) = (authority.issue("lost", &[]).await, authority.issue("kept", &[]).await);
    let operator = random_id() + "operator";
    let file = at.join("crl.pem");
    let control = || {
        let mut control = program("arizuko-control", at);
        control.env("ARIZUKO_OPERATOR_KEY", &operator).env("ARIZUKO_GATEWAY_KEY", random_id());
        control.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(at.join("data"));
        control.arg("--tls-cert").arg(&server.cert).arg("--tls-key").arg(&server.key);
        control.arg("--client-ca").arg(authority.file()).arg("--client-crl").arg(&file);
        control
    };
    fs::copy(&server.cert, &file).expect("the folder is ours");
    let refused = run(&mut control(), "").await.expect(1);
    assert!(refused.err.contains("there is no revocation list in"), "{refused:?}");

    fs::copy(authority.revoke(&[]).await, &file).expect("the folder is ours");
    let mut control = Process::start("control", control(), &folder.logs());
    let line = control.line().await;
    let url = line.rsplit(' ').next().expect("a URL");
    let list = |with: &Certificate| {
        let mut list = program("arizuko", at);
        list.env("ARIZUKO_CONTROL", url).env("ARIZUKO_KEY", &operator);
        list.env("ARIZUKO_CA", authority.file()).env_remove("RUST_LOG");
        list.env("ARIZUKO_CLIENT_CERT", &with.cert).env("ARIZUKO_CLIENT_KEY", &with.key);
        list.args(["token", "list"]);
        async move { run(&mut list, "").await }
    };
    list(&lost).await.expect(0);
    let revoked = authority.revoke(&[&lost]).await;
    fs::copy(&revoked, &file).expect("the folder is ours");
    let refused = list(&lost).await.expect(1);
    assert!(refused.err.contains("--client-cert"), "{refused:?}");
    list(&kept).await.expect(0);
    assert!(control.said().contains("TLS handshake failed"), "{}", control.said());

    // A broken list does not let the revoked certificate in again.
    fs::write(&file, "nonsense").expect("the folder is ours");
    list(&lost).await.expect(1);
    list(&kept).await.expect(0);
    assert!(control.said().contains("keeping the previous one"), "{}", control.said());
}
