//! ConversationService.

use super::{Service, access, wire};
use crate::{
    audit::Change,
    jid::{self, FolderName},
    key::Caller,
    ledger::Error,
    refusal::Refusal,
    token::Token,
    transaction::{Record as _, Tx},
    turn::{Turn, input::Input, replay},
};
use arizuko_proto::{
    public_id,
    telemetry::traces,
    v1::{self, ConversationStatus},
};
use list::Wanted;
use place::Place;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::Span;

mod delete;
mod export;
mod find;
mod list;
mod place;
mod search;
pub(super) mod seen;
mod turn;

const DEFAULT_PAGE_SIZE: u32 = 50;
const MAX_PAGE_SIZE: u32 = 200;
/// How many bytes of a message ShowConversation returns, at most.
const CUT_IN_PAGE: usize = 64 << 10;
/// How many bytes of a message ShowTurn returns, at most.
const CUT_IN_TURN: usize = 1 << 20;

#[tonic::async_trait]
impl v1::conversation_service_server::ConversationService for Service {
    type ExportConversationsStream =
        ReceiverStream<Result<v1::ExportConversationsResponse, Status>>;

    async fn list_conversations(
        &self,
        request: Request<v1::ListConversationsRequest>,
    ) -> Result<Response<v1::ListConversationsResponse>, Status> {
        let (caller, request) = self.authenticate_reader(request)?;
        let wanted = Wanted {
            since: wire::parse_timestamp(request.active_since)?,
            status: ConversationStatus::try_from(request.status)
                .map_err(|_| Refusal::invalid("there is no such status of conversations"))?,
            kind: wire::parse_kind(request.kind)?,
            words: search::words(&request.search)?,
            ..self.selected(&caller, &request.folder, request.jid)?
        };
        let after = Place::read(&request.page_token)?;
        if after.is_none() {
            self.note(&wanted, "conversation.list").await?;
        }
        let page = list::page(&self.control, &wanted, after, page_size(request.page_size)).await?;
        Ok(Response::new(v1::ListConversationsResponse {
            conversations: page.conversations,
            next_page_token: page.next.map(|place| place.to_string()).unwrap_or_default(),
            looked_at: page.looked_at,
            reached: page.reached.map(wire::timestamp),
        }))
    }

