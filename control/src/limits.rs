//! The limits on visitors, agents, streams, keys and connections. Each is a setting.

use crate::time::millis;
use arizuko_proto::duration;
use std::time::Duration;

/// The limits of one control.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Limits on visitors")]
pub struct Limits {
    /// Messages that one chat link takes in a minute, from all visitors.
    #[arg(long, env = "ARIZUKO_LINK_RATE", default_value_t = 600)]
    pub link_rate: u32,
    /// Messages that one chat link takes at once, from all visitors [default: as many as in
    /// a minute].
    #[arg(long, env = "ARIZUKO_LINK_BURST")]
    pub link_burst: Option<u32>,
    /// Messages that one chat link takes from one address in a minute. An IPv6 /64 is one address.
    #[arg(long, env = "ARIZUKO_ADDRESS_RATE", default_value_t = 20)]
    pub address_rate: u32,
    /// Messages that one chat link takes from one address at once [default: as many as in a
    /// minute].
    #[arg(long, env = "ARIZUKO_ADDRESS_BURST")]
    pub address_burst: Option<u32>,
    /// All visitors from one IPv6 /48 together may have the limits of this many addresses.
    #[arg(long, env = "ARIZUKO_NETWORK_ADDRESSES", default_value_t = 4)]
    pub network_addresses: u32,
    /// Messages that one webhook takes in a minute.
    #[arg(long, env = "ARIZUKO_HOOK_RATE", default_value_t = 600)]
    pub hook_rate: u32,
    /// Messages that one webhook takes at once.
    #[arg(long, env = "ARIZUKO_HOOK_BURST", default_value_t = 1_000)]
    pub hook_burst: u32,
    /// Messages that agents may add to one conversation unasked in a minute.
    #[arg(long, env = "ARIZUKO_SPEECH_RATE", default_value_t = 60)]
    pub speech_rate: u32,
    /// Open turns of one chat link, of all visitors.
    #[arg(long, env = "ARIZUKO_LINK_TURNS", default_value_t = 1_000)]
    pub link_turns: u32,
    /// Open turns that one address has on one chat link.
    #[arg(long, env = "ARIZUKO_ADDRESS_TURNS", default_value_t = 3)]
    pub address_turns: u32,
    /// Open turns of one conversation.
    #[arg(long, env = "ARIZUKO_CONVERSATION_TURNS", default_value_t = 3)]
    pub conversation_turns: u32,
    /// Open turns of one webhook.
    #[arg(long, env = "ARIZUKO_HOOK_TURNS", default_value_t = 10_000)]
    pub hook_turns: u32,
    /// Bytes of a chat message.
    #[arg(long, env = "ARIZUKO_CHAT_BYTES", default_value_t = 64 << 10)]
    pub chat_bytes: usize,
    /// Bytes of a webhook's body, at most 16 MiB.
    #[arg(long, env = "ARIZUKO_HOOK_BYTES", default_value_t = 4 << 20)]
    pub hook_bytes: usize,
    /// Bytes of messages, with their replies, that are kept of one link. Each message counts 4 KiB
    /// in addition to its text.
    #[arg(long, env = "ARIZUKO_LINK_BYTES", default_value_t = 4 << 30)]
    pub link_bytes: u64,
    /// Bytes that are kept of one tenant: of messages, with their replies, and of links' logos and
    /// long texts.
    #[arg(long, env = "ARIZUKO_TENANT_BYTES", default_value_t = 16 << 30)]
    pub tenant_bytes: u64,
    /// Model tokens that each turn of a link with a budget of tokens reserves, until its agent
    /// reports how many it used.
    #[arg(long, env = "ARIZUKO_RESERVE_TOKENS", default_value_t = 4_000)]
    pub reserve_tokens: u64,
    /// Bytes of one frame of a reply.
    #[arg(long, env = "ARIZUKO_FRAME_BYTES", help_heading = "Limits on agents", default_value_t = 64 << 10)]
    pub frame_bytes: usize,
    /// Bytes of a turn's reply; a turn with a longer one ends as failed.
    #[arg(long, env = "ARIZUKO_TURN_BYTES", help_heading = "Limits on agents", default_value_t = 4 << 20)]
    pub turn_bytes: u64,
    /// A turn that agents have lost this many times ends as failed.
    #[arg(long, env = "ARIZUKO_ATTEMPTS", help_heading = "Limits on agents", default_value_t = 5)]
    pub attempts: u32,
    /// How long a turn may be open.
    #[arg(long, env = "ARIZUKO_TURN_DEADLINE", help_heading = "Limits on agents", default_value = "1h", value_parser = duration::parse)]
    pub turn_deadline: Duration,
    /// How long an agent may take to say Hello.
    #[arg(long, env = "ARIZUKO_HELLO_TIMEOUT", help_heading = "Limits on agents", default_value = "10s", value_parser = duration::parse)]
    pub hello_timeout: Duration,
    /// How long an agent may take to accept a turn.
    #[arg(long, env = "ARIZUKO_ACCEPT_TIMEOUT", help_heading = "Limits on agents", default_value = "10s", value_parser = duration::parse)]
    pub accept_timeout: Duration,
    /// How long an agent's session lives after its last heartbeat: at most this long, and at least
    /// three quarters of this.
    #[arg(long, env = "ARIZUKO_LEASE", help_heading = "Limits on agents", default_value = "30s", value_parser = duration::parse)]
    pub lease: Duration,
    /// How often agents send heartbeats.
    #[arg(id = "agent_heartbeat", long = "agent-heartbeat", value_name = "DURATION", env = "ARIZUKO_AGENT_HEARTBEAT", help_heading = "Limits on agents", default_value = "5s", value_parser = duration::parse)]
    pub heartbeat: Duration,
    /// How long frames are kept after the end of their turn. `arizuko folder set` changes it for a
    /// tenant.
    #[arg(long, env = "ARIZUKO_KEEP_FRAMES", help_heading = "What is kept", default_value = "24h", value_parser = duration::parse)]
    pub keep_frames: Duration,
    /// How long messages are kept after the end of their turn. `arizuko folder set` changes it for
    /// a tenant.
    #[arg(long, env = "ARIZUKO_KEEP_MESSAGES", help_heading = "What is kept", default_value = "30d", value_parser = duration::parse)]
    pub keep_messages: Duration,
    /// How long entries of the audit log are kept.
    #[arg(long, env = "ARIZUKO_KEEP_AUDIT", help_heading = "What is kept", default_value = "90d", value_parser = duration::parse)]
    pub keep_audit: Duration,
    /// How long events are kept after control gave up delivering them.
    #[arg(long, env = "ARIZUKO_KEEP_PARKED_EVENTS", help_heading = "What is kept", default_value = "30d", value_parser = duration::parse)]
    pub keep_parked_events: Duration,
    /// How often an open stream is checked against the store, even without a wake-up.
    #[arg(long, env = "ARIZUKO_RECHECK", help_heading = "Limits on streams", default_value = "15s", value_parser = duration::parse)]
    pub recheck: Duration,
    /// How many links, routes, keys and sessions there may be.
    #[command(flatten)]
    pub owners: Owners,
    /// The limits on events.
    #[command(flatten)]
    pub events: EventLimits,
    /// The limits on connections and calls.
    #[command(flatten)]
    pub connections: ConnectionLimits,
}

