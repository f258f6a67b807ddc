//! A turn that an agent holds, for the checks that need one.

use super::{operator::issue, world::Clients};
use arizuko_proto::v1::{
    Accept, Access, AttachRequest, AttachResponse, Hello, PostMessageRequest, TokenKind, Turn,
    attach_request::Message as Said, attach_response::Message as Heard,
};
use fastrand::Rng;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

pub(super) struct Held {
    pub(super) access: Access,
    pub(super) conversation: String,
    pub(super) turn: String,
    pub(super) requests: mpsc::Sender<AttachRequest>,
    pub(super) responses: Streaming<AttachResponse>,
}

/// Sends a message to a new link of a tenant, and lets a new agent accept its turn.
pub(super) async fn hold(
    clients: &Clients,
    gateway: &Clients,
    rng: &mut Rng,
    tenant: &str,
) -> Held {
    let link = issue(clients, rng, tenant, 0).await;
    let (requests, sent) = mpsc::channel(64);
    let (folder, name) = (tenant.to_owned(), "holder".to_owned());
    let hello = Said::Hello(Hello { folder, name, credit: 1, ..Hello::default() });
    let _ = requests.send(AttachRequest { message: Some(hello) }).await;
    let attached = clients.agent(rng).attach(ReceiverStream::new(sent)).await;
    let mut responses = attached.expect("control takes agents").into_inner();
    let access = Access { token: link.token, kind: TokenKind::Chat.into() };
    let message = PostMessageRequest {
        access: Some(access.clone()),
        content: "hello".into(),
        ..PostMessageRequest::default()
    };
    let posted = gateway.gateway(rng).post_message(message).await;
    let posted = posted.expect("control takes messages").into_inner();
    let (conversation, turn) = (posted.conversation, posted.turn_id);
    loop {
        let next = responses.message().await.expect("the stream goes on");
        match next.and_then(|next| next.message) {
            Some(Heard::Turn(Turn { turn_id, attempt, .. })) => {
                let accept = Said::Accept(Accept { turn_id, attempt });
                let _ = requests.send(AttachRequest { message: Some(accept) }).await;
            }
            // Control has acknowledged the Accept.
            Some(Heard::Appended(_)) => {
                return Held { access, conversation, turn, requests, responses };
            }
            _ => {}
        }
    }
}
