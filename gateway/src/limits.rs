//! The limits on what visitors can make a gateway hold or compute.

use arizuko_proto::duration;
use std::time::Duration;

/// The limits of a gateway.
#[derive(clap::Args, Clone, Debug)]
// A program may flatten several types called `Limits`, and clap names the group after the type.
#[group(skip)]
#[command(next_help_heading = "Limits on visitors")]
pub struct Limits {
    /// Open connections of visitors; fewer where the process can't open that many files.
    #[arg(long, env = "ARIZUKO_GATEWAY_CONNECTIONS", default_value_t = 20_000)]
    pub gateway_connections: usize,
    /// Open connections from one address, or one IPv6 network of 64 bits. Those of trusted proxies
    /// don't count.
    #[arg(long, env = "ARIZUKO_GATEWAY_ADDRESS_CONNECTIONS", default_value_t = 1_000)]
    pub gateway_address_connections: usize,
    /// How long a request's head may take to arrive, and how long a connection stays open without a
    /// request.
    #[arg(long, env = "ARIZUKO_GATEWAY_IDLE", value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub gateway_idle: Duration,
    /// How many requests one address may make in a minute, at most half of them at once. A request
    /// with a wrong token, signature or visitor's JWT counts as 30. A request that repeats a
    /// message, or that is asked for a proof of work, counts as 10.
    #[arg(long, env = "ARIZUKO_ADDRESS_REQUESTS", default_value_t = 6_000)]
    pub address_requests: u32,
    /// How many event streams and waiting requests one address may have open.
    #[arg(long, env = "ARIZUKO_STREAMS_PER_ADDRESS", default_value_t = 100)]
    pub streams_per_address: usize,
    /// Largest request body under /chat, in bytes. Control limits the message itself; JSON and forms
    /// escape characters, so a body can be several times as large as its message.
    #[arg(long, env = "ARIZUKO_CHAT_BODY_BYTES", default_value_t = 256 * 1024)]
    pub chat_body_bytes: usize,
    /// Largest request body under /hook, in bytes; at most 16 MiB. Control has a limit of its own,
    /// --hook-bytes.
    #[arg(long, env = "ARIZUKO_HOOK_BODY_BYTES", default_value_t = 4 << 20)]
    pub hook_body_bytes: usize,
    /// How long a request's body may take to arrive.
    #[arg(long, env = "ARIZUKO_BODY_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub body_timeout: Duration,
    /// How long a request of OpenAI's or A2A's protocol that doesn't stream waits for the end of its
    /// reply.
    #[arg(long, env = "ARIZUKO_REPLY_TIMEOUT", value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    pub reply_timeout: Duration,
    /// How many pages, messages and deliveries each control may work on for this gateway at a time.
    /// The next one waits for up to 50 ms, and is then refused.
    #[arg(long, env = "ARIZUKO_CONTROL_CALLS", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..))]
    pub control_calls: u32,
    /// How many bytes of request bodies to hold at a time.
    #[arg(long, env = "ARIZUKO_BODY_BYTES", default_value_t = 256 * 1024 * 1024)]
    pub body_bytes: usize,
    /// How many bytes of request bodies from one address to hold at a time.
    #[arg(long, env = "ARIZUKO_ADDRESS_BODY_BYTES", default_value_t = 64 * 1024 * 1024)]
    pub address_body_bytes: usize,
    /// The longest message that is rendered as Markdown, in bytes. A longer one is shown as plain text.
    #[arg(long, env = "ARIZUKO_RENDER_BYTES", default_value_t = 512 * 1024)]
    pub render_bytes: usize,
    /// How many bytes of rendered messages to keep, so that each is rendered once.
    #[arg(long, env = "ARIZUKO_RENDER_CACHE_BYTES", default_value_t = 32 * 1024 * 1024)]
    pub render_cache_bytes: usize,
}

/// The largest `hook_body_bytes`: control takes no larger message.
const MAX_HOOK_BODY_BYTES: usize = 16 << 20;

impl Limits {
    /// Checks that the limits can work. The error says what to change.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.hook_body_bytes <= MAX_HOOK_BODY_BYTES,
            "--hook-body-bytes is at most {MAX_HOOK_BODY_BYTES} (16 MiB)"
        );
        Ok(())
    }
}
