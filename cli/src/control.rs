//! Calling control: the connection, the key that goes with each call, and what a refusal means and
//! what to do about it.

use anyhow::{Chain, Context as _, anyhow};
use arizuko_proto::tls::ClientFiles;
use std::{
    error::Error,
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{self, Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// Where control listens unless it is told otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "http://127.0.0.1:7070";
/// Room for a turn with all the history that can be asked for, and for long lists.
pub(crate) const MAX_RESPONSE: usize = 64 << 20;

/// A channel that carries the key.
pub(crate) type Authorized = InterceptedService<Channel, Bearer>;

/// Adds the key to each call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

/// The controls that may be called, and the key for them.
pub(crate) struct Control {
    addresses: Vec<String>,
    endpoints: Vec<Endpoint>,
    bearer: Bearer,
    /// Which endpoint to try first.
    next: AtomicUsize,
}

impl Control {
    /// The controls at these addresses; connects to none yet.
    pub(crate) fn new(
        addresses: Vec<String>,
        key: Option<&str>,
        tls: &ClientFiles,
    ) -> anyhow::Result<Self> {
        let bearer = key.map(|key| {
            let mut value = MetadataValue::try_from(format!("Bearer {}", key.trim()))?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        let bearer = bearer.transpose().context("the key has characters that no key has")?;
        let endpoints =
            addresses.iter().map(|address| endpoint(address, tls)).collect::<Result<_, _>>()?;
        Ok(Self { addresses, endpoints, bearer: Bearer(bearer), next: AtomicUsize::new(0) })
    }

    /// Connects to one that answers; each call begins with the next in the list.
    pub(crate) async fn connect(&self) -> anyhow::Result<Authorized> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut failure = anyhow!("no control is named: use --control");
        for step in 0..self.endpoints.len() {
            let index = first.wrapping_add(step) % self.endpoints.len();
            match self.endpoints[index].connect().await {
                Ok(channel) => {
                    return Ok(InterceptedService::new(channel, self.bearer.clone()));
                }
                Err(error) => failure = self.unreachable(&error),
            }
        }
        Err(failure)
    }

    /// What a refusal means and what to do about it.
    pub(crate) fn explain(&self, status: Status) -> anyhow::Error {
        let message = status.message().to_owned();
        let advice = match reason(&status).as_deref() {
            Some("KEY_INVALID") if self.bearer.0.is_none() => {
                return anyhow!(
                    "control at {} wants a key: set ARIZUKO_KEY, or name its file with --key-file",
                    self.addresses.join(" or "),
                );
            }
            Some("KEY_INVALID") => {
                return anyhow!(
                    "the key is unknown or revoked: set another as ARIZUKO_KEY, or with --key-file"
                );
            }
            Some("NOT_ALLOWED") => "use another key, for example an operator's",
            Some("JID_TAKEN") => "choose another --suffix",
            Some("UNAVAILABLE") => "nothing was done; try again in a moment",
            Some("OUTCOME_UNKNOWN") => "look whether it was done before you try again",
            Some("INTERNAL") => "control's log says more",
            Some(_) => return anyhow!(message),
            None => return self.unexplained(&status),
        };
        anyhow!("{message}: {advice}")
    }

    /// A status that control did not make.
    fn unexplained(&self, status: &Status) -> anyhow::Error {
        let address = self.addresses.join(" or ");
        let cause = status.source().and_then(|source| Chain::new(source).last());
        let cause = cause.map_or_else(|| status.message().to_owned(), ToString::to_string);
        match status.code() {
            Code::Unimplemented => anyhow!(
                "what answers at {address} is no control of this version: is the address right?"
            ),
            Code::Cancelled | Code::DeadlineExceeded if status.source().is_none() => {
                anyhow!("control at {address} does not answer in time: try again")
            }
            _ => {
                let advice = arizuko_proto::tls::advice(&address, &cause);
                let advice = advice
                    .unwrap_or("does it run, and is the address right, also in its http or https?");
                anyhow!("lost control at {address} ({cause}): {advice}")
            }
        }
    }

    fn unreachable(&self, error: &transport::Error) -> anyhow::Error {
        let address = self.addresses.join(" or ");
        let refused = |cause: &&(dyn Error + 'static)| {
            let kind = cause.downcast_ref().map(io::Error::kind);
            kind == Some(io::ErrorKind::ConnectionRefused)
        };
        // That nobody listens there is plain already.
        let cause = Chain::new(error).last().filter(|cause| !refused(cause));
        let cause = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
        let advice =
            arizuko_proto::tls::advice(&address, &cause).unwrap_or("is `arizuko up` running?");
        anyhow!("no control at {address}{cause}: {advice}")
    }
}

/// The reason that control gives with a refusal.
pub(crate) fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// Notices a dead link within 15 s, and gives up a connect after 3 s.
fn endpoint(address: &str, tls: &ClientFiles) -> anyhow::Result<Endpoint> {
    let url =
        if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let wrong = || format!("{address} is no address of a control, such as {DEFAULT_ADDRESS}");
    let endpoint = Endpoint::from_shared(url.clone())
        .with_context(wrong)?
        .connect_timeout(Duration::from_secs(3))
        .timeout(Duration::from_secs(15))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true);
    if url.starts_with("https://") { Ok(endpoint.tls_config(tls.config()?)?) } else { Ok(endpoint) }
}
