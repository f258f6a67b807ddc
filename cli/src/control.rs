//! Calls to control: the addresses to try, a client for each service, and what a failed call means
//! to the person at the terminal.

use anyhow::{Chain, anyhow};
use arizuko_proto::{
    client::{self, Bearer, Channel, MAX_RESPONSE_BYTES, serves},
    tls::{self, ClientFiles},
    v1::{
        ErrorReason, admin_service_client::AdminServiceClient,
        agent_service_client::AgentServiceClient,
        conversation_service_client::ConversationServiceClient,
        key_service_client::KeyServiceClient, route_service_client::RouteServiceClient,
        token_service_client::TokenServiceClient,
    },
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use std::{
    error::Error,
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tonic::{
    Code, Response, Status,
    transport::{self, Endpoint},
};

/// Where control listens by default.
pub(crate) const DEFAULT_ADDRESS: &str = "http://127.0.0.1:7070";
/// How long control may take to answer a call, or to begin a stream.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a control may take to say whether it can serve. One that waits for its store says so
/// within 2 s.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a control has to say that it can serve before the next one is asked, too.
const HEAD_START: Duration = Duration::from_millis(250);

/// What to do if control was never reached.
const CHECK_ADDRESS: &str = "check that it runs, and the address, http or https included";
/// What to do if a call was lost that may have reached control.
const CHECK_OUTCOME: &str =
    "if this was to change something, check whether it was done before you try again";

/// The controls to call, and the key for them.
pub(crate) struct Control {
    addresses: Vec<String>,
    endpoints: Vec<Endpoint>,
    bearer: Bearer,
    /// Which endpoint to try first.
    next: AtomicUsize,
}

impl Control {
    /// Prepares calls; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// An address, the key or a file of `tls` is malformed.
    pub(crate) fn new(
        addresses: Vec<String>,
        key: Option<&str>,
        tls: &ClientFiles,
    ) -> anyhow::Result<Self> {
        let endpoint =
            |address: &String| Ok(client::endpoint(address, tls)?.timeout(ANSWER_TIMEOUT));
        let endpoints = addresses.iter().map(endpoint).collect::<anyhow::Result<_>>()?;
        Ok(Self { addresses, endpoints, bearer: Bearer::new(key)?, next: AtomicUsize::new(0) })
    }

    /// Connects to a control that has just said that it can serve. Where none says so, connects to
    /// one that answers. Each call of this begins with the next control in the list.
    ///
    /// So a call goes to a control that hangs only if it began to hang at that moment, and nothing
    /// needs to be repeated at another one.
    pub(crate) async fn connect(&self) -> anyhow::Result<Channel> {
        let count = self.endpoints.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut others = (0..count).map(|step| first.wrapping_add(step) % count);
        let mut probes = FuturesUnordered::new();
        let mut outcome = Err(anyhow!("no control is named: use --control"));
        loop {
            let next = others.next();
            probes.extend(next.map(|index| self.probe(index)));
            tokio::select! {
                Some(probed) = probes.next() => match probed {
                    Ok((channel, true)) => return Ok(channel),
                    Ok((channel, false)) => outcome = Ok(channel),
                    Err(problem) if outcome.is_err() => outcome = Err(problem),
                    Err(_) => {}
                },
                () = sleep(HEAD_START), if others.len() > 0 => {
                    let control = next.map(|index| &self.addresses[index]);
                    tracing::warn!(control, "no answer yet: asking the next control, too");
                }
                else => return outcome,
            }
        }
    }

    /// Connects to one control, and asks it whether it can serve.
    async fn probe(&self, index: usize) -> anyhow::Result<(Channel, bool)> {
        let channel = self.endpoints[index].connect().await;
        let channel = channel.map_err(|error| self.unreachable(&error))?;
        // Without the key: control would note a wrong one twice.
        let asked = serves(Channel::new(channel.clone(), Bearer::default()));
        let late = |_| Err(Status::deadline_exceeded("control did not answer in time"));
        let serves = match timeout(PROBE_TIMEOUT, asked).await.unwrap_or_else(late) {
            Ok(serves) => serves,
            Err(status) if status.source().is_some() || status.code() == Code::DeadlineExceeded => {
                return Err(self.disconnected(&status, CHECK_ADDRESS));
            }
            // It answers. What the command calls will tell why it doesn't serve.
            Err(_) => false,
        };
        Ok((Channel::new(channel, self.bearer.clone()), serves))
    }

    /// Connects to AdminService.
    pub(crate) async fn admin(&self) -> anyhow::Result<AdminServiceClient<Channel>> {
        let channel = self.connect().await?;
        Ok(AdminServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to AgentService.
    pub(crate) async fn agents(&self) -> anyhow::Result<AgentServiceClient<Channel>> {
        let channel = self.connect().await?;
        Ok(AgentServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to ConversationService.
    pub(crate) async fn conversations(&self) -> anyhow::Result<ConversationServiceClient<Channel>> {
        let channel = self.connect().await?;
        Ok(ConversationServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to KeyService.
    pub(crate) async fn keys(&self) -> anyhow::Result<KeyServiceClient<Channel>> {
        let channel = self.connect().await?;
        Ok(KeyServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to RouteService.
    pub(crate) async fn routes(&self) -> anyhow::Result<RouteServiceClient<Channel>> {
        let channel = self.connect().await?;
        Ok(RouteServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to TokenService.
    pub(crate) async fn tokens(&self) -> anyhow::Result<TokenServiceClient<Channel>> {
        let channel = self.connect().await?;
        Ok(TokenServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Unwraps the response to a call, or explains why there is none.
    pub(crate) fn answer<T>(&self, called: Result<Response<T>, Status>) -> anyhow::Result<T> {
        called.map(Response::into_inner).map_err(|status| self.explain(status))
    }

    /// Explains a failed call, and says what to do about it.
    pub(crate) fn explain(&self, status: Status) -> anyhow::Error {
        let Some(reason) = ErrorReason::of(&status) else {
            return self.disconnected(&status, CHECK_OUTCOME);
        };
        let message = status.message();
        let advice = match reason {
            ErrorReason::KeyInvalid if !self.bearer.has_key() => {
                return anyhow!(
                    "control at {} wants a key: set ARIZUKO_KEY, or name its file with --key-file",
                    self.addresses.join(" or "),
                );
            }
            ErrorReason::KeyInvalid => {
                return anyhow!(
                    "the key is unknown or revoked: set another as ARIZUKO_KEY, or with --key-file"
                );
            }
            ErrorReason::NotAllowed => "use another key, for example an operator's",
            ErrorReason::JidTaken => "choose another --suffix",
            ErrorReason::Unavailable => "nothing was done; try again in a moment",
            ErrorReason::OutcomeUnknown => "check whether it was done before you try again",
            ErrorReason::Internal => "see control's log",
            _ => return anyhow!("{message}"),
        };
        anyhow!("{message}: {advice}")
    }

    /// Explains a status that comes from the connection and not from control, with this advice
    /// unless the cause has its own.
    fn disconnected(&self, status: &Status, advice: &str) -> anyhow::Error {
        let address = self.addresses.join(" or ");
        let cause = status.source().and_then(|source| Chain::new(source).last());
        let cause = cause.map_or_else(|| status.message().to_owned(), ToString::to_string);
        match status.code() {
            Code::Unimplemented => anyhow!(
                "the server at {address} is not a control of this version: check the address"
            ),
            Code::Cancelled | Code::DeadlineExceeded if status.source().is_none() => {
                anyhow!("control at {address} did not answer in time: {advice}")
            }
            _ => {
                let advice = tls::advice(&address, &cause).unwrap_or(advice);
                anyhow!("lost control at {address} ({cause}): {advice}")
            }
        }
    }

    fn unreachable(&self, error: &transport::Error) -> anyhow::Error {
        let address = self.addresses.join(" or ");
        let is_refused = |cause: &&(dyn Error + 'static)| {
            cause.downcast_ref().map(io::Error::kind) == Some(io::ErrorKind::ConnectionRefused)
        };
        // "Connection refused" would only repeat that there is no control.
        let cause = Chain::new(error).last().filter(|cause| !is_refused(cause));
        let cause = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
        let advice = tls::advice(&address, &cause).unwrap_or("is `arizuko up` running?");
        anyhow!("no control at {address}{cause}: {advice}")
    }
}
