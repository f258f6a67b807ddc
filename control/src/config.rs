//! Control's settings: each is a flag and an environment variable, read once at the start.

use crate::{
    client_roles::ClientRole,
    fence,
    key::settings::MIN_LENGTH,
    limits::{Limits, MAX_HOOK_BYTES},
};
use anyhow::anyhow;
use arizuko_proto::{
    duration, private,
    telemetry::{self, metrics},
    tls::{ClientChecks, ServerTls},
};
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use tonic::codegen::http::Uri;

mod seal;
mod store;

pub use seal::SealOptions;
pub use store::StoreOptions;
pub(crate) use store::default_name;

/// Owns tokens, revocation, conversations, turns and reply frames, and serves them over gRPC.
#[derive(clap::Parser)]
#[command(
    name = "arizuko-control",
    version = fence::VERSION.as_str(),
    max_term_width = 100,
    before_help = "\
Examples:
  arizuko-control --data-dir /var/lib/arizuko --public-url https://chat.example.com \\
      --operator-key-file operator.key --gateway-key-file gateway.key
  arizuko-control --redis rediss://redis.internal/ --public-url https://chat.example.com \\
      --listen 0.0.0.0:7070 --tls-cert fullchain.pem --tls-key privkey.pem
"
)]
pub struct Arguments {
    /// Where metrics are served.
    #[command(flatten)]
    pub metrics: metrics::Options,
    // `options` comes after `metrics`, since its help headings also apply to the flags that follow.
    /// What control serves, and how.
    #[command(flatten)]
    pub options: Options,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: telemetry::Options,
}

/// The flags of control, and the variables that set them.
#[derive(clap::Args, Clone)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "ARIZUKO_CONTROL_LISTEN", default_value = "127.0.0.1:7070")]
    pub listen: SocketAddr,
    /// Beginning of the links' URLs; `{root}` stands for the tenant.
    #[arg(long, env = "ARIZUKO_PUBLIC_URL", default_value = "http://127.0.0.1:8080")]
    pub public_url: String,
    /// Where the state is kept, if in Redis.
    #[command(flatten)]
    pub store: StoreOptions,
    /// Folder of the embedded store, which keeps the state if there is no --redis.
    #[arg(long, help_heading = "Store", env = "ARIZUKO_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The first operator's key: at least 32 characters. Needed only while the store has no
    /// operator's key that works.
    #[arg(long, env = "ARIZUKO_OPERATOR_KEY", hide_env_values = true, allow_hyphen_values = true)]
    pub operator_key: Option<String>,
    /// File with the first operator's key, in place of --operator-key, which shows in `ps`.
    #[arg(long, env = "ARIZUKO_OPERATOR_KEY_FILE", value_name = "FILE")]
    pub operator_key_file: Option<PathBuf>,
    /// The first gateway's key: at least 32 characters. Needed only while the store has no
    /// gateway's key that works.
    #[arg(long, env = "ARIZUKO_GATEWAY_KEY", hide_env_values = true, allow_hyphen_values = true)]
    pub gateway_key: Option<String>,
    /// File with the first gateway's key, in place of --gateway-key, which shows in `ps`.
    #[arg(long, env = "ARIZUKO_GATEWAY_KEY_FILE", value_name = "FILE")]
    pub gateway_key_file: Option<PathBuf>,
    /// The key that seals secrets in the store.
    #[command(flatten)]
    pub seal: SealOptions,
    /// The certificate to serve TLS with.
    #[command(flatten)]
    pub tls: ServerTls,
    /// The certificates that clients must show.
    #[command(flatten)]
    pub clients: ClientChecks,
    /// Accept only keys of this role from clients whose certificate has this common name or
    /// alternative name. ROLE is `gateway`, `operator`, `viewer`, or `agent:FOLDER` for agents' keys
    /// of the folder and of those below it. Repeat the flag for more names or roles. A client whose
    /// certificate no flag names may use any key.
    #[arg(
        long = "client-role",
        help_heading = "TLS",
        env = "ARIZUKO_CLIENT_ROLE",
        value_name = "NAME=ROLE",
        value_delimiter = ','
    )]
    pub client_roles: Vec<ClientRole>,
    /// Listen without TLS on an address other than loopback.
    #[arg(long, env = "ARIZUKO_PLAINTEXT")]
    pub plaintext: bool,
    /// How long open streams may take to end at shutdown.
    #[arg(long, env = "ARIZUKO_GRACE", default_value = "20s", value_name = "DURATION", value_parser = duration::parse)]
    pub grace: Duration,
    /// The limits on what callers can make control do.
    #[command(flatten)]
    pub limits: Limits,
}

