//! gRPC calls with a key: what operators, agents and gateways ask of control.

use crate::{
    Instance::{self, A, B},
    Stack, within,
};
use arizuko_proto::v1::{
    CreateKeyRequest, CreateKeyResponse, IssueChatLinkRequest, IssueWebhookRequest, KeyKind,
    KeyReach, LinkOptions, RevokeTokenRequest, Token, key_service_client::KeyServiceClient,
    revoke_token_request::Target, token_service_client::TokenServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Endpoint,
};
use tonic_types::StatusExt as _;

/// A channel to one control that carries a key.
pub type Channel = InterceptedService<tonic::transport::Channel, Bearer>;

/// Adds the key to each call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

/// A minted token, of either kind.
#[derive(Clone, Debug)]
pub struct Link {
    /// The credential.
    pub token: String,
    /// The URL, as it was told.
    pub url: String,
    /// The address.
    pub jid: String,
    /// The public id.
    pub token_id: String,
    /// Whether an agent was attached.
    pub agent_attached: bool,
}

/// Connects to a control with a key, or with none.
pub async fn connect(control: &str, key: Option<&str>) -> Channel {
    let endpoint = Endpoint::from_shared(control.to_owned());
    connect_to(endpoint.expect("the stack's addresses are URLs"), key).await
}

pub(crate) async fn connect_to(endpoint: Endpoint, key: Option<&str>) -> Channel {
    let channel = within("a connection to control", endpoint.connect()).await;
    let channel = channel.unwrap_or_else(|error| panic!("{}: {error:?}", endpoint.uri()));
    let bearer = key.map(|key| format!("Bearer {key}").parse().expect("keys are plain text"));
    InterceptedService::new(channel, Bearer(bearer))
}

impl Stack {
    /// A channel with the operator's key to a control.
    pub async fn operator(&self, control: Instance) -> Channel {
        self.channel(control, self.operator_key()).await
    }

    /// Mints a chat link of `folder`.
    pub async fn issue(&self, folder: &str) -> Link {
        self.issue_with(folder, "", LinkOptions::default()).await
    }

    /// Mints a chat link with a suffix and options.
    pub async fn issue_with(&self, folder: &str, suffix: &str, options: LinkOptions) -> Link {
        let (folder, jid_suffix) = (folder.to_owned(), suffix.to_owned());
        let request = IssueChatLinkRequest { folder, jid_suffix, options: Some(options) };
        let mut tokens = TokenServiceClient::new(self.operator(A).await);
        let issued = tokens.issue_chat_link(request).await.expect("operators mint").into_inner();
        Link {
            token: issued.token,
            url: issued.url,
            jid: issued.jid,
            token_id: issued.token_id,
            agent_attached: issued.agent_attached,
        }
    }

    /// Mints a webhook of `folder` for `source`.
    pub async fn issue_hook(&self, folder: &str, source: &str, suffix: &str) -> Link {
        let (folder, source) = (folder.to_owned(), source.to_owned());
        let request =
            IssueWebhookRequest { folder, source, jid_suffix: suffix.to_owned(), options: None };
        let mut tokens = TokenServiceClient::new(self.operator(A).await);
        let issued = tokens.issue_webhook(request).await.expect("operators mint").into_inner();
        Link {
            token: issued.token,
            url: issued.url,
            jid: issued.jid,
            token_id: issued.token_id,
            agent_attached: issued.agent_attached,
        }
    }

    /// Revokes by JID, or by token id, at the last control.
    pub async fn revoke(&self, target: &str) -> Vec<Token> {
        let target = match target.starts_with("tok_") {
            true => Target::TokenId(target.to_owned()),
            false => Target::Jid(target.to_owned()),
        };
        let mut tokens = TokenServiceClient::new(self.operator(B).await);
        let request = RevokeTokenRequest { target: Some(target) };
        let revoked = within("a revocation", tokens.revoke_token(request)).await;
        revoked.expect("operators revoke").into_inner().revoked
    }

    /// Makes a key for an agent of `folder` that may mint there.
    pub async fn agent_key(&self, folder: &str) -> String {
        self.key(KeyKind::Agent, folder, KeyReach::Self_, true).await.key
    }

    /// Makes a key.
    pub async fn key(
        &self,
        kind: KeyKind,
        folder: &str,
        reach: KeyReach,
        may_mint: bool,
    ) -> CreateKeyResponse {
        let request = CreateKeyRequest {
            kind: kind.into(),
            folder: folder.to_owned(),
            reach: reach.into(),
            may_mint,
            name: String::new(),
        };
        let mut keys = KeyServiceClient::new(self.operator(A).await);
        keys.create_key(request).await.expect("operators make keys").into_inner()
    }
}

/// The stable word for why a call was refused.
pub fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("a refusal without a reason: {status:?}"));
    assert_eq!(info.domain, "arizuko");
    info.reason
}
