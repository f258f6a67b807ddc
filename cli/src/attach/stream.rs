//! One stream of a session: says what the ledger has to say, and tells it what control answers.
//! Both directions run by themselves, so that neither can block the other: control's messages are
//! always read, and a request is made only when there is room to send it.

use super::{
    Session,
    held::{Ending, Hold, Work},
    ledger::{Ledger, Next},
    person::Told,
};
use crate::control::{self, Authorized, Control};
use arizuko_proto::v1::{
    AttachRequest, AttachResponse, Cancel, Hello, Lost, Turn, Welcome,
    agent_service_client::AgentServiceClient, attach_request::Message as Request,
    attach_response::Message as Response,
};
use futures_util::{Stream, future::OptionFuture, stream};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{Code, Status, Streaming};

const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(5);
/// How long control may take to answer Hello.
const GREETING: Duration = Duration::from_secs(15);
/// How long control may take to answer what was said at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// How a stream ended.
pub(super) enum Ended {
    /// As it was told to.
    Stopped,
    /// Control asked us to go on over another connection, which is open.
    Moved(Authorized),
    /// Control refuses us, and would do so again.
    Refused(Status),
    /// It broke: another stream goes on.
    Broken(Status),
}

/// Carries the session over `channel` until the stream ends. `on_welcome` is called once control
/// has taken us, `begin` for each new turn.
pub(super) async fn carry(
    session: &Arc<Session>,
    control: &Control,
    channel: Authorized,
    stop: &CancellationToken,
    on_welcome: impl FnOnce(),
    begin: &impl Fn(Turn, Work),
) -> Ended {
    let opened = tokio::select! {
        opened = timeout(GREETING, open(session, channel)) => opened,
        () = stop.cancelled() => return Ended::Stopped,
    };
    let late = |_| Err(Status::deadline_exceeded("control does not answer Hello"));
    let ended = match opened.unwrap_or_else(late) {
        Ok((responses, heartbeat)) => {
            on_welcome();
            let _beats = AbortOnDropHandle::new(tokio::spawn(beat(Arc::clone(session), heartbeat)));
            listen(session, control, responses, stop, begin).await
        }
        Err(status) => Err(status),
    };
    ended.unwrap_or_else(|status| {
        let for_good = match control::reason(&status).as_deref() {
            Some(reason) => matches!(reason, "KEY_INVALID" | "NOT_ALLOWED" | "INVALID"),
            None => status.code() == Code::Unimplemented,
        };
        if for_good { Ended::Refused(status) } else { Ended::Broken(status) }
    })
}

/// Says Hello and hears Welcome. Gives the stream, and how often it wants a heartbeat.
async fn open(
    session: &Arc<Session>,
    channel: Authorized,
) -> Result<(Streaming<AttachResponse>, Duration), Status> {
    let (number, hello) = session.update(Ledger::hello);
    let said = requests(Arc::clone(session), number, hello.clone());
    let mut agent =
        AgentServiceClient::new(channel).max_decoding_message_size(control::MAX_RESPONSE);
    let mut responses = agent.attach(said).await?.into_inner();
    let Some(Response::Welcome(welcome)) = next(&mut responses).await? else {
        return Err(Status::unavailable("control did not answer Hello with Welcome"));
    };
    let heartbeat = heartbeat(&welcome);
    session.update(|ledger| ledger.welcome(&hello, welcome));
    Ok((responses, heartbeat))
}

/// What the session has to say, made when there is room to send it.
fn requests(
    session: Arc<Session>,
    number: u64,
    hello: Hello,
) -> impl Stream<Item = AttachRequest> + Send + 'static {
    let changed = session.changed.subscribe();
    let begin = (session, changed, Some(Request::Hello(hello)));
    stream::unfold(begin, move |(session, mut changed, first)| async move {
        let mut said = first;
        while said.is_none() {
            let next = session.ledger().next(number);
            match next {
                Next::Say(request) => said = Some(request),
                Next::Wait => changed.changed().await.ok()?,
                Next::Close => return None,
            }
        }
        Some((AttachRequest { message: said }, (session, changed, None)))
    })
}

