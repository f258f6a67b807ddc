//! ConversationService.

use super::{Service, access, wire};
use crate::{
    audit::Change,
    jid::{self, FolderName},
    key::Caller,
    refusal::Refusal,
};
use arizuko_proto::v1::{self, ConversationStatus};
use list::Wanted;
use tonic::{Request, Response, Status};

mod find;
mod list;
mod place;
mod search;
mod seen;
mod turn;

const DEFAULT_PAGE_SIZE: u32 = 50;
const MAX_PAGE_SIZE: u32 = 200;
/// The most bytes of a message that ShowConversation returns.
const CUT_IN_PAGE: usize = 64 << 10;
/// The most bytes of a message that ShowTurn returns.
const CUT_IN_TURN: usize = 1 << 20;

#[tonic::async_trait]
impl v1::conversation_service_server::ConversationService for Service {
    async fn list_conversations(
        &self,
        request: Request<v1::ListConversationsRequest>,
    ) -> Result<Response<v1::ListConversationsResponse>, Status> {
        let (caller, request) = self.authenticate_reader(request)?;
        let wanted = self.wanted(&caller, &request)?;
        let before = match request.page_token.as_str() {
            "" => None,
            token => Some(token.parse()?),
        };
        if before.is_none() {
            let (folder, detail) = (wanted.folder.as_str(), wanted.describe());
            let change = Change {
                actor: caller.key_id.as_str(),
                action: "conversation.list",
                folder,
                subject: folder,
                detail: &detail,
            };
            self.note_read(&caller, wanted.partition, &change).await?;
        }
        let page = list::page(&self.control, &wanted, before, page_size(request.page_size)).await?;
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
            self.note_read(&caller, partition, &change).await?;
        }
        let wanted = turn::Wanted { caller: &caller, cut: CUT_IN_PAGE, headers: false };
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
        self.note_read(&caller, partition, &change).await?;
        let wanted = turn::Wanted { caller: &caller, cut: CUT_IN_TURN, headers: true };
        let turn = turn::details(&self.control, partition, vec![turn], &wanted).await?.pop();
        Ok(Response::new(v1::ShowTurnResponse {
            conversation: Some(seen.to_wire(&caller, String::new())),
            turn,
        }))
    }
}

impl Service {
    /// Reads which conversations a list is about.
    fn wanted<'a>(
        &self,
        caller: &'a Caller,
        request: &v1::ListConversationsRequest,
    ) -> Result<Wanted<'a>, Refusal> {
        let jid = (!request.jid.is_empty()).then(|| request.jid.clone());
        let folder = self.folder_or_tenant(caller, &request.folder, jid.as_deref())?;
        Ok(Wanted {
            partition: self.control.partition(&folder),
            caller,
            folder,
            jid,
            since: wire::parse_timestamp(request.active_since)?,
            status: ConversationStatus::try_from(request.status)
                .map_err(|_| Refusal::invalid("there is no such status of conversations"))?,
            words: search::words(&request.search)?,
        })
    }

    /// The folder that a request names. An operator can name a JID alone, which stands for its
    /// tenant.
    fn folder_or_tenant(
        &self,
        caller: &Caller,
        folder: &str,
        jid: Option<&str>,
    ) -> Result<FolderName, Refusal> {
        let root = jid.map(jid::root).transpose()?;
        let folder = match (access::view(caller, folder)?, root) {
            (Some(folder), _) => folder,
            (None, Some(root)) => FolderName::parse(root)?,
            (None, None) => return Err(Refusal::invalid("name a folder or a JID")),
        };
        match root.filter(|root| *root != folder.root()) {
            Some(_) => Err(Refusal::invalid("the JID is not of that folder's tenant")),
            None => Ok(folder),
        }
    }
}

fn page_size(asked: u32) -> usize {
    match asked {
        0 => DEFAULT_PAGE_SIZE as usize,
        size => size.min(MAX_PAGE_SIZE) as usize,
    }
}
