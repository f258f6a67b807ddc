//! Certificates, made with openssl as an operator makes them.

use crate::{
    cli::run,
    process::command,
    tools::{found, set_clock},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A certificate authority of the test's own.
pub struct Authority {
    folder: PathBuf,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// Creates an authority with its files in a new folder.
    pub async fn new(folder: &Path) -> Self {
        fs::create_dir(folder).expect("the folder is new");
        let authority = Self { folder: folder.to_owned() };
        authority.request("authority", &[], None).await;
        authority
    }

    /// Returns the file of the authority's certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Issues or renews a certificate for `name` and for `hosts`, such as `DNS:localhost`.
    pub async fn issue(&self, name: &str, hosts: &[&str]) -> Certificate {
        self.signed(name, hosts, None).await
    }

    /// Issues a certificate that ends in ten days.
    pub async fn issue_ending(&self, name: &str, hosts: &[&str]) -> Certificate {
        self.signed(name, hosts, Some("-20d")).await
    }

    /// Issues a certificate that has expired.
    pub async fn issue_expired(&self, name: &str, hosts: &[&str]) -> Certificate {
        self.signed(name, hosts, Some("-400d")).await
    }

    /// Revokes certificates, and returns the file of the authority's revocation list.
    pub async fn revoke(&self, certificates: &[&Certificate]) -> PathBuf {
        let (config, list) = (self.folder.join("ca.cnf"), self.folder.join("revoked.pem"));
        let folder = self.folder.display();
        let text = format!(
            "[ca]\ndefault_ca = ours\n[ours]\ndatabase = {folder}/index.txt\n\
             crlnumber = {folder}/crlnumber\ndefault_md = sha256\ndefault_crl_days = 30\n\
             certificate = {folder}/authority.pem\nprivate_key = {folder}/authority.key\n\
             crl_extensions = list\n[list]\nauthorityKeyIdentifier = keyid:always\n"
        );
        fs::write(&config, text).expect("the folder is ours");
        for (name, begun) in [("index.txt", ""), ("crlnumber", "01\n")] {
            let file = self.folder.join(name);
            if !file.exists() {
                fs::write(file, begun).expect("the folder is ours");
            }
        }
        let ca = || {
            let mut ca = command(found("openssl"));
            ca.args(["ca", "-config"]).arg(&config);
            ca
        };
        for certificate in certificates {
            run(ca().arg("-revoke").arg(&certificate.cert), "").await.expect(0);
        }
        run(ca().args(["-gencrl", "-out"]).arg(&list), "").await.expect(0);
        list
    }

    async fn signed(&self, name: &str, hosts: &[&str], when: Option<&str>) -> Certificate {
        let names = [hosts, &[&format!("DNS:{name}")]].concat().join(",");
        let names = format!("subjectAltName={names}");
        let (ca, key) = (self.file(), self.folder.join("authority.key"));
        let (ca, key) = (ca.display().to_string(), key.display().to_string());
        let ours = ["-CA", &ca, "-CAkey", &key];
        let leaf = ["-addext", &names, "-addext", "basicConstraints=CA:FALSE"];
        self.request(name, &[&ours[..], &leaf].concat(), when).await
    }

    async fn request(&self, name: &str, arguments: &[&str], when: Option<&str>) -> Certificate {
        let file = |extension: &str| self.folder.join(format!("{name}.{extension}"));
        let (cert, key) = (file("pem"), file("key"));
        let mut openssl = command(found("openssl"));
        openssl.args(["req", "-x509", "-newkey", "ec", "-noenc", "-days", "30"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj"]);
        openssl.arg(format!("/CN={name}")).args(arguments);
        openssl.arg("-out").arg(&cert).arg("-keyout").arg(&key);
        if let Some(when) = when {
            set_clock(&mut openssl, when);
        }
        run(&mut openssl, "").await.expect(0);
        Certificate { cert, key }
    }
}

/// Returns the serial number of the certificate that a server shows on a new connection.
pub async fn serial(address: &str, client: &Certificate) -> String {
    let mut connect = command(found("openssl"));
    connect.args(["s_client", "-connect", address, "-cert"]);
    connect.arg(&client.cert).arg("-key").arg(&client.key);
    let shown = run(&mut connect, "").await.out;
    let mut x509 = command(found("openssl"));
    let serial = run(x509.args(["x509", "-noout", "-serial"]), &shown).await;
    serial.expect(0).out
}
