//! TokenService.

use super::{Service, status, wire};
use crate::{
    credential::{Credential, partition_of_id},
    due,
    jid::{self, Folder},
    key::{Caller, Role},
    ledger::{Error, random},
    token::{self, Kind, Options, Order, Token},
    transaction::Refusal,
};
use arizuko_proto::v1::{self, revoke_token_request::Target};
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::token_service_server::TokenService for Service {
    async fn issue_chat_link(
        &self,
        request: Request<v1::IssueChatLinkRequest>,
    ) -> Result<Response<v1::IssueChatLinkResponse>, Status> {
        let caller = self.caller(&request).await?;
        let v1::IssueChatLinkRequest { folder, jid_suffix, options } = request.into_inner();
        let (token, secret, agent_attached) = self
            .issue(&caller, Kind::Chat, (&folder, String::new(), jid_suffix), options)
            .await
            .map_err(status::from)?;
        let url = format!("{}/chat/{secret}/", self.public_url(&token.folder));
        let (jid, token_id) = (token.jid, token.id);
        Ok(Response::new(v1::IssueChatLinkResponse {
            token: secret,
            url,
            jid,
            token_id,
            agent_attached,
        }))
    }

    async fn issue_webhook(
        &self,
        request: Request<v1::IssueWebhookRequest>,
    ) -> Result<Response<v1::IssueWebhookResponse>, Status> {
        let caller = self.caller(&request).await?;
        let v1::IssueWebhookRequest { folder, source, jid_suffix, options } = request.into_inner();
        let (token, secret, agent_attached) = self
            .issue(&caller, Kind::Hook, (&folder, source, jid_suffix), options)
            .await
            .map_err(status::from)?;
        let url = format!("{}/hook/{secret}", self.public_url(&token.folder));
        let (jid, token_id) = (token.jid, token.id);
        Ok(Response::new(v1::IssueWebhookResponse {
            token: secret,
            url,
            jid,
            token_id,
            agent_attached,
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let caller = self.caller(&request).await?;
        let tokens =
            self.live_tokens(&caller, &request.into_inner().folder).await.map_err(status::from)?;
        let tokens = tokens.into_iter().map(wire::token).collect();
        Ok(Response::new(v1::ListTokensResponse { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let caller = self.caller(&request).await?;
        let revoked =
            self.revoke(&caller, request.into_inner().target).await.map_err(status::from)?;
        let revoked = revoked.into_iter().map(wire::token).collect();
        Ok(Response::new(v1::RevokeTokenResponse { revoked }))
    }
}

impl Service {
    async fn issue(
        &self,
        caller: &Caller,
        kind: Kind,
        (folder, source, suffix): (&str, String, String),
        options: Option<v1::LinkOptions>,
    ) -> Result<(Token, String, bool), Error> {
        let folder = caller.folder(folder)?;
        let partition = self.0.partition(&folder);
        let options = options.unwrap_or_default();
        let order = Order {
            kind,
            folder,
            source: (!source.is_empty()).then_some(source),
            suffix: (!suffix.is_empty()).then_some(suffix),
            lifetime: options.lifetime.as_ref().map(wire::millis).transpose()?,
            options: Options {
                name: options.name,
                greeting: options.greeting,
                context: options.context,
                allowed_origins: options.allowed_origins,
            },
        };
        let credential = Credential::mint("", partition, random()?);
        let token = self
            .0
            .ledger
            .transact(partition, &[], |tx| token::issue(tx, caller, &order, &credential))
            .await?;
        let attended = self.0.seems_answered(&token, None).await;
        Ok((token, credential.secret().to_owned(), attended))
    }

    fn public_url(&self, folder: &Folder) -> String {
        self.0.public_url.replace("{root}", folder.root())
    }

    async fn live_tokens(&self, caller: &Caller, folder: &str) -> Result<Vec<Token>, Error> {
        let view = match (folder, &caller.role) {
            ("", Role::Operator) => None,
            _ => Some(caller.folder(folder)?),
        };
        let listed = self.0.listed(token::TOKENS, view.as_ref()).await?;
        let mut tokens = Vec::new();
        for (partition, ids) in listed {
            let records = ids.iter().map(|id| token::record(id));
            tokens.extend(
                self.0.ledger.records::<Token>(partition, records).await?.into_iter().flatten(),
            );
        }
        let now = self.0.ledger.now();
        tokens.retain(|token| token.is_live(now) && caller.must_reach(&token.owner).is_ok());
        tokens.sort_by_key(|token| token.created_at);
        Ok(tokens)
    }

    async fn revoke(&self, caller: &Caller, target: Option<Target>) -> Result<Vec<Token>, Error> {
        let ledger = &self.0.ledger;
        let (partition, revoked) = match target {
            Some(Target::Jid(jid)) => {
                let partition = jid::partition_of(jid::root(&jid)?, self.0.partitions);
                let revoked =
                    ledger.transact(partition, &[], |tx| token::revoke_jid(tx, caller, &jid));
                (partition, revoked.await?)
            }
            Some(Target::TokenId(id)) => {
                let partition = partition_of_id(token::ID, &id, self.0.partitions)
                    .ok_or_else(|| Refusal::invalid("a token's id is like tok_…"))?;
                let revoked = ledger.transact(partition, &[], |tx| token::revoke(tx, caller, &id));
                (partition, revoked.await?.into_iter().collect())
            }
            None => return Err(Refusal::invalid("say which: a JID or a token's id").into()),
        };
        for token in &revoked {
            // The revocation holds already. If this fails, the due item does it within a second.
            if let Err(error) = due::end_token(&self.0, partition, &token.id).await {
                tracing::warn!(token = token.id, %error, "its turns are cancelled a little later");
            }
        }
        Ok(revoked)
    }
}