/// How many links, routes, keys and sessions there may be.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Limits on folders and keys")]
pub struct Owners {
    /// Live links of one JID.
    #[arg(long, env = "ARIZUKO_JID_LINKS", default_value_t = 10_000)]
    pub jid_links: u32,
    /// Live links of one folder.
    #[arg(long, env = "ARIZUKO_FOLDER_LINKS", default_value_t = 100_000)]
    pub folder_links: u32,
    /// Live links that one key has issued. An operator's key may have as many in each partition of
    /// the store.
    #[arg(long, env = "ARIZUKO_KEY_LINKS", default_value_t = 100_000)]
    pub key_links: u32,
    /// Attached sessions of one key. An operator's key may have as many in each partition of the
    /// store.
    #[arg(long, env = "ARIZUKO_KEY_SESSIONS", default_value_t = 1_000)]
    pub key_sessions: u32,
    /// Routes of one tenant.
    #[arg(long, env = "ARIZUKO_TENANT_ROUTES", default_value_t = 1_000)]
    pub tenant_routes: u32,
    /// Operators', viewers', gateways' and agents' keys in each partition of the store.
    #[arg(long, env = "ARIZUKO_PARTITION_KEYS", default_value_t = 10_000)]
    pub partition_keys: u32,
}

/// The limits on events that are posted to tenants' own systems.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Limits on events")]
pub struct EventLimits {
    /// Post events to private addresses, too, such as this machine's, and over http. Whoever may
    /// subscribe can then reach everything that control can.
    #[arg(long, env = "ARIZUKO_PRIVATE_EVENT_TARGETS")]
    pub private_event_targets: bool,
    /// How long a receiver may take to answer an event.
    #[arg(long, env = "ARIZUKO_EVENT_TIMEOUT", default_value = "10s", value_parser = duration::parse)]
    pub event_timeout: Duration,
    /// How long the delivery of an event is tried before the event is parked.
    #[arg(long, env = "ARIZUKO_EVENT_RETRY_FOR", default_value = "72h", value_parser = duration::parse)]
    pub event_retry_for: Duration,
    /// Events of one subscription that wait or are parked. While there are that many, new ones are
    /// left out.
    #[arg(long, env = "ARIZUKO_SUBSCRIPTION_EVENTS", default_value_t = 100_000)]
    pub subscription_events: u64,
    /// Subscriptions of one tenant.
    #[arg(long, env = "ARIZUKO_TENANT_SUBSCRIPTIONS", default_value_t = 20)]
    pub tenant_subscriptions: u32,
}

