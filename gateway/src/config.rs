//! What the gateway can be told. Nothing else in this crate reads the environment.

use arizuko_proto::tls::{ClientFiles, ServerFiles};
use clap::Parser;
use ipnet::IpNet;
use std::{net::SocketAddr, time::Duration};

/// What the gateway can be told: a flag each, with an environment twin.
#[derive(clap::Args, Clone)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "ARIZUKO_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// What it serves TLS with.
    #[command(flatten)]
    pub tls: ServerFiles,

    /// A control service; repeat it for more than one.
    #[arg(
        long,
        env = "ARIZUKO_CONTROL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7070"
    )]
    pub control: Vec<String>,

    /// The gateway's key for control.
    #[arg(long, env = "ARIZUKO_GATEWAY_KEY", hide_env_values = true)]
    pub gateway_key: String,

    /// What it calls control with.
    #[command(flatten)]
    pub control_tls: ClientFiles,

    /// Networks whose X-Forwarded-For is believed, for example 10.0.0.0/8.
    #[arg(
        long = "trusted-proxy",
        env = "ARIZUKO_TRUSTED_PROXY",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// Event streams that one address may have open at a time.
    #[arg(long, env = "ARIZUKO_STREAMS_PER_ADDRESS", default_value_t = 100)]
    pub streams_per_address: usize,

    /// Largest request body under /chat. Control bounds the message in it; JSON and forms escape,
    /// so that a body may be a few times as large as its message.
    #[arg(long, env = "ARIZUKO_CHAT_BODY_BYTES", default_value_t = 256 * 1024)]
    pub chat_body_bytes: usize,

    /// Largest request body under /hook.
    #[arg(long, env = "ARIZUKO_HOOK_BODY_BYTES", default_value_t = 1024 * 1024)]
    pub hook_body_bytes: usize,

    /// How often a comment goes down an event stream.
    #[arg(long, env = "ARIZUKO_HEARTBEAT", value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    pub heartbeat: Duration,

    /// How long a reader may accept nothing before its connection is closed.
    #[arg(long, env = "ARIZUKO_WRITE_STALL", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub write_stall: Duration,

    /// How long open requests have to end once the gateway is told to.
    #[arg(long, env = "ARIZUKO_GATEWAY_GRACE", value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub grace: Duration,
}

impl Options {
    /// These three as given, all else from its environment twin or default: for a program that has
    /// a gateway inside.
    pub fn embedded(
        listen: SocketAddr,
        control: &str,
        gateway_key: &str,
    ) -> Result<Self, clap::Error> {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            options: Options,
        }
        Alone::try_parse_from([
            "arizuko-gateway",
            &format!("--listen={listen}"),
            &format!("--control={control}"),
            &format!("--gateway-key={gateway_key}"),
        ])
        .map(|alone| alone.options)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number of seconds, at least 1".into()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
    }
}
