//! Reads what a call carries: its caller, the secret in a URL, ids, and the folder to view.

use super::Service;
use crate::{
    audit::{self, Change},
    control::Control,
    conversation::{self, Conversation, Head},
    ids::{ConversationId, TokenId, TurnId},
    jid::{self, FolderName},
    key::{Caller, Role},
    ledger::Error,
    refusal::Refusal,
    secret::Secret,
    store::Partition,
    token::{self, Kind, Token},
    transaction::{Record as _, Tx},
    turn::Turn,
};
use arizuko_proto::{
    public_id,
    v1::{self, TokenKind},
};
use tonic::{Request, Status};
use tracing::Span;

impl Service {
    /// Returns the caller that the gate has found, and the request, for a call that changes
    /// something. Refuses viewers.
    pub(super) fn authenticate<T>(&self, request: Request<T>) -> Result<(Caller, T), Status> {
        let (caller, request) = caller(request)?;
        caller.must_act()?;
        Ok((caller, request))
    }

    /// Returns the caller and the request, for a call that only operators may make.
    pub(super) fn authenticate_operator<T>(
        &self,
        request: Request<T>,
    ) -> Result<(Caller, T), Status> {
        let (caller, request) = self.authenticate(request)?;
        caller.must_be_operator()?;
        Ok((caller, request))
    }

    /// Returns the caller and the request, for a call that reads tokens, routes or conversations.
    pub(super) fn authenticate_reader<T>(
        &self,
        request: Request<T>,
    ) -> Result<(Caller, T), Status> {
        let (caller, request) = caller(request)?;
        caller.must_read()?;
        Ok((caller, request))
    }

    /// Returns the caller and the request, for a call that only operators and viewers may make.
    pub(super) fn authenticate_overseer<T>(
        &self,
        request: Request<T>,
    ) -> Result<(Caller, T), Status> {
        let (caller, request) = caller(request)?;
        caller.must_oversee()?;
        Ok((caller, request))
    }

    /// Returns the caller and the request, for a call that only gateways may make.
    pub(super) fn authenticate_gateway<T>(
        &self,
        request: Request<T>,
    ) -> Result<(Caller, T), Status> {
        let (caller, request) = self.authenticate(request)?;
        caller.must_be_gateway()?;
        Ok((caller, request))
    }

    /// Notes in the audit log what an operator or a viewer reads or deletes. Notes nothing for an
    /// agent.
    pub(super) async fn note_by_operator(
        &self,
        caller: &Caller,
        partition: Partition,
        change: &Change<'_>,
    ) -> Result<(), Error> {
        if matches!(caller.role, Role::Agent { .. }) {
            return Ok(());
        }
        let noting = |tx: &mut Tx<'_>| audit::note(tx, change);
        self.control.ledger.transact(partition, &[], noting).await
    }

    /// Returns the partition of the tenant that a JID, or the prefix of one, names.
    pub(super) fn partition_of_jid(&self, jid: &str) -> Result<Partition, Refusal> {
        Ok(jid::partition_of(jid::root(jid)?, self.control.partitions))
    }
}

fn caller<T>(request: Request<T>) -> Result<(Caller, T), Status> {
    let caller = request.extensions().get().cloned();
    Ok((caller.ok_or(Refusal::KeyInvalid)?, request.into_inner()))
}

/// The secret in a URL, not yet checked, and the URL's kind.
pub(super) struct Access {
    pub(super) secret: Secret,
    pub(super) kind: Kind,
}

impl Access {
    pub(super) fn parse(
        access: Option<v1::Access>,
        partitions: Partition,
    ) -> Result<Self, Refusal> {
        let access = access.unwrap_or_default();
        let kind = match access.kind() {
            TokenKind::Chat => Kind::Chat,
            TokenKind::Hook => Kind::Hook,
            TokenKind::Unspecified => return Err(Refusal::invalid("access.kind is missing")),
        };
        let secret = Secret::parse(token::PREFIX, &access.token, partitions);
        let access = Self { secret: secret.ok_or(Refusal::TokenInvalid)?, kind };
        Span::current().record("token", access.token_id().as_str());
        Ok(access)
    }

    pub(super) fn token_id(&self) -> TokenId {
        TokenId::of(&self.secret)
    }

    pub(super) fn partition(&self) -> Partition {
        self.secret.partition
    }

    /// Returns the token that the secret opens. Reads the token afresh.
    pub(super) async fn admit(&self, control: &Control) -> Result<Token, Error> {
        control.admit(&self.secret, self.kind).await
    }

    /// Returns the token that the secret opens, and a turn of it. Reads both afresh.
    pub(super) async fn turn(
        &self,
        control: &Control,
        id: &TurnId,
    ) -> Result<(Token, Turn), Error> {
        let reading = |tx: &mut Tx<'_>| {
            let token = self.token_id();
            tx.expect([Token::name(&token), Turn::name(id)])?;
            let token = token::admit(tx.get(&token)?, &self.secret, self.kind, tx.now)?;
            let turn = tx.get::<Turn>(id)?.filter(|turn| turn.origin.token == token.id);
            Ok((token, turn.ok_or(Refusal::NotFound("turn"))?))
        };
        control.ledger.view(self.partition(), reading).await
    }

    /// Returns the token that the secret opens, a conversation of it, and the end of the
    /// conversation's log. Reads all afresh.
    pub(super) async fn conversation(
        &self,
        control: &Control,
        id: &ConversationId,
    ) -> Result<(Token, Conversation, Head), Error> {
        let reading = |tx: &mut Tx<'_>| {
            let token = self.token_id();
            tx.expect([Token::name(&token), Conversation::name(id), Head::name(id)])?;
            let token = token::admit(tx.get(&token)?, &self.secret, self.kind, tx.now)?;
            let conversation = conversation::of_token(tx.get(id)?, &token)?;
            Ok((token, conversation, tx.get::<Head>(id)?.unwrap_or_default()))
        };
        control.ledger.view(self.partition(), reading).await
    }
}

pub(super) fn turn_id(id: &str) -> Result<TurnId, Refusal> {
    let id = TurnId::parse(id)?;
    Span::current().record("turn", public_id::turn(id.as_str()));
    Ok(id)
}

pub(super) fn conversation_id(id: &str) -> Result<ConversationId, Refusal> {
    let id = ConversationId::parse(id)?;
    Span::current().record("conversation", public_id::conversation(id.as_str()));
    Ok(id)
}

/// Returns the folder that a list is limited to; `None` if an operator or a viewer names no folder,
/// which means all.
pub(super) fn view(caller: &Caller, folder: &str) -> Result<Option<FolderName>, Refusal> {
    match (folder, &caller.role) {
        ("", Role::Operator | Role::Viewer) => Ok(None),
        _ => caller.folder(folder).map(Some),
    }
}
