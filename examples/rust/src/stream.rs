//! Carries a session over one gRPC stream: sends what the ledger has to say, and reports what
//! control answers. Sending and receiving are independent, so that neither can block the other:
//! control's messages are always read, and a request is made only when there is room to send it.

use super::{
    active_turn::{Hold, Work},
    control::Control,
    ledger::{Ledger, Step},
    outcome::Ending,
    session::{PersonEvent, Session},
};
use arizuko_proto::{
    client::{Backoff, Channel, MAX_RESPONSE_BYTES},
    public_id,
    v1::{
        AttachRequest, AttachResponse, Cancel, ErrorReason, Hello, Lost, Turn, Welcome,
        agent_service_client::AgentServiceClient, attach_request::Message as Request,
        attach_response::Message as Response,
    },
};
use futures_util::{Stream, future::OptionFuture, stream};
use std::{ops::Range, sync::Arc, time::Duration};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status, Streaming};

/// How long to wait between heartbeats if Welcome doesn't say.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(5);
/// How long control may take to answer Hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);
/// How long control may take to answer the last requests.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait before the next try to move to another control: at first, and at most.
const MOVE: Range<Duration> = Duration::from_millis(200)..Duration::from_secs(1);

/// How a stream ended.
pub(super) enum StreamEnd {
    /// The session was told to stop.
    Stopped,
    /// Control drains: the session moves to this connection.
    Moved(Channel),
    /// Control refuses the session, and would do so again.
    Refused(Status),
    /// The stream broke. The session can continue over another one.
    Broken(Status),
}

/// Carries the session over `channel` until the stream ends. Calls `on_welcome` once control has
/// welcomed the session, and `begin` for each new turn.
pub(super) async fn carry(
    session: &Arc<Session>,
    control: &Control,
    channel: Channel,
    on_welcome: impl FnOnce(),
    begin: &impl Fn(Turn, Work),
) -> StreamEnd {
    let opened = tokio::select! {
        opened = timeout(WELCOME_TIMEOUT, open(session, channel)) => opened,
        () = session.settings.stop.cancelled() => return StreamEnd::Stopped,
    };
    let late = |_| Err(Status::deadline_exceeded("control does not answer Hello"));
    let ended = match opened.unwrap_or_else(late) {
        Ok((responses, heartbeat)) => {
            on_welcome();
            let _beats = AbortOnDropHandle::new(tokio::spawn(beat(Arc::clone(session), heartbeat)));
            listen(session, control, responses, begin).await
        }
        Err(status) => Err(status),
    };
    ended.unwrap_or_else(|status| match ErrorReason::of(&status) {
        Some(ErrorReason::KeyInvalid | ErrorReason::NotAllowed | ErrorReason::Invalid) => {
            StreamEnd::Refused(status)
        }
        None if status.code() == Code::Unimplemented => StreamEnd::Refused(status),
        _ => StreamEnd::Broken(status),
    })
}

/// Sends Hello and waits for Welcome. Returns the stream, and the time between heartbeats that
/// control wants.
async fn open(
    session: &Arc<Session>,
    channel: Channel,
) -> Result<(Streaming<AttachResponse>, Duration), Status> {
    let (stream, hello) = session.update(Ledger::hello);
    let requests = requests(Arc::clone(session), stream, hello.clone());
    let mut agents = AgentServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
    let mut responses = agents.attach(requests).await?.into_inner();
    let Some(Response::Welcome(welcome)) = next(&mut responses).await? else {
        return Err(Status::unavailable("control did not answer Hello with Welcome"));
    };
    let heartbeat = heartbeat(&welcome);
    session.update(|ledger| ledger.welcome(&hello, welcome));
    Ok((responses, heartbeat))
}

/// Makes each request of the stream when there is room to send it.
fn requests(
    session: Arc<Session>,
    stream: u64,
    hello: Hello,
) -> impl Stream<Item = AttachRequest> + Send + 'static {
    let changed = session.changed.subscribe();
    let begin = (session, changed, Some(Request::Hello(hello)));
    stream::unfold(begin, move |(session, mut changed, first)| async move {
        let mut request = first;
        while request.is_none() {
            let step = session.ledger().next(stream);
            match step {
                Step::Send(next) => request = Some(next),
                Step::Wait => changed.changed().await.ok()?,
                Step::Close => return None,
            }
        }
        Some((AttachRequest { message: request }, (session, changed, None)))
    })
}

