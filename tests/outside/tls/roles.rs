//! A client's certificate may be for one role: keys of other roles are refused over it.

use arizuko_tests::prelude::*;

const HOSTS: [&str; 1] = ["IP:127.0.0.1"];

#[apply(embedded)]
async fn a_key_of_another_role_is_refused_over_a_certificate() {
    let folder = Folder::new();
    let at = folder.path();
    let authority = Authority::new(&at.join("tls")).await;
    let server = authority.issue("server", &HOSTS).await;
    let [by_name, by_uri, by_folder, free] = [
        authority.issue("eu-1", &[]).await,
        authority.issue("other", &["URI:spiffe://site/operator"]).await,
        authority.issue("ci", &[]).await,
        authority.issue("free", &[]).await,
    ];
    let (operator, gateway) = (random_id() + "operator", random_id() + "gateway");
    let mut control = program("arizuko-control", at);
    control.env("ARIZUKO_OPERATOR_KEY", &operator).env("ARIZUKO_GATEWAY_KEY", &gateway);
    control.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(at.join("data"));
    control.arg("--tls-cert").arg(&server.cert).arg("--tls-key").arg(&server.key);
    control.arg("--client-ca").arg(authority.file());
    control.args(["--client-role", "eu-1=gateway", "--client-role"]);
    control.arg("spiffe://site/operator=operator,ci=agent:acme");
    let mut control = Process::start("control", control, &folder.logs());
    let line = control.line().await;
    let url = line.rsplit(' ').next().expect("a URL");

    let ca = authority.file();
    let call = |with: &Certificate, key: &str, arguments: &[&str]| {
        let mut arizuko = program("arizuko", at);
        arizuko.env("ARIZUKO_CONTROL", url).env("ARIZUKO_KEY", key).env("ARIZUKO_CA", &ca);
        arizuko.env("ARIZUKO_CLIENT_CERT", &with.cert).env("ARIZUKO_CLIENT_KEY", &with.key);
        arizuko.env_remove("RUST_LOG").args(arguments);
        async move { run(&mut arizuko, "").await }
    };
    let key = async |folder: &str| {
        let created = call(&by_uri, &operator, &["key", "create", folder]).await.expect(0);
        created.out.trim().to_owned()
    };
    let (acme, eng, other) = (key("acme").await, key("acme/eng").await, key("other").await);
    let list = ["token", "list"];
    for (with, key) in [(&free, &operator), (&free, &acme), (&by_folder, &acme), (&by_folder, &eng)]
    {
        call(with, key, &list).await.expect(0);
    }
    for (with, key, told) in [
        (&by_name, &operator, "is for keys of gateways"),
        (&by_name, &acme, "is for keys of gateways"),
        (&by_uri, &acme, "is for keys of operators"),
        (&by_folder, &other, "is for keys of agents of acme"),
        (&by_folder, &operator, "is for keys of agents of acme"),
    ] {
        let refused = call(with, key, &list).await.expect(1);
        assert!(refused.err.contains(told), "{refused:?}");
    }
    // A gateway's key is accepted over its certificate, but may not do what operators do.
    let refused = call(&by_name, &gateway, &list).await.expect(1);
    assert!(!refused.err.contains("certificate"), "{refused:?}");

    let said = control.said();
    assert!(said.contains("refused a key over a certificate of another role"), "{said}");
    let audit = call(&free, &operator, &["audit", "--json"]).await.expect(0).json();
    let entries = audit["entries"].as_array().expect("a list").iter();
    let refusals = entries.filter(|entry| entry["action"] == "call.refuse");
    assert!(refusals.clone().count() >= 5, "{audit}");
    assert!(refusals.clone().any(|entry| entry["detail"].to_string().contains("certificate")));
}

#[apply(embedded)]
async fn a_role_needs_certificates_and_a_known_word() {
    let folder = Folder::new();
    let data = folder.path().join("data").display().to_string();
    for (flags, told) in [
        (&["--client-role", "x=gateway"][..], "--client-role needs --client-ca"),
        (&["--client-role", "x=nobody"], "NAME=agent:FOLDER"),
        (&["--client-crl", "x"], "--client-crl needs --client-ca"),
    ] {
        let mut control = program("arizuko-control", folder.path());
        control.args(["--listen", "127.0.0.1:0", "--data-dir", &data]).args(flags);
        let outcome = run(&mut control, "").await;
        assert!(outcome.code != Some(0) && outcome.err.contains(told), "{outcome:?}");
    }
}
