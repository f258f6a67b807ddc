//! GatewayService.

use super::{Service, status, watch, wire};
use crate::{
    conversation,
    credential::{Credential, is_random_id},
    frame::{self, Frame},
    ledger::Error,
    server::Control,
    store::Partition,
    token::{self, Kind, Token},
    transaction::Refusal,
    turn::{self, Post},
};
use arizuko_proto::{
    telemetry::traces,
    v1::{self, TokenKind},
};
use tonic::{Request, Response, Status, Streaming};
use tracing::Span;

mod history;

#[tonic::async_trait]
impl v1::gateway_service_server::GatewayService for Service {
    type WatchStream = watch::Events;

    async fn resolve_token(
        &self,
        request: Request<v1::ResolveTokenRequest>,
    ) -> Result<Response<v1::ResolveTokenResponse>, Status> {
        self.gateway(&request).await?;
        let resolved = self.resolve(request.into_inner().access).await;
        resolved.map(Response::new).map_err(status::from)
    }

    async fn post_message(
        &self,
        request: Request<v1::PostMessageRequest>,
    ) -> Result<Response<v1::PostMessageResponse>, Status> {
        self.gateway(&request).await?;
        let posted = self.post(request.into_inner()).await;
        posted.map(Response::new).map_err(status::from)
    }

    async fn get_turn(
        &self,
        request: Request<v1::GetTurnRequest>,
    ) -> Result<Response<v1::GetTurnResponse>, Status> {
        self.gateway(&request).await?;
        let turn = self.turn(request.into_inner()).await;
        turn.map(Response::new).map_err(status::from)
    }

    async fn get_conversation(
        &self,
        request: Request<v1::GetConversationRequest>,
    ) -> Result<Response<v1::GetConversationResponse>, Status> {
        self.gateway(&request).await?;
        let page = self.page(request.into_inner()).await;
        page.map(Response::new).map_err(status::from)
    }

    async fn cancel_turn(
        &self,
        request: Request<v1::CancelTurnRequest>,
    ) -> Result<Response<v1::CancelTurnResponse>, Status> {
        self.gateway(&request).await?;
        let status = self.cancel(request.into_inner()).await.map_err(status::from)?;
        Ok(Response::new(v1::CancelTurnResponse { status: wire::status(status).into() }))
    }

    async fn delete_conversation(
        &self,
        request: Request<v1::DeleteConversationRequest>,
    ) -> Result<Response<v1::DeleteConversationResponse>, Status> {
        self.gateway(&request).await?;
        self.delete(request.into_inner()).await.map_err(status::from)?;
        Ok(Response::new(v1::DeleteConversationResponse {}))
    }

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = self.gateway(&request).await?;
        let events = watch::serve(self.0.clone(), &caller, request.into_inner()).await;
        events.map(Response::new).map_err(status::from)
    }
}

/// A visitor's credential, read but not yet checked.
pub(super) struct Access {
    pub(super) credential: Credential,
    pub(super) kind: Kind,
}

impl Access {
    pub(super) fn read(access: Option<v1::Access>, partitions: Partition) -> Result<Self, Refusal> {
        let access = access.unwrap_or_default();
        let kind = match access.kind() {
            TokenKind::Chat => Kind::Chat,
            TokenKind::Hook => Kind::Hook,
            TokenKind::Unspecified => return Err(Refusal::invalid("say which surface")),
        };
        let credential = Credential::parse("", &access.token, partitions);
        Ok(Self { credential: credential.ok_or(Refusal::TokenInvalid)?, kind })
    }

    /// Checks it at the store.
    pub(super) async fn admit(&self, control: &Control) -> Result<Token, Error> {
        control.admit(&self.credential, self.kind).await
    }

    pub(super) fn token_id(&self) -> String {
        self.credential.id(token::ID)
    }

    pub(super) fn partition(&self) -> Partition {
        self.credential.partition
    }
}

impl Service {
    fn access(&self, access: Option<v1::Access>) -> Result<Access, Refusal> {
        let access = Access::read(access, self.0.partitions)?;
        Span::current().record("token", access.token_id());
        Ok(access)
    }

