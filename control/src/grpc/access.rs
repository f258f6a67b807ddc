//! Reads what every call carries: its caller's key, a visitor's credential, ids, a folder to view.

use super::Service;
use crate::{
    control::Control,
    conversation::{self, Conversation},
    credential::{Credential, is_random_id},
    jid::{self, Folder},
    key::{Caller, Role},
    ledger::Error,
    store::Partition,
    token::{self, Kind, Token},
    transaction::Refusal,
    turn::{self, Turn},
};
use arizuko_proto::v1::{self, TokenKind};
use tonic::{Request, Status};
use tracing::Span;

impl Service {
    /// Returns who is calling, by the `authorization` header, and what they ask.
    pub(super) async fn authenticate<T>(&self, request: Request<T>) -> Result<(Caller, T), Status> {
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let secret = header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default();
        Ok((self.control.caller(secret).await?, request.into_inner()))
    }

    /// Does the same for a call that only operators make.
    pub(super) async fn authenticate_operator<T>(
        &self,
        request: Request<T>,
    ) -> Result<(Caller, T), Status> {
        let (caller, request) = self.authenticate(request).await?;
        caller.must_be_operator()?;
        Ok((caller, request))
    }

    /// Does the same for a call that only gateways make.
    pub(super) async fn authenticate_gateway<T>(
        &self,
        request: Request<T>,
    ) -> Result<(Caller, T), Status> {
        let (caller, request) = self.authenticate(request).await?;
        caller.must_be_gateway()?;
        Ok((caller, request))
    }

    /// Returns the partition of the tenant that a JID, or the prefix of one, names.
    pub(super) fn partition_of_jid(&self, jid: &str) -> Result<Partition, Refusal> {
        Ok(jid::partition_of(jid::root(jid)?, self.control.partitions))
    }
}

/// A visitor's credential and the surface that they show it at, not yet checked.
pub(super) struct Access {
    pub(super) credential: Credential,
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
        let credential = Credential::parse("", &access.token, partitions);
        let access = Self { credential: credential.ok_or(Refusal::TokenInvalid)?, kind };
        Span::current().record("token", access.token_id());
        Ok(access)
    }

    pub(super) fn token_id(&self) -> String {
        self.credential.id(token::ID)
    }

    pub(super) fn partition(&self) -> Partition {
        self.credential.partition
    }

    /// Checks the credential at the store.
    pub(super) async fn admit(&self, control: &Control) -> Result<Token, Error> {
        control.admit(&self.credential, self.kind).await
    }

    /// Reads a turn, if it is the token's.
    pub(super) async fn turn(
        &self,
        control: &Control,
        token: &Token,
        id: &str,
    ) -> Result<Turn, Error> {
        let turn: Option<Turn> = control.ledger.record(self.partition(), turn::record(id)).await?;
        let own = turn.filter(|turn| turn.token == token.id);
        own.ok_or(Refusal::NotFound("turn").into())
    }

    /// Reads a conversation, if it is the token's.
    pub(super) async fn conversation(
        &self,
        control: &Control,
        token: &Token,
        id: &str,
    ) -> Result<Conversation, Error> {
        let record = control.ledger.record(self.partition(), conversation::record(id)).await?;
        Ok(conversation::of_token(record, token)?)
    }
}

pub(super) fn turn_id(id: String) -> Result<String, Refusal> {
    if !is_random_id(&id) {
        return Err(Refusal::invalid("that is not a turn's id"));
    }
    Span::current().record("turn", &id);
    Ok(id)
}

pub(super) fn conversation_id(id: String) -> Result<String, Refusal> {
    if !is_random_id(&id) {
        return Err(Refusal::invalid("that is not a conversation's id"));
    }
    Span::current().record("conversation", &id);
    Ok(id)
}

/// Returns the folder whose part of a list the caller wants; `None` for an operator who wants all.
pub(super) fn view(caller: &Caller, folder: &str) -> Result<Option<Folder>, Refusal> {
    match (folder, &caller.role) {
        ("", Role::Operator) => Ok(None),
        _ => caller.folder(folder).map(Some),
    }
}