    async fn show_conversation(
        &self,
        request: Request<v1::ShowConversationRequest>,
    ) -> Result<Response<v1::ShowConversationResponse>, Status> {
        let (caller, request) = self.authenticate_reader(request)?;
        let (partition, seen) =
            find::conversation(&self.control, &caller, &request.conversation_id).await?;
        let after = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(|_| place::malformed())?,
        };
        if after == 0 {
            let folder = seen.folder();
            let change = Change {
                actor: caller.key_id.as_str(),
                action: "conversation.read",
                folder: folder.as_str(),
                subject: &request.conversation_id,
                detail: "",
            };
            self.note_by_operator(&caller, partition, &change).await?;
        }
        let wanted = turn::Wanted::cut(&caller, CUT_IN_PAGE);
        let size = page_size(request.page_size);
        let id = &seen.conversation.id;
        let (turns, next) = turn::page(&self.control, partition, id, after, size, &wanted).await?;
        Ok(Response::new(v1::ShowConversationResponse {
            conversation: Some(seen.to_wire(&caller, String::new())),
            turns,
            next_page_token: next.map(|seq| seq.to_string()).unwrap_or_default(),
        }))
    }

    async fn show_turn(
        &self,
        request: Request<v1::ShowTurnRequest>,
    ) -> Result<Response<v1::ShowTurnResponse>, Status> {
        let (caller, request) = self.authenticate_reader(request)?;
        let (partition, turn, seen) = find::turn(&self.control, &caller, &request.turn_id).await?;
        let folder = seen.folder();
        let change = Change {
            actor: caller.key_id.as_str(),
            action: "conversation.read",
            folder: folder.as_str(),
            subject: &seen.public_id(),
            detail: &request.turn_id,
        };
        self.note_by_operator(&caller, partition, &change).await?;
        let wanted = turn::Wanted { headers: true, ..turn::Wanted::cut(&caller, CUT_IN_TURN) };
        let turn = turn::details(&self.control, partition, vec![turn], &wanted).await?.pop();
        Ok(Response::new(v1::ShowTurnResponse {
            conversation: Some(seen.to_wire(&caller, String::new())),
            turn,
        }))
    }

    async fn export_conversations(
        &self,
        request: Request<v1::ExportConversationsRequest>,
    ) -> Result<Response<Self::ExportConversationsStream>, Status> {
        let (caller, request) = self.authenticate_reader(request)?;
        let since = wire::parse_timestamp(request.since)?;
        let selected = self.selected(&caller, &request.folder, request.jid)?;
        let wanted = Wanted { since, ..selected };
        self.note(&wanted, "conversation.export").await?;
        Ok(Response::new(export::start(&self.control, &caller, wanted).await?))
    }

    async fn delete_conversations(
        &self,
        request: Request<v1::DeleteConversationsRequest>,
    ) -> Result<Response<v1::DeleteConversationsResponse>, Status> {
        let (caller, request) = self.authenticate_operator(request)?;
        let until = wire::parse_timestamp(request.inactive_since)?;
        if !request.conversation_id.is_empty() {
            let is_selecting = !request.folder.is_empty() || !request.jid.is_empty();
            if is_selecting || until.is_some() || !request.page_token.is_empty() {
                return Err(Refusal::invalid("conversation_id goes with no other field").into());
            }
            let id = &request.conversation_id;
            let (partition, seen) = find::conversation(&self.control, &caller, id).await?;
            let folder = seen.folder();
            let change = Change {
                actor: caller.key_id.as_str(),
                action: "conversation.delete",
                folder: folder.as_str(),
                subject: id,
                detail: "",
            };
            self.note_by_operator(&caller, partition, &change).await?;
            let deleted =
                delete::one(&self.control, partition, &seen.conversation.id, None).await?;
            return Ok(Response::new(deleted));
        }
        let wanted = Wanted { until, ..self.selected(&caller, &request.folder, request.jid)? };
        let after = Place::read(&request.page_token)?;
        if after.is_none() {
            self.note(&wanted, "conversation.delete").await?;
        }
        Ok(Response::new(delete::page(&self.control, &wanted, after).await?))
    }

    async fn replay_delivery(
        &self,
        request: Request<v1::ReplayDeliveryRequest>,
    ) -> Result<Response<v1::ReplayDeliveryResponse>, Status> {
        let (caller, request) = self.authenticate_operator(request)?;
        let (partition, old, _) = find::turn(&self.control, &caller, &request.turn_id).await?;
        let actor = caller.key_id.as_str();
        let trace = traces::traceparent(&Span::current()).unwrap_or_default();
        let expected = [Turn::name(&old.id), Input::name(&old.id), Token::name(&old.origin.token)];
        let _permit = self.control.texts.acquire().await;
        let replaying = |tx: &mut Tx<'_>| replay::replay(tx, actor, &old.id, &trace);
        let new = self.control.ledger.transact(partition, &expected, replaying).await?;
        Ok(Response::new(v1::ReplayDeliveryResponse {
            turn_id: public_id::turn(new.id.as_str()),
            conversation_id: public_id::conversation(new.conversation.as_str()),
        }))
    }
}

impl Service {
    /// Notes in the audit log what an operator or a viewer does with a folder's conversations.
    async fn note(&self, wanted: &Wanted, action: &str) -> Result<(), Error> {
        let (folder, detail) = (wanted.folder.as_str(), wanted.describe());
        let actor = wanted.caller.key_id.as_str();
        let change = Change { actor, action, folder, subject: folder, detail: &detail };
        self.note_by_operator(&wanted.caller, wanted.partition, &change).await
    }

    /// Selects the conversations of the folder that a request names; only those of a JID, if the
    /// request names one, too. Without a folder, an agent's request means its key's folder, and an
    /// operator's or a viewer's request means the tenant of the JID.
    fn selected(&self, caller: &Caller, folder: &str, jid: String) -> Result<Wanted, Refusal> {
        let jid = (!jid.is_empty()).then_some(jid);
        let root = jid.as_deref().map(jid::root).transpose()?;
        let folder = match (access::view(caller, folder)?, root) {
            (Some(folder), _) => folder,
            (None, Some(root)) => FolderName::parse(root)?,
            (None, None) => return Err(Refusal::invalid("name a folder or a JID")),
        };
        if root.is_some_and(|root| root != folder.root()) {
            return Err(Refusal::invalid("the JID does not belong to that folder's tenant"));
        }
        let partition = self.control.partition(&folder);
        Ok(Wanted { jid, ..Wanted::all_of(partition, caller, folder) })
    }
}

fn page_size(asked: u32) -> usize {
    match asked {
        0 => DEFAULT_PAGE_SIZE as usize,
        size => size.min(MAX_PAGE_SIZE) as usize,
    }
}