    async fn resolve(&self, access: Option<v1::Access>) -> Result<v1::ResolveTokenResponse, Error> {
        let token = self.access(access)?.admit(&self.0).await?;
        let agent_attached = self.0.seems_answered(&token, None).await;
        let name = match token.options.name.as_str() {
            "" => token.folder.name(),
            name => name,
        };
        let limits = &self.0.limits;
        let bytes = if token.kind == Kind::Chat { limits.chat_bytes } else { limits.hook_bytes };
        Ok(v1::ResolveTokenResponse {
            name: name.to_owned(),
            token_id: token.id,
            jid: token.jid,
            folder: token.folder.into(),
            greeting: token.options.greeting,
            allowed_origins: token.options.allowed_origins,
            agent_attached,
            max_content_bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        })
    }

    async fn post(
        &self,
        request: v1::PostMessageRequest,
    ) -> Result<v1::PostMessageResponse, Error> {
        let access = self.access(request.access)?;
        let headers =
            request.headers.into_iter().map(|header| (header.name, header.value.to_vec()));
        let post = Post {
            conversation: request.conversation,
            content: request.content.to_vec(),
            headers: headers.collect(),
            idempotency_key: request.idempotency_key,
            client_address: request.client_address,
            // The turn is a part of this call, if that is a part of a trace.
            traceparent: traces::traceparent(&Span::current()).unwrap_or(request.traceparent),
        };
        let is_new = post.conversation.is_empty();
        if !is_new {
            Span::current().record("conversation", &post.conversation);
        }
        let record = token::record(&access.token_id());
        let mut expected = vec![record.clone()];
        if !post.conversation.is_empty() {
            expected.push(conversation::record(&post.conversation));
        }
        // Asked while the message is taken, for the folder that most likely answers.
        let likely = self.0.ledger.hint::<Token>(access.partition(), &record);
        let likely = likely.map(|token| self.0.likely_target(access.partition(), &token));
        let taking = self.0.ledger.transact(access.partition(), &expected, |tx| {
            let token = tx.get::<Token>(&record)?;
            let token = token::admit(token, &access.credential, access.kind, tx.now)?;
            turn::post(tx, &self.0.limits, &token, &post)
        });
        let asking = async {
            match &likely {
                Some(folder) => Some(self.0.seems_attended(folder).await),
                None => None,
            }
        };
        let (posted, attended) = tokio::join!(taking, asking);
        let posted = posted?;
        Span::current().record("turn", &posted.turn.id);
        if is_new {
            Span::current().record("conversation", &posted.turn.conversation);
        }
        let agent_attached = match (attended, likely) {
            (Some(attended), Some(folder)) if folder == posted.turn.folder => attended,
            _ => self.0.seems_attended(&posted.turn.folder).await,
        };
        Ok(v1::PostMessageResponse {
            turn_id: posted.turn.id.clone(),
            conversation: posted.turn.conversation.clone(),
            status: wire::status(posted.turn.status).into(),
            user: Some(wire::user_message(&posted.turn, posted.content)),
            agent_attached,
        })
    }

    async fn cancel(&self, request: v1::CancelTurnRequest) -> Result<frame::Status, Error> {
        let access = self.access(request.access)?;
        Span::current().record("turn", &request.turn_id);
        let turn = self.owned_turn(&access, &request.turn_id).await?;
        let expected = [turn::record(&turn.id), conversation::record(&turn.conversation)];
        let cancelled = self.0.ledger.transact(access.partition(), &expected, |tx| {
            turn::cancel(tx, &self.0.limits, &turn.id, "the visitor stopped it")
        });
        Ok(cancelled.await?.ok_or(Refusal::NotFound("turn"))?.status)
    }

    async fn delete(&self, request: v1::DeleteConversationRequest) -> Result<(), Error> {
        let access = self.access(request.access)?;
        if !is_random_id(&request.conversation) {
            return Err(Refusal::invalid("that is not a conversation's id").into());
        }
        Span::current().record("conversation", &request.conversation);
        let record = token::record(&access.token_id());
        let deleted =
            self.0.ledger.transact(access.partition(), std::slice::from_ref(&record), |tx| {
                let token = tx.get::<Token>(&record)?;
                let token = token::admit(token, &access.credential, access.kind, tx.now)?;
                conversation::delete(tx, &self.0.limits, &token, &request.conversation)
            });
        deleted.await
    }
}

pub(super) fn parse(entry: &[u8]) -> Result<Frame, Error> {
    serde_json::from_slice(entry).map_err(|error| Error::Internal(format!("a frame: {error}")))
}
