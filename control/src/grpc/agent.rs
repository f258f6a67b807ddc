//! AgentService: an agent's stream, and the session that it speaks for.

use super::{Service, status};
use crate::{
    key::Caller,
    ledger::Error,
    server::{Control, KeyWatch},
    transaction::Refusal,
};
use arizuko_proto::v1::{self, AttachRequest, AttachResponse, attach_request::Message};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument as _, field::Empty};

mod attached;
mod credit;
mod handout;
mod inbox;
mod milestone;
mod speak;
mod workers;

use attached::Attached;

/// How many answers wait for one agent.
const BACKLOG: usize = 64;
/// How often a queue is looked at when no wake-up comes.
const PATROL: Duration = Duration::from_secs(1);
/// How long an agent may take to say Hello.
const GREETING: Duration = Duration::from_secs(10);
const MAX_HISTORY: u32 = 200;

type Answers = mpsc::Sender<Result<AttachResponse, Status>>;

#[tonic::async_trait]
impl v1::agent_service_server::AgentService for Service {
    type AttachStream = ReceiverStream<Result<AttachResponse, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let caller = self.caller(&request).await?;
        let (answers, stream) = mpsc::channel(BACKLOG);
        let control = self.0.clone();
        let requests = request.into_inner();
        let span =
            tracing::error_span!("attach", key = caller.key_id, folder = Empty, session = Empty);
        let serving = async move {
            if let Err(error) = serve(&control, &caller, requests, &answers).await {
                control.metrics.refused(status::classify(&error).1);
                // An agent that is gone needs no farewell.
                let _ = answers.send(Err(status::from(error))).await;
            }
        };
        tokio::spawn(serving.instrument(span));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        let caller = self.caller(&request).await?;
        let sent = self.send(&caller, request.into_inner()).await;
        sent.map(Response::new).map_err(status::from)
    }

    async fn assign_conversation(
        &self,
        request: Request<v1::AssignConversationRequest>,
    ) -> Result<Response<v1::AssignConversationResponse>, Status> {
        let caller = self.caller(&request).await?;
        let assigned = self.assign(&caller, request.into_inner()).await;
        assigned.map_err(status::from)?;
        Ok(Response::new(v1::AssignConversationResponse {}))
    }

    async fn read_conversation(
        &self,
        request: Request<v1::ReadConversationRequest>,
    ) -> Result<Response<v1::ReadConversationResponse>, Status> {
        let caller = self.caller(&request).await?;
        let read = self.read(&caller, request.into_inner()).await;
        read.map(Response::new).map_err(status::from)
    }
}

/// Serves one stream until either side ends it.
async fn serve(
    control: &Arc<Control>,
    caller: &Caller,
    mut requests: Streaming<AttachRequest>,
    answers: &Answers,
) -> Result<(), Error> {
    let Ok(Some(AttachRequest { message: Some(Message::Hello(hello)) })) =
        timeout(GREETING, requests.message()).await.unwrap_or(Ok(None))
    else {
        return Err(Refusal::invalid("the first message is Hello").into());
    };
    let key = KeyWatch::start(control, caller).await?;
    let mut attached = Attached::open(control, caller, hello, answers.clone()).await?;
    let mut patrol = interval(PATROL);
    let mut look = true;
    loop {
        // One turn at a time: what the agent says is heard in between.
        if look {
            attached.show_inbox().await?;
            look = attached.take_turn().await?;
        }
        tokio::select! {
            // There may be another turn: wait for nothing.
            () = std::future::ready(()), if look => {}
            request = requests.message() => match request {
                Ok(Some(AttachRequest { message: Some(message) })) => {
                    look |= matches!(message, Message::Credit(_));
                    attached.hear(message).await?;
                }
                Ok(Some(_)) => return Err(Refusal::invalid("an empty message").into()),
                Ok(None) => return attached.leave().await,
                // The link broke. The lease decides whether the agent comes back in time.
                Err(_) => return Ok(()),
            },
            wake = attached.notices.next() => {
                if !attached.notice(wake).await? {
                    return Err(Refusal::SessionOver.into());
                }
            }
            _ = attached.ready.next() => look = true,
            _ = patrol.tick() => look = true,
            error = attached.workers.failed() => return Err(error),
            () = key.ended() => {
                attached.leave().await?;
                return Err(Refusal::KeyInvalid.into());
            }
            () = control.draining.cancelled() => return attached.drain(&mut requests).await,
        }
    }
}
