//! Calls to control: the addresses to try, a client for each service, and what a failed call
//! means.

use anyhow::Chain;
use arizuko_proto::{
    client::{Bearer, Channel, MAX_RESPONSE_BYTES, serves},
    private,
    target::Target,
    tls::{self, ClientFiles},
    v1::{
        ErrorReason, IssueChatLinkRequest, IssueChatLinkResponse, LinkOptions,
        admin_service_client::AdminServiceClient, agent_service_client::AgentServiceClient,
        conversation_service_client::ConversationServiceClient,
        event_service_client::EventServiceClient, folder_service_client::FolderServiceClient,
        key_service_client::KeyServiceClient, route_service_client::RouteServiceClient,
        token_service_client::TokenServiceClient,
    },
};
use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use std::{
    env,
    error::Error,
    fmt, io,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tonic::{
    Code, Response, Status, TimeoutExpired,
    transport::{self, Endpoint},
};
use tonic_types::StatusExt as _;

/// Where control listens by default.
pub const DEFAULT_ADDRESS: &str = "http://127.0.0.1:7070";
/// How long control may take to be reached, to answer a call, or to begin a stream.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a control may take to say whether it can serve. A control waits 2 s for its store
/// before it says no.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a control has to say that it can serve before the next one is asked, too.
const HEAD_START: Duration = Duration::from_millis(250);

/// What to do if control was never reached.
const CHECK_ADDRESS: &str = "check that it runs, and the address, http or https included";
/// What to do if a call was lost that may have reached control.
const CHECK_OUTCOME: &str =
    "if this was to change something, check whether it was done before you try again";

/// The controls to call, and the key for them.
pub struct Control {
    addresses: Vec<String>,
    targets: Vec<Target>,
    bearer: Bearer,
    /// Which control to try first.
    next: AtomicUsize,
    timeout: Duration,
}

impl Control {
    /// Prepares calls; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// An address, the key or a file of `tls` is malformed.
    pub fn new(
        addresses: Vec<String>,
        key: Option<&str>,
        tls: &ClientFiles,
    ) -> Result<Self, ControlError> {
        let targets = addresses.iter().map(|address| Target::new(address, tls));
        let targets = targets.collect::<anyhow::Result<_>>().map_err(unusable)?;
        let bearer = Bearer::new(key).map_err(unusable)?;
        let (next, timeout) = (AtomicUsize::new(0), ANSWER_TIMEOUT);
        Ok(Self { addresses, targets, bearer, next, timeout })
    }

    /// Sets how long control may take to be reached, to answer a call or to begin a stream, instead
    /// of 15 s each.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Prepares calls to the control that the environment names: ARIZUKO_CONTROL holds the
    /// addresses, with commas between them, and ARIZUKO_KEY, or the file that ARIZUKO_KEY_FILE
    /// names, holds the key. For https, ARIZUKO_CA names a file of authorities to trust instead of
    /// the system's; ARIZUKO_CLIENT_CERT and ARIZUKO_CLIENT_KEY name the files with the certificate
    /// to show and its key.
    ///
    /// # Errors
    ///
    /// One of these variables can't be used.
    pub fn from_env() -> Result<Self, ControlError> {
        let variable = |name| env::var(name).ok().filter(|value: &String| !value.is_empty());
        let file = |name| variable(name).map(PathBuf::from);
        let key = match (variable("ARIZUKO_KEY"), file("ARIZUKO_KEY_FILE")) {
            (None, Some(file)) => Some(private::read(&file).map_err(unusable)?),
            (key, _) => key,
        };
        let addresses = variable("ARIZUKO_CONTROL").unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
        let tls = ClientFiles {
            ca: file("ARIZUKO_CA"),
            client_cert: file("ARIZUKO_CLIENT_CERT"),
            client_key: file("ARIZUKO_CLIENT_KEY"),
        };
        Self::new(addresses.split(',').map(str::to_owned).collect(), key.as_deref(), &tls)
    }

    /// Issues a chat link for a folder; empty: the key's folder. The call is not repeated, since
    /// that would issue a second link.
    ///
    /// # Errors
    ///
    /// Control refuses it, or no control answers.
    pub async fn issue_chat_link(
        &self,
        folder: &str,
        suffix: &str,
        options: LinkOptions,
    ) -> Result<IssueChatLinkResponse, ControlError> {
        let (folder, jid_suffix) = (folder.to_owned(), suffix.to_owned());
        let options = Some(options);
        let request = IssueChatLinkRequest { folder, jid_suffix, options };
        let mut tokens = self.tokens().await?;
        self.answer(tokens.issue_chat_link(request).await)
    }

    /// Connects to a control that has just said that it can serve. Where none says so, connects to
    /// one that answers. Each call of this begins with the next control in the list, in which a
    /// name stands for all controls whose addresses it has at that time.
    ///
    /// So no call goes to a control that hangs, unless it began to hang just then, and nothing
    /// needs to be repeated at another one.
    ///
    /// # Errors
    ///
    /// No control answers.
    pub async fn connect(&self) -> Result<Channel, ControlError> {
        let late = |_| Err(self.disconnected(&Status::deadline_exceeded("late"), CHECK_ADDRESS));
        timeout(self.timeout, self.reach()).await.unwrap_or_else(late)
    }

    async fn reach(&self) -> Result<Channel, ControlError> {
        let endpoints = join_all(self.targets.iter().map(Target::endpoints)).await.concat();
        let count = endpoints.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut others = (0..count).map(|step| first.wrapping_add(step) % count);
        let mut probes = FuturesUnordered::new();
        let mut outcome = Err(ControlError::new("no control is named: use --control"));
        loop {
            let next = others.next();
            probes.extend(next.map(|index| self.probe(&endpoints[index])));
            tokio::select! {
                Some(probed) = probes.next() => match probed {
                    Ok((channel, true)) => return Ok(channel),
                    Ok((channel, false)) => outcome = Ok(channel),
                    Err(problem) if outcome.is_err() => outcome = Err(problem),
                    Err(_) => {}
                },
                () = sleep(HEAD_START), if others.len() > 0 => {
                    let control = next.map(|index| endpoints[index].uri().to_string());
                    tracing::warn!(control, "no answer yet: asking the next control, too");
                }
                else => return outcome,
            }
        }
    }

    /// Connects to one control, and asks it whether it can serve.
    async fn probe(&self, endpoint: &Endpoint) -> Result<(Channel, bool), ControlError> {
        let channel = endpoint.clone().timeout(self.timeout).connect().await;
        let channel = channel.map_err(|error| self.unreachable(&error))?;
        // Asks without the key, since control would note a wrong key twice.
        let asked = serves(Channel::new(channel.clone(), Bearer::default()));
        let late = |_| Err(Status::deadline_exceeded("control did not answer in time"));
        let serves = match timeout(PROBE_TIMEOUT, asked).await.unwrap_or_else(late) {
            Ok(serves) => serves,
            Err(status) if status.source().is_some() || status.code() == Code::DeadlineExceeded => {
                return Err(self.disconnected(&status, CHECK_ADDRESS));
            }
            // It answers, and the caller's own call will show why it doesn't serve.
            Err(_) => false,
        };
        Ok((Channel::new(channel, self.bearer.clone()), serves))
    }

    /// Connects to AdminService.
    ///
    /// # Errors
    ///
    /// No control answers.
    pub async fn admin(&self) -> Result<AdminServiceClient<Channel>, ControlError> {
        let channel = self.connect().await?;
        Ok(AdminServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to AgentService.
    ///
    /// # Errors
    ///
    /// No control answers.
    pub async fn agents(&self) -> Result<AgentServiceClient<Channel>, ControlError> {
        let channel = self.connect().await?;
        Ok(AgentServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to ConversationService.
    ///
    /// # Errors
    ///
    /// No control answers.
    pub async fn conversations(&self) -> Result<ConversationServiceClient<Channel>, ControlError> {
        let channel = self.connect().await?;
        Ok(ConversationServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to EventService.
    ///
    /// # Errors
    ///
    /// No control answers.
    pub async fn events(&self) -> Result<EventServiceClient<Channel>, ControlError> {
        let channel = self.connect().await?;
        Ok(EventServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to FolderService.
    ///
    /// # Errors
    ///
    /// No control answers.
    pub async fn folders(&self) -> Result<FolderServiceClient<Channel>, ControlError> {
        let channel = self.connect().await?;
        Ok(FolderServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to KeyService.
    ///
    /// # Errors
    ///
    /// No control answers.
    pub async fn keys(&self) -> Result<KeyServiceClient<Channel>, ControlError> {
        let channel = self.connect().await?;
        Ok(KeyServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to RouteService.
    ///
    /// # Errors
    ///
    /// No control answers.
    pub async fn routes(&self) -> Result<RouteServiceClient<Channel>, ControlError> {
        let channel = self.connect().await?;
        Ok(RouteServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Connects to TokenService.
    ///
    /// # Errors
    ///
    /// No control answers.
    pub async fn tokens(&self) -> Result<TokenServiceClient<Channel>, ControlError> {
        let channel = self.connect().await?;
        Ok(TokenServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES))
    }

    /// Unwraps the response to a call, or explains why there is none.
    ///
    /// # Errors
    ///
    /// The call failed.
    pub fn answer<T>(&self, called: Result<Response<T>, Status>) -> Result<T, ControlError> {
        called.map(Response::into_inner).map_err(|status| self.explain(status))
    }

    /// Explains a failed call, and says what to do about it.
    pub fn explain(&self, status: Status) -> ControlError {
        let Some(reason) = ErrorReason::of(&status) else {
            return self.disconnected(&status, CHECK_OUTCOME);
        };
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let message = self.sentence(reason, status.message());
        ControlError { code: status.code(), reason: Some(reason), retry_after, message }
    }

    /// Says what a refusal means, and what to do about it.
    fn sentence(&self, reason: ErrorReason, message: &str) -> String {
        let advice = match reason {
            ErrorReason::KeyInvalid if !self.bearer.has_key() => {
                return format!(
                    "control at {} wants a key: set ARIZUKO_KEY, or name its file with --key-file",
                    self.addresses.join(" or "),
                );
            }
            ErrorReason::KeyInvalid => {
                return "the key is unknown, expired or revoked: set another as ARIZUKO_KEY, or with --key-file"
                    .to_owned();
            }
            ErrorReason::NotAllowed => "use another key, for example an operator's",
            ErrorReason::JidTaken => "choose another --suffix",
            ErrorReason::Unavailable => "nothing was done; try again in a moment",
            ErrorReason::OutcomeUnknown => "check whether it was done before you try again",
            ErrorReason::Internal => "see control's log",
            _ => return message.to_owned(),
        };
        format!("{message}: {advice}")
    }

    /// Explains a status that comes from the connection and not from control, with this advice
    /// unless the cause has its own.
    fn disconnected(&self, status: &Status, advice: &str) -> ControlError {
        let address = self.addresses.join(" or ");
        // If the status has a source, that must be a timeout of this side.
        let is_late = status
            .source()
            .is_none_or(|source| Chain::new(source).any(|cause| cause.is::<TimeoutExpired>()));
        let cause = status.source().and_then(|source| Chain::new(source).last());
        let cause = cause.map_or_else(|| status.message().to_owned(), ToString::to_string);
        let message = match status.code() {
            Code::Unimplemented => {
                format!(
                    "the server at {address} is not a control of this version: check the address"
                )
            }
            Code::Cancelled | Code::DeadlineExceeded if is_late => {
                format!("control at {address} did not answer in time: {advice}")
            }
            _ => {
                let advice = tls::advice(&address, &cause).unwrap_or(advice);
                format!("lost control at {address} ({cause}): {advice}")
            }
        };
        ControlError { code: status.code(), ..ControlError::new(message) }
    }

    fn unreachable(&self, error: &transport::Error) -> ControlError {
        let address = self.addresses.join(" or ");
        let is_refused = |cause: &&(dyn Error + 'static)| {
            cause.downcast_ref().map(io::Error::kind) == Some(io::ErrorKind::ConnectionRefused)
        };
        // "Connection refused" would only repeat that there is no control.
        let cause = Chain::new(error).last().filter(|cause| !is_refused(cause));
        let cause = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
        ControlError::new(match tls::advice(&address, &cause) {
            Some(advice) => format!("no control at {address}: {advice}"),
            None => format!("no control at {address}{cause}: is `arizuko up` running?"),
        })
    }
}

fn unusable(error: anyhow::Error) -> ControlError {
    ControlError::new(format!("{error:#}"))
}

/// Control refuses something, or no control answers. The error is printed as a sentence that says
/// what to do, even when `main` returns it.
pub struct ControlError {
    /// gRPC's code: `Unavailable` if no control was reached.
    pub code: Code,
    /// Why control refuses the call; `None` if the error is not control's own.
    pub reason: Option<ErrorReason>,
    /// How long to wait before the next attempt; `None` if control doesn't say.
    pub retry_after: Option<Duration>,
    message: String,
}

impl ControlError {
    pub(crate) fn new(message: impl ToString) -> Self {
        let message = message.to_string();
        Self { code: Code::Unavailable, reason: None, retry_after: None, message }
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl fmt::Debug for ControlError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Error for ControlError {}