/// Heartbeats have their own task, so that nothing else can hold them up.
async fn beat(session: Arc<Session>, every: Duration) {
    let mut interval = interval_at(Instant::now() + every, every);
    loop {
        interval.tick().await;
        session.update(Ledger::beat);
    }
}

fn heartbeat(welcome: &Welcome) -> Duration {
    let told = welcome.heartbeat_interval.and_then(|told| told.try_into().ok());
    told.filter(|told: &Duration| !told.is_zero()).unwrap_or(DEFAULT_HEARTBEAT)
}

/// Tells the ledger what control says.
async fn listen(
    session: &Session,
    control: &Control,
    mut responses: Streaming<AttachResponse>,
    stop: &CancellationToken,
    begin: &impl Fn(Turn, Work),
) -> Result<Ended, Status> {
    let mut moving = OptionFuture::default();
    loop {
        let response = tokio::select! {
            response = next(&mut responses) => response?,
            Some(channel) = &mut moving => return Ok(Ended::Moved(channel)),
            () = stop.cancelled() => {
                session.update(Ledger::stop);
                // What control has not heard by then it learns from the end of the lease.
                let _ = timeout(FAREWELL, hear_out(session, responses)).await;
                return Ok(Ended::Stopped);
            }
        };
        match response {
            Some(Response::Turn(turn)) => {
                if let Some(work) = session.update(|ledger| ledger.turn(&turn)) {
                    begin(turn, work);
                }
            }
            Some(Response::Drain(_)) => moving = Some(Box::pin(elsewhere(control))).into(),
            Some(response) => note(session, response),
            None => return Err(Status::unavailable("control has ended the stream")),
        }
    }
}

/// Another connection, for as long as it takes: until then turns go on over this one.
async fn elsewhere(control: &Control) -> Authorized {
    loop {
        match control.connect().await {
            Ok(channel) => return channel,
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Listens on after the last request, so that what it asks for is known to have arrived.
async fn hear_out(session: &Session, mut responses: Streaming<AttachResponse>) {
    while let Ok(Some(response)) = next(&mut responses).await {
        match response {
            // The ledger hands it back.
            Response::Turn(turn) => drop(session.update(|ledger| ledger.turn(&turn))),
            response => note(session, response),
        }
    }
}

/// What needs no more than a note in the ledger.
fn note(session: &Session, response: Response) {
    match response {
        Response::Appended(appended) => session.update(|ledger| ledger.appended(appended)),
        Response::Cancel(Cancel { turn_id, attempt }) => {
            let hold = Hold { turn_id, attempt };
            session.update(|ledger| ledger.end(&hold, Ending::Cancelled));
        }
        // No attempt has this number: it answers a claim.
        Response::Lost(Lost { turn_id, attempt: 0, .. }) => {
            if session.update(|ledger| ledger.refuse(&turn_id)) {
                session.tell(Told::TooLate(turn_id));
            }
        }
        Response::Lost(Lost { turn_id, attempt, detail }) => {
            let hold = Hold { turn_id, attempt };
            let ending = Ending::Lost(detail.clone());
            if session.update(|ledger| ledger.end(&hold, ending)) {
                let Hold { turn_id, attempt } = &hold;
                tracing::warn!(turn = turn_id, attempt, "the turn is no longer ours: {detail}");
            }
        }
        Response::Inbox(inbox) => session.tell(Told::Inbox(inbox)),
        Response::Turn(_) | Response::Drain(_) | Response::Welcome(_) => {}
    }
}

/// The next message; `None` at the end of the stream.
async fn next(responses: &mut Streaming<AttachResponse>) -> Result<Option<Response>, Status> {
    while let Some(response) = responses.message().await? {
        // One that is empty to us comes from a newer control.
        if response.message.is_some() {
            return Ok(response.message);
        }
    }
    Ok(None)
}