/// Makes heartbeats due. This is a task of its own, so that nothing can delay them.
async fn beat(session: Arc<Session>, every: Duration) {
    let mut interval = interval_at(Instant::now() + every, every);
    loop {
        interval.tick().await;
        session.update(Ledger::beat);
    }
}

fn heartbeat(welcome: &Welcome) -> Duration {
    let interval = welcome.heartbeat_interval.and_then(|interval| interval.try_into().ok());
    interval.filter(|interval: &Duration| !interval.is_zero()).unwrap_or(DEFAULT_HEARTBEAT)
}

/// Reports control's messages to the session until the stream ends, the session moves to another
/// stream, or it is told to stop.
async fn listen(
    session: &Session,
    control: &Control,
    mut responses: Streaming<AttachResponse>,
    begin: &impl Fn(Turn, Work),
) -> Result<StreamEnd, Status> {
    let mut moving = OptionFuture::default();
    loop {
        let response = tokio::select! {
            response = next(&mut responses) => response?,
            Some(channel) = &mut moving => return Ok(StreamEnd::Moved(channel)),
            () = session.settings.stop.cancelled() => {
                session.update(Ledger::stop);
                // If this takes too long, control requeues the turns when the lease ends.
                let _ = timeout(FAREWELL_TIMEOUT, hear_out(session, responses)).await;
                return Ok(StreamEnd::Stopped);
            }
        };
        match response {
            Some(Response::Turn(turn)) => {
                if let Some(work) = session.update(|ledger| ledger.turn(&turn)) {
                    begin(turn, work);
                }
            }
            Some(Response::Drain(_)) => moving = Some(Box::pin(connect_elsewhere(control))).into(),
            Some(response) => report(session, response),
            None => return Err(Status::unavailable("control has ended the stream")),
        }
    }
}

/// Connects to another control, however long it takes. Meanwhile turns continue on the old stream.
async fn connect_elsewhere(control: &Control) -> Channel {
    let mut backoff = Backoff::new(MOVE);
    loop {
        match control.connect().await {
            Ok(channel) => return channel,
            Err(_) => sleep(backoff.wait()).await,
        }
    }
}

/// Keeps reading after the last request until control ends the stream, which shows that the request
/// has arrived.
async fn hear_out(session: &Session, mut responses: Streaming<AttachResponse>) {
    while let Ok(Some(response)) = next(&mut responses).await {
        match response {
            // The ledger rejects the turn.
            Response::Turn(turn) => drop(session.update(|ledger| ledger.turn(&turn))),
            response => report(session, response),
        }
    }
}

/// Reports a message that begins no turn.
fn report(session: &Session, response: Response) {
    match response {
        Response::Appended(appended) => session.update(|ledger| ledger.appended(appended)),
        Response::Cancel(Cancel { turn_id, attempt }) => {
            let hold = Hold { turn_id, attempt };
            session.update(|ledger| ledger.end(&hold, Ending::Cancelled));
        }
        // With attempt 0, Lost refuses a claim.
        Response::Lost(Lost { turn_id, attempt: 0, .. }) => {
            if session.update(|ledger| ledger.refuse(&turn_id)) {
                session.tell(PersonEvent::TooLate(turn_id));
            }
        }
        Response::Lost(Lost { turn_id, attempt, detail, unattended }) => {
            let hold = Hold { turn_id, attempt };
            let ending = match unattended.is_empty() {
                true => Ending::Lost(detail.clone()),
                false => Ending::Unattended(unattended),
            };
            if session.update(|ledger| ledger.end(&hold, ending)) {
                let Hold { turn_id, attempt } = &hold;
                let turn = public_id::turn(turn_id);
                tracing::warn!(turn, attempt, "lost the turn: {detail}");
            }
        }
        Response::Inbox(inbox) => session.tell(PersonEvent::Inbox(inbox)),
        Response::Turn(_) | Response::Drain(_) | Response::Welcome(_) => {}
    }
}

/// Reads the next message; `None` at the end of the stream.
async fn next(responses: &mut Streaming<AttachResponse>) -> Result<Option<Response>, Status> {
    while let Some(response) = responses.message().await? {
        // A kind of message that only a newer control knows is read as empty.
        if response.message.is_some() {
            return Ok(response.message);
        }
    }
    Ok(None)
}
