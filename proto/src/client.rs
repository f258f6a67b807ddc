//! How arizuko's programs call control: the connection, the key, and the waits between attempts.

use crate::{
    telemetry::traces::{TRACEPARENT, traceparent},
    tls::ClientFiles,
};
use anyhow::Context as _;
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use std::{ops::Range, time::Duration};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{self, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tracing::Span;

/// The largest response from control that a client accepts, in bytes: room for a turn with its
/// history, and for long lists.
pub const MAX_RESPONSE_BYTES: usize = 64 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a client pings control, to notice that a connection is dead.
const KEEPALIVE: Duration = Duration::from_millis(500);
/// How long control may take to answer a ping. With `KEEPALIVE`, a dead connection is replaced
/// within 2 s.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_millis(1_250);
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// A connection to control that carries a key.
pub type Channel = InterceptedService<transport::Channel, Bearer>;

/// Adds the key to each call, and the trace that the call belongs to. By default there is no key.
#[derive(Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// Prepares calls with a key, or without one.
    ///
    /// # Errors
    ///
    /// The key has characters that no header can have.
    pub fn new(key: Option<&str>) -> anyhow::Result<Self> {
        let value = key.map(|key| {
            let mut value = MetadataValue::try_from(format!("Bearer {}", key.trim()))?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        Ok(Self(value.transpose().context("the key has characters that no key can have")?))
    }

    /// Whether calls carry a key.
    pub fn has_key(&self) -> bool {
        self.0.is_some()
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(key) = &self.0 {
            metadata.insert("authorization", key.clone());
        }
        if let Some(parent) = traceparent(&Span::current()).and_then(|text| text.parse().ok()) {
            metadata.insert(TRACEPARENT, parent);
        }
        Ok(request)
    }
}

/// Prepares connections to a control at `http://` or `https://`. An address without a scheme counts
/// as `http://`. With TLS, `files` say which authorities to trust and which certificate to show.
///
/// # Errors
///
/// The address is malformed, or a file can't be used.
pub fn endpoint(address: &str, files: &ClientFiles) -> anyhow::Result<Endpoint> {
    let wrong = || {
        format!("{address} is not the address of a control: write it like http://127.0.0.1:7070")
    };
    let url = match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let endpoint = tuned(Endpoint::from_shared(url).with_context(wrong)?);
    match endpoint.uri().scheme_str() {
        Some("http") => Ok(endpoint),
        Some("https") => Ok(endpoint.tls_config(files.config()?)?),
        _ => anyhow::bail!(wrong()),
    }
}

/// Sets how connections to control are made and kept.
pub(crate) fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}

/// Asks a control whether it can serve. The key is checked, if the channel has one.
///
/// # Errors
///
/// Control refuses the key, or does not answer.
pub async fn serves(channel: Channel) -> Result<bool, Status> {
    let checked = HealthClient::new(channel).check(HealthCheckRequest::default()).await?;
    Ok(checked.into_inner().status() == ServingStatus::Serving)
}

/// The waits between attempts: each about twice the last, up to a longest wait. Up to half of each
/// wait is random, so that clients that failed together don't come back together.
pub struct Backoff {
    builder: ExponentialBuilder,
    waits: ExponentialBackoff,
}

impl Backoff {
    /// Begins with a wait of at most `waits.start`; later ones are at most `waits.end`.
    pub fn new(waits: Range<Duration>) -> Self {
        // The jitter makes a wait up to twice as long.
        let builder = ExponentialBuilder::new()
            .with_min_delay(waits.start / 2)
            .with_max_delay(waits.end / 2)
            .with_jitter()
            .without_max_times();
        Self { builder, waits: builder.build() }
    }

    /// Returns how long to wait before the next attempt.
    pub fn wait(&mut self) -> Duration {
        // Without a limit of attempts there is always a next one.
        self.waits.next().unwrap_or_default()
    }

    /// Makes the next wait short again, after a success.
    pub fn reset(&mut self) {
        self.waits = self.builder.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100)..Duration::from_secs(2));
        for _ in 0..2 {
            for most in [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000] {
                let wait = backoff.wait();
                let most = Duration::from_millis(most);
                assert!(most / 2 <= wait && wait <= most, "{wait:?} {most:?}");
            }
            backoff.reset();
        }
    }

    #[test]
    fn an_address_has_a_scheme_that_control_speaks() {
        let uri = |address| {
            let endpoint = endpoint(address, &ClientFiles::default());
            endpoint.map(|endpoint| endpoint.uri().to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(uri("127.0.0.1:7070").unwrap(), "http://127.0.0.1:7070/");
        assert_eq!(uri("http://control:7070").unwrap(), "http://control:7070/");
        for wrong in ["ftp://control", "not an address", ""] {
            assert!(uri(wrong).unwrap_err().contains("http://127.0.0.1:7070"), "{wrong}");
        }
    }
}
