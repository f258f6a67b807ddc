//! TokenService.

use super::{Service, access, wire};
use crate::{
    due,
    ids::TokenId,
    jid::FolderName,
    key::Caller,
    ledger::{Error, random},
    names,
    refusal::Refusal,
    secret::Secret,
    token::{self, Kind, Options, Order, Token},
    transaction::Tx,
};
use arizuko_proto::v1::{self, revoke_token_request::Target};
use std::time::Duration;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::token_service_server::TokenService for Service {
    async fn issue_chat_link(
        &self,
        request: Request<v1::IssueChatLinkRequest>,
    ) -> Result<Response<v1::IssueChatLinkResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let (options, lifetime) = options(request.options)?;
        let order = Order {
            kind: Kind::Chat,
            folder: caller.folder(&request.folder)?,
            source: None,
            suffix: unless_empty(request.jid_suffix),
            options,
            lifetime,
        };
        let (token, secret) = self.issue(&caller, &order).await?;
        Ok(Response::new(v1::IssueChatLinkResponse {
            agent_attached: self.control.would_answer(&token, None).await,
            url: format!("{}/chat/{secret}/", self.public_url(&token.folder)),
            token: secret,
            jid: token.jid,
            token_id: token.id.to_string(),
        }))
    }

    async fn issue_webhook(
        &self,
        request: Request<v1::IssueWebhookRequest>,
    ) -> Result<Response<v1::IssueWebhookResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let (options, lifetime) = options(request.options)?;
        let order = Order {
            kind: Kind::Hook,
            folder: caller.folder(&request.folder)?,
            source: unless_empty(request.source),
            suffix: unless_empty(request.jid_suffix),
            options,
            lifetime,
        };
        let (token, secret) = self.issue(&caller, &order).await?;
        Ok(Response::new(v1::IssueWebhookResponse {
            agent_attached: self.control.would_answer(&token, None).await,
            url: format!("{}/hook/{secret}", self.public_url(&token.folder)),
            token: secret,
            jid: token.jid,
            token_id: token.id.to_string(),
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let view = access::view(&caller, &request.folder)?;
        let mut tokens: Vec<Token> = self.control.listed(&names::tokens(), view.as_ref()).await?;
        let now = self.control.ledger.now();
        tokens.retain(|token| token.is_live(now) && caller.must_reach(&token.owner).is_ok());
        tokens.sort_by_key(|token| token.created_at);
        let tokens = tokens.into_iter().map(wire::token).collect();
        Ok(Response::new(v1::ListTokensResponse { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let ledger = &self.control.ledger;
        let (partition, revoked) = match request.target {
            Some(Target::Jid(jid)) => {
                let partition = self.partition_of_jid(&jid)?;
                let revoking = |tx: &mut Tx<'_>| token::revoke_jid(tx, &caller, &jid);
                (partition, ledger.transact(partition, &[], revoking).await?)
            }
            Some(Target::TokenId(id)) => {
                let (id, partition) = TokenId::parse(&id, self.control.partitions)?;
                let revoking = |tx: &mut Tx<'_>| token::revoke(tx, &caller, &id);
                let revoked = ledger.transact(partition, &[], revoking).await?;
                (partition, revoked.into_iter().collect())
            }
            None => return Err(Refusal::invalid("name a JID or a token's id").into()),
        };
        for token in &revoked {
            // The revocation holds already. If this fails, the due item does it within a second.
            if let Err(error) = due::end_token(&self.control, partition, &token.id).await {
                tracing::warn!(token = token.id.as_str(), %error, "cannot cancel the token's turns yet");
            }
        }
        let revoked = revoked.into_iter().map(wire::token).collect();
        Ok(Response::new(v1::RevokeTokenResponse { revoked }))
    }
}

impl Service {
    /// Issues a token; returns its secret as well.
    async fn issue(&self, caller: &Caller, order: &Order) -> Result<(Token, String), Error> {
        let partition = self.control.partition(&order.folder);
        let secret = Secret::mint(token::PREFIX, partition, random()?);
        let issuing = |tx: &mut Tx<'_>| token::issue(tx, caller, order, &secret);
        let token = self.control.ledger.transact(partition, &[], issuing).await?;
        Ok((token, secret.as_str().to_owned()))
    }

    fn public_url(&self, folder: &FolderName) -> String {
        self.control.public_url.replace("{root}", folder.root())
    }
}

fn unless_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Reads a link's options and its lifetime.
fn options(options: Option<v1::LinkOptions>) -> Result<(Options, Option<Duration>), Refusal> {
    let v1::LinkOptions { name, greeting, context, allowed_origins, lifetime, limits } =
        options.unwrap_or_default();
    let lifetime = wire::parse_duration(lifetime)?;
    let limits = wire::parse_limits(limits.unwrap_or_default())?;
    Ok((Options { name, greeting, context, allowed_origins, limits }, lifetime))
}
