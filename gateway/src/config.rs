//! The gateway's flags. Nothing else in this crate reads the environment.

use crate::limits::Limits;
use arizuko_proto::{
    duration,
    telemetry::{self, metrics},
    tls::{ClientFiles, ServerTls},
};
use ipnet::IpNet;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Serves arizuko's chat links to the public: the page, event streams and webhooks.
#[derive(clap::Parser)]
#[command(
    name = "arizuko-gateway",
    version,
    max_term_width = 100,
    before_help = "\
Examples:
  arizuko-gateway --control http://127.0.0.1:7070 --gateway-key-file gateway.key
  arizuko-gateway --control https://control.internal:7070 --ca ca.pem --gateway-key-file gateway.key \\
      --listen 0.0.0.0:443 --tls-cert fullchain.pem --tls-key privkey.pem
"
)]
pub struct Arguments {
    /// Where metrics are served.
    #[command(flatten)]
    pub metrics: metrics::Options,
    // The options end with a help heading, which covers all later flags without a heading of their
    // own.
    /// What it serves, and how.
    #[command(flatten)]
    pub options: Options,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: telemetry::Options,
}

/// The gateway's flags. Each can be set by an environment variable, too.
#[derive(clap::Args, Clone)]
pub struct Options {
    /// Address to listen on; port 0 takes a free port.
    #[arg(long, env = "ARIZUKO_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// The certificate and key to serve TLS with.
    #[command(flatten)]
    pub tls: ServerTls,

    /// Address of a control; repeat the flag for several. A name stands for all addresses that it has.
    #[arg(
        long,
        env = "ARIZUKO_CONTROL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7070"
    )]
    pub control: Vec<String>,

    /// This gateway's key for control.
    #[arg(
        long,
        env = "ARIZUKO_GATEWAY_KEY",
        hide_env_values = true,
        allow_hyphen_values = true,
        required_unless_present = "gateway_key_file"
    )]
    pub gateway_key: Option<String>,

    /// File with this gateway's key, in place of --gateway-key, which shows in `ps`.
    #[arg(long, env = "ARIZUKO_GATEWAY_KEY_FILE", value_name = "FILE")]
    pub gateway_key_file: Option<PathBuf>,

    /// The TLS files for calls to control.
    #[command(flatten)]
    pub control_tls: ClientFiles,

    /// How the gateway serves visitors.
    #[command(flatten)]
    pub serving: ServingOptions,

    /// How long open requests may take to end at shutdown.
    #[arg(long, env = "ARIZUKO_GATEWAY_GRACE", value_name = "DURATION", default_value = "20s", value_parser = duration::parse)]
    pub grace: Duration,

    /// The limits on what visitors can make the gateway hold or compute.
    #[command(flatten)]
    pub limits: Limits,
}

/// How a gateway serves visitors.
#[derive(clap::Args, Clone)]
pub struct ServingOptions {
    /// Networks of proxies whose X-Forwarded-For to trust, for example 10.0.0.0/8.
    #[arg(
        long = "trusted-proxy",
        help_heading = "Visitors",
        env = "ARIZUKO_TRUSTED_PROXY",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// How often an event stream without other events sends a comment. Choose less than the idle
    /// timeout of the proxies in front, which is often 30s or 60s.
    #[arg(long, help_heading = "Visitors", env = "ARIZUKO_HEARTBEAT", value_name = "DURATION", default_value = "15s", value_parser = duration::parse)]
    pub heartbeat: Duration,

    /// How long a client may read nothing before its connection is closed.
    #[arg(long, help_heading = "Visitors", env = "ARIZUKO_WRITE_STALL", value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub write_stall: Duration,

    /// Where to report security flaws: a `mailto:`, `https:` or `tel:` URL.
    /// /.well-known/security.txt publishes it.
    #[arg(long, help_heading = "Visitors", env = "ARIZUKO_SECURITY_CONTACT", value_name = "URL", value_parser = contact)]
    pub security_contact: Option<String>,
}

/// Checks that a contact can be written into security.txt.
fn contact(text: &str) -> Result<String, String> {
    let is_url = ["mailto:", "https://", "tel:"].iter().any(|scheme| text.starts_with(scheme));
    if is_url && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("a contact is a URL, such as mailto:security@example.com or https://example.com/report"
        .into())
}
