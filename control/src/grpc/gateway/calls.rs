//! Serves Call: many calls over one stream. Each is answered as a unary call is, but costs far
//! less: it has no head, and calls and answers that come together share a message.

use super::super::{Service, observe, status};
use crate::key::Caller;
use arizuko_proto::v1::{
    self, GatewayAnswer, GatewayCall,
    gateway_answer::{Answer, Failed},
    gateway_call::Request as Asked,
    gateway_service_server::GatewayService,
};
use futures_util::{
    StreamExt as _,
    stream::{Map, ReadyChunks},
};
use std::sync::Arc;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};
use tracing::Instrument as _;

/// How many answers one message has, at most.
const BATCH: usize = 64;

pub(in crate::grpc) type Responses =
    Map<ReadyChunks<ReceiverStream<GatewayAnswer>>, fn(Vec<GatewayAnswer>) -> Batch>;
type Batch = Result<v1::CallResponse, Status>;

/// Serves one gateway's stream until either side ends it.
pub(super) fn serve(
    service: Service,
    caller: Caller,
    requests: Streaming<v1::CallRequest>,
) -> Responses {
    let (answers, pending) = mpsc::channel(BATCH);
    tokio::spawn(read_calls(service, caller, requests, answers));
    ReceiverStream::new(pending).ready_chunks(BATCH).map(|answers| Ok(v1::CallResponse { answers }))
}

/// Starts each call in a task of its own. The stream ends with the last answer.
async fn read_calls(
    service: Service,
    caller: Caller,
    mut requests: Streaming<v1::CallRequest>,
    answers: mpsc::Sender<GatewayAnswer>,
) {
    let control = &service.control;
    let most = control.limits.connections.connection_calls;
    let room = Arc::new(Semaphore::new(most as usize));
    let caller = Arc::new(caller);
    loop {
        let request = tokio::select! {
            request = requests.message() => request,
            () = control.draining.cancelled() => return,
        };
        let Ok(Some(v1::CallRequest { calls })) = request else { return };
        for call in calls {
            let Ok(open) = room.clone().acquire_owned().await else { return };
            let (service, caller, answers) = (service.clone(), caller.clone(), answers.clone());
            tokio::spawn(async move {
                let _open = open;
                tokio::select! {
                    answer = answer(&service, &caller, call) => drop(answers.send(answer).await),
                    // The stream has ended, so nobody waits for the answer.
                    () = answers.closed() => {}
                }
            });
        }
    }
}

async fn answer(service: &Service, caller: &Caller, call: GatewayCall) -> GatewayAnswer {
    let GatewayCall { number, traceparent, request } = call;
    let begun = Instant::now();
    let path = match request {
        Some(Asked::ResolveToken(_)) => "arizuko.v1.GatewayService/ResolveToken",
        Some(Asked::PostMessage(_)) => "arizuko.v1.GatewayService/PostMessage",
        None => "arizuko.v1.GatewayService/Call",
    };
    let deadline = service.control.limits.connections.call_deadline;
    let answering = timeout(deadline, answered(service, caller, request));
    let answer = answering.instrument(observe::span(path, &traceparent)).await;
    let answer = answer.unwrap_or_else(|_| Err(status::overdue(deadline)));
    let method = path.trim_start_matches("arizuko.v1.").to_owned();
    observe::record(&service.control.metrics, method, answer.as_ref().err(), begun);
    let answer = answer.unwrap_or_else(|status| {
        let (code, message) = (status.code().into(), status.message().to_owned());
        Answer::Failed(Failed { code, message, details: status.details().to_vec().into() })
    });
    GatewayAnswer { number, answer: Some(answer) }
}

/// Checks the caller's key afresh, and makes the call.
async fn answered(
    service: &Service,
    caller: &Caller,
    request: Option<Asked>,
) -> Result<Answer, Status> {
    let caller = service.control.holder(caller.key_id.clone(), caller.hash.clone()).await?;
    match request {
        Some(Asked::ResolveToken(request)) => {
            let resolved = service.resolve_token(from(caller, request)).await?;
            Ok(Answer::ResolveToken(resolved.into_inner()))
        }
        Some(Asked::PostMessage(request)) => {
            let posted = service.post_message(from(caller, request)).await?;
            Ok(Answer::PostMessage(posted.into_inner()))
        }
        None => Err(Status::unimplemented("this control doesn't know the call")),
    }
}

/// Returns a request as the gate passes it on.
fn from<T>(caller: Caller, request: T) -> Request<T> {
    let mut request = Request::new(request);
    request.extensions_mut().insert(caller);
    request
}
