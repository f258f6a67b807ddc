//! AgentService.

use super::{Service, access::conversation_id, gate::note_refusal, wire};
use crate::{
    audit::Change,
    ids::ConversationId,
    jid::FolderName,
    key::Caller,
    ledger::Error,
    transaction::Tx,
    turn::{
        note,
        reassign::{self, Assignment},
        speak::{self, Speech},
    },
};
use arizuko_proto::{
    public_id,
    v1::{self, AttachRequest, AttachResponse, ErrorReason},
};
pub(super) use desk::Desks;
use follow::Follower;
use futures_util::stream::{BoxStream, StreamExt as _};
use history::{MAX_MESSAGES, Wanted};
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::{Instrument as _, field::Empty};

mod credit;
mod delivery;
mod desk;
mod follow;
mod history;
mod inbox;
mod lease;
mod milestone;
mod responses;
mod said;
mod stream;
pub(super) mod worker;
mod workers;

/// How many messages ReadConversation returns, and FollowConversation begins with, by default.
const DEFAULT_MESSAGES: u32 = 50;

#[tonic::async_trait]
impl v1::agent_service_server::AgentService for Service {
    type AttachStream = BoxStream<'static, Result<AttachResponse, Status>>;
    type FollowConversationStream = follow::Responses;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (caller, requests) = self.authenticate(request)?;
        let (control, desks) = (self.control.clone(), self.desks.clone());
        let (responses, stream) = responses::channel(control.limits.lease);
        let span = tracing::error_span!(
            "attach",
            key = caller.key_id.as_str(),
            folder = Empty,
            session = Empty
        );
        let serving = async move {
            let serving = stream::serve(&control, &desks, &caller, requests, &responses);
            if let Err(error) = serving.await {
                let status = Status::from(error);
                if status.code() == Code::InvalidArgument
                    && let Some(left_out) = control.broken.sample()
                {
                    tracing::warn!(left_out, "an agent broke the contract: {}", status.message());
                }
                control.metrics.refused(ErrorReason::of(&status).unwrap_or_default());
                note_refusal(&control, &caller, "AgentService/Attach", &status).await;
                responses.fail(status).await;
            }
        };
        tokio::spawn(serving.instrument(span));
        Ok(Response::new(stream.boxed()))
    }

    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        if !request.name.is_empty() {
            caller.must_speak_as_person()?;
        }
        let speech = Speech {
            conversation: conversation_id(&request.conversation)?,
            content: request.content,
            name: request.name,
            idempotency_key: request.idempotency_key,
            unless_held: request.unless_held,
        };
        let folder = caller.folder(&request.folder)?;
        let partition = self.control.partition(&folder);
        let speaking = |tx: &mut Tx<'_>| speak::speak(tx, &folder, &speech);
        let turn = self.control.ledger.transact(partition, &[], speaking).await?;
        Ok(Response::new(v1::SendMessageResponse { turn_id: turn.id.to_string() }))
    }

    async fn assign_conversation(
        &self,
        request: Request<v1::AssignConversationRequest>,
    ) -> Result<Response<v1::AssignConversationResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let id = conversation_id(&request.conversation)?;
        let folder = caller.folder(&request.folder)?;
        let to = match request.to.as_str() {
            "" => None,
            to => Some(FolderName::parse(to)?),
        };
        if !request.name.is_empty() {
            caller.must_speak_as_person()?;
        }
        let partition = self.control.partition(&folder);
        let wanted = Assignment { to: to.as_ref(), note: &request.note, holder: &request.name };
        let assigning = |tx: &mut Tx<'_>| reassign::reassign(tx, &folder, &id, &wanted);
        let unattended = self.control.ledger.transact(partition, &[], assigning).await?;
        let unattended = unattended.map(String::from).unwrap_or_default();
        Ok(Response::new(v1::AssignConversationResponse { unattended }))
    }

    async fn read_conversation(
        &self,
        request: Request<v1::ReadConversationRequest>,
    ) -> Result<Response<v1::ReadConversationResponse>, Status> {
        let (caller, request) = self.authenticate_reader(request)?;
        let id = conversation_id(&request.conversation)?;
        let folder = caller.folder(&request.folder)?;
        let partition = self.control.partition(&folder);
        let reading = |tx: &mut Tx<'_>| {
            let (conversation, _) = reassign::of_folder(tx, &folder, &id)?;
            Ok(conversation.notes.clone())
        };
        let notes = self.control.ledger.view(partition, reading).await?;
        self.note_reading(&caller, &folder, &id).await?;
        let count = count(request.limit);
        let wanted = Wanted { conversation: &id, before: u64::MAX, without: &[], count };
        let messages = history::read(&self.control, partition, &wanted).await?;
        let notes = notes.into_iter().map(wire::note).collect();
        Ok(Response::new(v1::ReadConversationResponse { messages, notes }))
    }

    async fn follow_conversation(
        &self,
        request: Request<v1::FollowConversationRequest>,
    ) -> Result<Response<Self::FollowConversationStream>, Status> {
        let (caller, request) = self.authenticate_reader(request)?;
        let conversation = conversation_id(&request.conversation)?;
        let folder = caller.folder(&request.folder)?;
        let partition = self.control.partition(&folder);
        self.note_reading(&caller, &folder, &conversation).await?;
        let control = self.control.clone();
        let follower = Follower { control, caller, folder, partition, conversation };
        Ok(Response::new(follower.start(count(request.limit)).await?))
    }

    async fn note_conversation(
        &self,
        request: Request<v1::NoteConversationRequest>,
    ) -> Result<Response<v1::NoteConversationResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        caller.must_speak_as_person()?;
        let v1::NoteConversationRequest { folder, conversation, name, text } = request;
        let id = conversation_id(&conversation)?;
        let folder = caller.folder(&folder)?;
        let partition = self.control.partition(&folder);
        let noting = |tx: &mut Tx<'_>| note::add(tx, &folder, &id, &name, &text);
        self.control.ledger.transact(partition, &[], noting).await?;
        Ok(Response::new(v1::NoteConversationResponse {}))
    }
}

impl Service {
    /// Notes in the audit log that an operator or a viewer reads a folder's conversation.
    async fn note_reading(
        &self,
        caller: &Caller,
        folder: &FolderName,
        id: &ConversationId,
    ) -> Result<(), Error> {
        let change = Change {
            actor: caller.key_id.as_str(),
            action: "conversation.read",
            folder: folder.as_str(),
            subject: &public_id::conversation(id.as_str()),
            detail: "",
        };
        self.note_by_operator(caller, self.control.partition(folder), &change).await
    }
}

/// Returns how many messages a caller asks for.
fn count(limit: u32) -> usize {
    match limit {
        0 => DEFAULT_MESSAGES as usize,
        limit => limit.min(MAX_MESSAGES) as usize,
    }
}
