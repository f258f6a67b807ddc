//! One control: its connections, and the memory of whether it answered lately.

use super::watch::Watch;
use anyhow::Context as _;
use arizuko_proto::tls::ClientFiles;
use arizuko_proto::{
    telemetry::traces::{self, TRACEPARENT},
    v1::gateway_service_client::GatewayServiceClient,
};
use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tracing::Span;

/// How long a control that did not answer comes last.
const REST: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A dead connection is noticed within twice this. Together with the time that a broken
/// subscription has to find another control it must stay under the 15 s within which a gateway
/// that is cut off ends its streams.
const KEEPALIVE: Duration = Duration::from_secs(3);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Control bounds its answers; this only catches nonsense.
const MAX_ANSWER_BYTES: usize = 64 << 20;

pub(super) type Client = GatewayServiceClient<InterceptedService<Channel, Key>>;

/// One control. Its unary calls and its Watch stream have a connection each, so that neither
/// waits for the other.
pub(super) struct Node {
    pub(super) address: String,
    pub(super) client: Client,
    pub(super) watch: Watch,
    resting_until: Mutex<Option<Instant>>,
}

impl Node {
    pub(super) fn new(address: &str, key: &Key, tls: &ClientFiles) -> anyhow::Result<Self> {
        Ok(Self {
            address: address.to_owned(),
            client: connect(address, key, tls)?,
            watch: Watch::new(address, connect(address, key, tls)?),
            resting_until: Mutex::new(None),
        })
    }

    /// Puts this control last for a while, since it did not answer.
    pub(super) fn rest(&self) {
        *self.resting_until() = Some(Instant::now() + REST);
    }

    pub(super) fn rests(&self) -> bool {
        self.resting_until().is_some_and(|until| Instant::now() < until)
    }

    /// How much this control is the one for `place`: the weight of rendezvous hashing.
    pub(super) fn weight(&self, place: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.address, place).hash(&mut hasher);
        hasher.finish()
    }

    // Whoever panicked left a whole value behind.
    fn resting_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.resting_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gateway's own key, put on every call, and the trace that the call is a part of.
#[derive(Clone)]
pub(super) struct Key(MetadataValue<Ascii>);

impl Key {
    pub(super) fn new(key: &str) -> anyhow::Result<Self> {
        let mut value = MetadataValue::try_from(format!("Bearer {key}"))
            .context("the gateway's key has characters that no key has")?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.0.clone());
        let traceparent = traces::traceparent(&Span::current());
        if let Some(traceparent) = traceparent.and_then(|text| text.parse().ok()) {
            metadata.insert(TRACEPARENT, traceparent);
        }
        Ok(request)
    }
}

fn connect(address: &str, key: &Key, tls: &ClientFiles) -> anyhow::Result<Client> {
    let mut endpoint = Endpoint::from_shared(address.to_owned())
        .with_context(|| format!("--control {address}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    match endpoint.uri().scheme_str() {
        Some("http") => {}
        Some("https") => endpoint = endpoint.tls_config(tls.config()?)?,
        _ => anyhow::bail!("--control {address}: it begins with http:// or https://"),
    }
    let channel = endpoint.connect_lazy();
    let client = GatewayServiceClient::with_interceptor(channel, key.clone());
    Ok(client.max_decoding_message_size(MAX_ANSWER_BYTES))
}