/// The limits on connections to control, and on calls.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Limits on connections to control")]
pub struct ConnectionLimits {
    /// Open connections to control; fewer where the process can't open that many files.
    #[arg(long, env = "ARIZUKO_CONTROL_CONNECTIONS", default_value_t = 10_000)]
    pub control_connections: usize,
    /// Open connections to control from one address, or one IPv6 network of 64 bits.
    #[arg(long, env = "ARIZUKO_CONTROL_ADDRESS_CONNECTIONS", default_value_t = 1_000)]
    pub control_address_connections: usize,
    /// Open calls and streams of one connection to control; further ones wait.
    #[arg(long, env = "ARIZUKO_CONNECTION_CALLS", default_value_t = 1_024)]
    pub connection_calls: u32,
    /// How long a connection to control stays open without a call.
    #[arg(long, env = "ARIZUKO_CONTROL_IDLE", default_value = "1m", value_parser = duration::parse)]
    pub control_idle: Duration,
    /// How long a connection to control stays open while its client answers no ping.
    #[arg(long, env = "ARIZUKO_PING_TIMEOUT", default_value = "15s", value_parser = duration::parse)]
    pub ping_timeout: Duration,
    /// How long a call may take, with its upload; for a stream, until it begins.
    #[arg(long, env = "ARIZUKO_CALL_DEADLINE", default_value = "30s", value_parser = duration::parse)]
    pub call_deadline: Duration,
}

/// The longest time that a route may set for a step of its escalation, or for giving up.
pub(crate) const LONGEST_ROUTE_WAIT: Duration = Duration::from_secs(7 * 86_400);

/// How long the messages of a tenant may be kept by its own settings, at most.
pub(crate) const LONGEST_KEPT: Duration = Duration::from_secs(3_650 * 86_400);

/// How large `hook_bytes` may be, at most: gRPC messages and the store have room for no more.
pub(crate) const MAX_HOOK_BYTES: usize = 16 << 20;

/// How often something may happen: `burst` times at once, and then `count` times in each `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: u32,
    pub(crate) per: Duration,
    pub(crate) burst: u32,
}

impl Rate {
    /// Returns a rate of `count` a minute. `burst`: `None` for as many at once as in a minute.
    pub(crate) fn per_minute(count: u32, burst: Option<u32>) -> Self {
        let count = count.max(1);
        Self { count, per: Duration::from_secs(60), burst: burst.unwrap_or(count) }
    }

    /// Returns the time between two events at this rate, in milliseconds; `None` if it is less than
    /// 1, since such a rate limits nothing.
    pub(crate) fn interval(self) -> Option<u64> {
        Some(millis(self.per) / u64::from(self.count)).filter(|interval| *interval > 0)
    }

    /// Returns how many events a minute this rate allows in the long run; at least 1.
    pub(crate) fn a_minute(self) -> u32 {
        let each = u64::from(self.count) * 60_000 / millis(self.per).max(1);
        u32::try_from(each.max(1)).unwrap_or(u32::MAX)
    }

    /// Returns the rate that `factor` senders have together.
    pub(crate) fn times(self, factor: u32) -> Self {
        let Self { count, per, burst } = self;
        Self { count: count.saturating_mul(factor), per, burst: burst.saturating_mul(factor) }
    }
}

#[cfg(test)]
impl Limits {
    pub(crate) fn defaults() -> Self {
        #[derive(clap::Parser)]
        struct Flags {
            #[command(flatten)]
            limits: Limits,
        }
        <Flags as clap::Parser>::parse_from(["test"]).limits
    }
}

impl Limits {
    /// Returns the lifetime of a conversation's records: how long after a record's last change the
    /// store may collect it. The clean-up, which is due at least a day before, deletes the records;
    /// the lifetime is for those whose due item was lost. It is long enough for every tenant.
    pub(crate) fn conversation_lifetime(&self) -> Duration {
        let kept = self.keep_messages.max(self.keep_frames).max(LONGEST_KEPT);
        self.lifetime_where_kept(kept)
    }

    /// Returns for how long something of a conversation is needed after its last change, if its
    /// messages are kept this long.
    pub(crate) fn lifetime_where_kept(&self, messages: Duration) -> Duration {
        let open = self.turn_deadline.max(LONGEST_ROUTE_WAIT);
        // Each step of an escalation may add to the time that a turn is open.
        messages + 2 * open + Duration::from_secs(86_400)
    }
}
