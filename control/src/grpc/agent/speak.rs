//! What an agent does to a conversation without a turn of it.

use super::{MAX_HISTORY, handout};
use crate::{
    conversation,
    credential::is_random_id,
    grpc::Service,
    jid::Folder,
    key::Caller,
    ledger::Error,
    transaction::{Refusal, Tx},
    turn::{self, Speech},
};
use arizuko_proto::v1;

const DEFAULT_MESSAGES: u32 = 50;

impl Service {
    pub(super) async fn send(
        &self,
        caller: &Caller,
        request: v1::SendMessageRequest,
    ) -> Result<v1::SendMessageResponse, Error> {
        let folder = asked(caller, &request.folder, &request.conversation)?;
        let speech = Speech {
            conversation: request.conversation,
            content: request.content,
            name: request.name,
            idempotency_key: request.idempotency_key,
        };
        let (ledger, limits) = (&self.0.ledger, &self.0.limits);
        let speaking = |tx: &mut Tx<'_>| turn::speak(tx, limits, &folder, &speech);
        let turn = ledger.transact(self.0.partition(&folder), &[], speaking);
        Ok(v1::SendMessageResponse { turn_id: turn.await?.id })
    }

    pub(super) async fn assign(
        &self,
        caller: &Caller,
        request: v1::AssignConversationRequest,
    ) -> Result<(), Error> {
        let v1::AssignConversationRequest { folder, conversation, to, note } = request;
        let folder = asked(caller, &folder, &conversation)?;
        let to = (!to.is_empty()).then(|| Folder::parse(&to)).transpose()?;
        let (ledger, limits) = (&self.0.ledger, &self.0.limits);
        let assigning = |tx: &mut Tx<'_>| {
            let which = (&folder, conversation.as_str());
            conversation::hand_over(tx, limits, which, to.as_ref(), &note)
        };
        ledger.transact(self.0.partition(&folder), &[], assigning).await
    }

    pub(super) async fn read(
        &self,
        caller: &Caller,
        request: v1::ReadConversationRequest,
    ) -> Result<v1::ReadConversationResponse, Error> {
        let id = &request.conversation;
        let folder = asked(caller, &request.folder, id)?;
        let partition = self.0.partition(&folder);
        let checking = |tx: &mut Tx<'_>| conversation::of_folder(tx, &folder, id);
        self.0.ledger.transact(partition, &[], checking).await?;
        let limit = match request.limit {
            0 => DEFAULT_MESSAGES,
            limit => limit.min(MAX_HISTORY),
        };
        let all = (id.as_str(), &[][..]);
        let messages = handout::newest(&self.0, partition, all, u64::MAX, limit as usize);
        Ok(v1::ReadConversationResponse { messages: messages.await? })
    }
}

/// The folder that asks, if the conversation's id is one.
fn asked(caller: &Caller, folder: &str, conversation: &str) -> Result<Folder, Refusal> {
    if !is_random_id(conversation) {
        return Err(Refusal::invalid("that is not a conversation's id"));
    }
    caller.folder(folder)
}
