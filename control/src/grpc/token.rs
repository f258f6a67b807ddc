//! TokenService.

use super::{Service, wire};
use crate::{
    due,
    identity::KeyText,
    ids::TokenId,
    key::Caller,
    ledger::{Error, random},
    looks::Logo,
    names::InFolder,
    refusal::Refusal,
    secret::Secret,
    store::Partition,
    token::{
        self, Address, Field, Kind, NewSecrets, Options, Order, Token,
        edit::{self, Edit},
        revocation,
    },
    transaction::Tx,
};
use arizuko_proto::v1::{self, revoke_token_request::Target, token_target::Target as Named};
use std::time::Duration;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

mod list;
mod stats;

/// If EditToken edits more tokens than this, it returns their names, but not their other options.
const EDITED_WHOLE: usize = 100;

#[tonic::async_trait]
impl v1::token_service_server::TokenService for Service {
    async fn issue_chat_link(
        &self,
        request: Request<v1::IssueChatLinkRequest>,
    ) -> Result<Response<v1::IssueChatLinkResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let Properties { options, lifetime, logo, secrets, visitor_keys } =
            properties(request.options)?;
        let order = Order {
            kind: Kind::Chat,
            folder: caller.folder(&request.folder)?,
            source: None,
            suffix: unless_empty(request.jid_suffix),
            options,
            lifetime,
            logo,
        };
        let (token, secret) = self.issue(&caller, order, &secrets, visitor_keys).await?;
        Ok(Response::new(v1::IssueChatLinkResponse {
            agent_attached: self.control.would_answer(&token, None).await,
            url: format!("{}/chat/{secret}/", self.control.url_of_tenant(token.folder.root())),
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
        let Properties { options, lifetime, logo, secrets, visitor_keys } =
            properties(request.options)?;
        let order = Order {
            kind: Kind::Hook,
            folder: caller.folder(&request.folder)?,
            source: unless_empty(request.source),
            suffix: unless_empty(request.jid_suffix),
            options,
            lifetime,
            logo,
        };
        let (token, secret) = self.issue(&caller, order, &secrets, visitor_keys).await?;
        Ok(Response::new(v1::IssueWebhookResponse {
            agent_attached: self.control.would_answer(&token, None).await,
            url: format!("{}/hook/{secret}", self.control.url_of_tenant(token.folder.root())),
            token: secret,
            jid: token.jid,
            token_id: token.id.to_string(),
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let (caller, request) = self.authenticate_reader(request)?;
        Ok(Response::new(self.page_of_tokens(&caller, request).await?))
    }

    async fn get_token_stats(
        &self,
        request: Request<v1::GetTokenStatsRequest>,
    ) -> Result<Response<v1::GetTokenStatsResponse>, Status> {
        let (caller, request) = self.authenticate_reader(request)?;
        Ok(Response::new(self.stats(&caller, request).await?))
    }

    async fn edit_token(
        &self,
        request: Request<v1::EditTokenRequest>,
    ) -> Result<Response<v1::EditTokenResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let mask = request.update_mask.unwrap_or_default().paths;
        if mask.is_empty() {
            return Err(Refusal::invalid("name a field to change in update_mask").into());
        }
        let fields = mask.iter().map(|path| Field::parse(path)).collect::<Result<_, _>>()?;
        let Properties { options, lifetime, logo, .. } = properties(request.options)?;
        let edit = Edit { fields, options, lifetime, logo };
        let mut edited = Vec::new();
        for (partition, all) in self.named(request.target).await? {
            for ids in all.chunks(edit::BATCH) {
                let editing = |tx: &mut Tx<'_>| edit::edit(tx, &caller, ids, &edit);
                let tokens = self.control.ledger.transact(partition, &[], editing).await?;
                edited.extend(tokens.into_iter().map(|mut token| {
                    if all.len() > EDITED_WHOLE {
                        token.keep_name_only();
                    }
                    token
                }));
            }
        }
        let edited = edited.into_iter().map(wire::token).collect();
        Ok(Response::new(v1::EditTokenResponse { edited }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let found = match request.target {
            Some(Target::Jid(jid)) => self.tokens_on(&jid).await?,
            Some(Target::TokenId(id)) => self.token_with(&id)?,
            Some(Target::IssuedBy(key)) => self.control.issued_by(&key.into()).await?,
            None => return Err(Refusal::invalid("name a JID, or the id of a token or key").into()),
        };
        let revoked = if request.dry_run {
            self.revocable(&caller, found).await?
        } else {
            self.revoke(&caller, found).await?
        };
        let revoked = revoked.into_iter().map(wire::token).collect();
        Ok(Response::new(v1::RevokeTokenResponse { revoked }))
    }

    async fn set_webhook_secrets(
        &self,
        request: Request<v1::SetWebhookSecretsRequest>,
    ) -> Result<Response<v1::SetWebhookSecretsResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let (id, partition) = TokenId::parse(&request.token_id, self.control.partitions)?;
        // This comes first, so that a caller who may not change the token learns nothing of
        // control's settings.
        let checking = |tx: &mut Tx<'_>| token::signed(tx, &caller, &id).map(drop);
        self.control.ledger.view(partition, checking).await?;
        let secrets = &request.secrets;
        let sealed = self.control.seal(secrets, &id)?;
        let setting = |tx: &mut Tx<'_>| {
            token::set_secrets(tx, &caller, &id, &NewSecrets { secrets, sealed: &sealed })
        };
        self.control.ledger.transact(partition, &[], setting).await?;
        Ok(Response::new(v1::SetWebhookSecretsResponse {}))
    }

    async fn set_visitor_keys(
        &self,
        request: Request<v1::SetVisitorKeysRequest>,
    ) -> Result<Response<v1::SetVisitorKeysResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let (id, partition) = TokenId::parse(&request.token_id, self.control.partitions)?;
        let keys = KeyText::parse_all(request.keys)?;
        // This comes first, so that a caller who may not change the token learns nothing of
        // control's settings.
        let checking = |tx: &mut Tx<'_>| token::editable(tx, &caller, &id, "chat link").map(drop);
        self.control.ledger.view(partition, checking).await?;
        let keys = self.control.seal_visitor_keys(keys, &id)?;
        let setting = |tx: &mut Tx<'_>| token::set_visitor_keys(tx, &caller, &id, &keys);
        self.control.ledger.transact(partition, &[], setting).await?;
        Ok(Response::new(v1::SetVisitorKeysResponse {}))
    }
}

impl Service {
    /// Issues a token, and returns it with its secret.
    async fn issue(
        &self,
        caller: &Caller,
        mut order: Order,
        secrets: &[String],
        visitor_keys: Vec<KeyText>,
    ) -> Result<(Token, String), Error> {
        self.control.check_host(&order.folder)?;
        let partition = self.control.partition(&order.folder);
        let secret = Secret::mint(token::PREFIX, partition, random()?);
        let id = TokenId::of(&secret);
        if let Some(signature) = &mut order.options.hook.signature {
            signature.sealed_secrets = self.control.seal(secrets, &id)?;
        }
        order.options.visitor_keys = self.control.seal_visitor_keys(visitor_keys, &id)?;
        let issuing = |tx: &mut Tx<'_>| token::issue(tx, caller, &order, &secret);
        let token = self.control.ledger.transact(partition, &[], issuing).await?;
        Ok((token, secret.as_str().to_owned()))
    }

    /// Returns the ids of the tokens that a target names.
    async fn named(
        &self,
        target: Option<v1::TokenTarget>,
    ) -> Result<Vec<(Partition, Vec<TokenId>)>, Error> {
        match target.and_then(|target| target.target) {
            Some(Named::Jid(jid)) => self.tokens_on(&jid).await,
            Some(Named::TokenId(id)) => Ok(self.token_with(&id)?),
            None => Err(Refusal::invalid("name a JID or a token's id").into()),
        }
    }

    fn token_with(&self, id: &str) -> Result<Vec<(Partition, Vec<TokenId>)>, Refusal> {
        let (id, partition) = TokenId::parse(id, self.control.partitions)?;
        Ok(vec![(partition, vec![id])])
    }

    /// Returns the ids of the live tokens on a JID.
    async fn tokens_on(&self, jid: &str) -> Result<Vec<(Partition, Vec<TokenId>)>, Error> {
        let (control, partition) = (&self.control, self.partition_of_jid(jid)?);
        let Some(address) = control.ledger.record::<Address>(partition, jid).await? else {
            return Ok(Vec::new());
        };
        let in_folder = |member: &InFolder| member.folder == address.folder.as_str();
        let on_jid = |token: &Token| token.jid == jid;
        Ok(vec![(partition, control.live_tokens(partition, in_folder, on_jid).await?)])
    }

    /// Revokes the tokens that the caller may revoke, and returns them. Once this returns, every
    /// use of them is refused; their turns end soon after.
    pub(super) async fn revoke(
        &self,
        caller: &Caller,
        found: Vec<(Partition, Vec<TokenId>)>,
    ) -> Result<Vec<Token>, Error> {
        let mut all = Vec::new();
        for (partition, ids) in found {
            for ids in ids.chunks(revocation::BATCH) {
                let revoking = |tx: &mut Tx<'_>| revocation::revoke(tx, caller, ids);
                let revoked = self.control.ledger.transact(partition, &[], revoking).await?;
                self.end_turns(partition, revoked.iter().map(|token| token.id.clone()).collect());
                all.extend(revoked);
            }
        }
        Ok(all)
    }

    /// Returns the tokens that [`Self::revoke`] would revoke.
    async fn revocable(
        &self,
        caller: &Caller,
        found: Vec<(Partition, Vec<TokenId>)>,
    ) -> Result<Vec<Token>, Error> {
        let mut all = Vec::new();
        for (partition, ids) in found {
            for ids in ids.chunks(revocation::BATCH) {
                let looking = |tx: &mut Tx<'_>| revocation::revocable(tx, caller, ids);
                all.extend(self.control.ledger.view(partition, looking).await?);
            }
        }
        all.iter_mut().for_each(Token::keep_name_only);
        Ok(all)
    }

    /// Cancels the turns of revoked tokens in the background.
    fn end_turns(&self, partition: Partition, tokens: Vec<TokenId>) {
        let control = self.control.clone();
        let ending = async move {
            // If this fails, the tokens' due items cancel the turns later.
            if let Err(error) = due::end_turns(&control, partition, &tokens).await {
                tracing::warn!(%error, "cannot cancel the turns of revoked tokens yet");
            }
        };
        tokio::spawn(ending.in_current_span());
    }
}

fn unless_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The properties of a token that a caller wants to issue or edit.
struct Properties {
    options: Options,
    lifetime: Option<Duration>,
    logo: Option<Logo>,
    /// The secrets with which a webhook's sender signs, not yet sealed.
    secrets: Vec<String>,
    /// The keys that check who a chat link's visitors are, not yet sealed.
    visitor_keys: Vec<KeyText>,
}

fn properties(options: Option<v1::LinkOptions>) -> Result<Properties, Refusal> {
    let v1::LinkOptions {
        name,
        greeting,
        context,
        allowed_origins,
        lifetime,
        limits,
        hook,
        looks,
        paused,
        visitor_keys,
    } = options.unwrap_or_default();
    let lifetime = wire::parse_duration(lifetime)?;
    let limits = wire::parse_limits(limits.unwrap_or_default())?;
    let (hook, secrets) = wire::hook::parse_options(hook.unwrap_or_default())?;
    let (looks, logo) = wire::looks::parse(looks.unwrap_or_default())?;
    let visitor_keys = KeyText::parse_all(visitor_keys)?;
    let options = Options {
        name,
        greeting,
        context,
        allowed_origins,
        limits,
        hook,
        looks,
        // They can be sealed only once the token has an id.
        visitor_keys: Vec::new(),
        paused,
    };
    Ok(Properties { options, lifetime, logo, secrets, visitor_keys })
}