impl Options {
    /// Reads the secrets that are in files.
    ///
    /// # Errors
    /// A secret is given twice, or its file can't be read or is open to others.
    pub(crate) fn read_files(&mut self) -> anyhow::Result<()> {
        self.store.read_file()?;
        self.seal.read_file()?;
        for (flag, secret, file) in [
            ("--operator-key", &mut self.operator_key, &self.operator_key_file),
            ("--gateway-key", &mut self.gateway_key, &self.gateway_key_file),
        ] {
            *secret = private::given(flag, secret.take(), file.as_deref())?;
        }
        Ok(())
    }

    /// Refuses settings that can't work. The error says what to do.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.store.redis.is_some() || self.data_dir.is_some(),
            "where should the state be kept? Say --redis <url>, or --data-dir <folder> for the embedded store"
        );
        self.store.check()?;
        self.seal.check()?;
        for (name, key) in [("operator", &self.operator_key), ("gateway", &self.gateway_key)] {
            let long = key.as_ref().is_none_or(|key| key.len() >= MIN_LENGTH);
            anyhow::ensure!(long, "the {name}'s key is shorter than 32 characters");
        }
        anyhow::ensure!(
            self.operator_key.is_none() || self.operator_key != self.gateway_key,
            "the operator's key and the gateway's key are the same; they must differ"
        );
        anyhow::ensure!(
            self.listen.ip().is_loopback() || self.plaintext || self.tls.are_named(),
            "{} is not loopback and keys would travel in the clear: name a certificate with --tls-cert and --tls-key, \
             or say --plaintext if the network is yours alone",
            self.listen
        );
        anyhow::ensure!(
            !self.plaintext || !self.tls.are_named(),
            "--plaintext and --tls-cert don't go together"
        );
        anyhow::ensure!(
            self.client_roles.is_empty() || self.clients.client_ca.is_some(),
            "--client-role needs --client-ca"
        );
        check_public_url(&self.public_url)?;
        anyhow::ensure!(
            self.limits.hook_bytes <= MAX_HOOK_BYTES,
            "--hook-bytes is at most {MAX_HOOK_BYTES} (16 MiB)"
        );
        Ok(())
    }
}

/// Checks the beginning of the URLs that control issues. The path after it is the gateway's.
fn check_public_url(url: &str) -> anyhow::Result<()> {
    let wrong = || {
        format!(
            "--public-url {url} is not the beginning of a link: it has a scheme and a host, such as \
             https://chat.acme.com, and no path, query, fragment or user name"
        )
    };
    let parsed: Uri = url.replace("{root}", "root").parse().map_err(|_| anyhow!(wrong()))?;
    anyhow::ensure!(
        matches!(parsed.scheme_str(), Some("http" | "https")),
        "--public-url begins with https:// or http://"
    );
    let has_user = parsed.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let is_bare = parsed.path() == "/" && parsed.query().is_none() && !url.contains('#');
    anyhow::ensure!(is_bare && !has_user, wrong());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn links_begin_with_a_scheme_and_a_host() {
        for url in ["https://chat.acme.com", "http://[::1]:8080/", "https://{root}.acme.com"] {
            assert!(check_public_url(url).is_ok(), "{url}");
        }
        let told = |url| check_public_url(url).unwrap_err().to_string();
        for url in [
            "https://acme.com/chat",
            "https://acme.com/?x=1",
            "https://acme.com/#top",
            "https://ana:secret@acme.com",
            "https://acme .com",
            "https://",
        ] {
            assert!(told(url).contains("scheme and a host"), "{url}: {}", told(url));
        }
        for url in ["acme.com", "ftp://acme.com"] {
            assert!(told(url).contains("https://"), "{url}");
        }
    }

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn an_address_beyond_this_machine_needs_tls_or_plaintext() {
        let says = |flags: &[&str]| {
            let flags = [&["control", "--data-dir", "/d", "--listen", "192.0.2.1:7070"], flags];
            let alone = Alone::try_parse_from(flags.concat()).unwrap();
            alone.options.check().map_err(|error| error.to_string())
        };
        let tls = ["--tls-cert", "c", "--tls-key", "k"];
        let told = says(&[]).unwrap_err();
        assert!(told.contains("--tls-cert") && told.contains("--plaintext"), "{told}");
        assert_eq!(says(&tls), Ok(()));
        assert_eq!(says(&["--plaintext"]), Ok(()));
        let told = says(&[&tls[..], &["--plaintext"]].concat()).unwrap_err();
        assert!(told.contains("don't go together"), "{told}");
    }
}
