//! gRPC calls with a key, as operators, agents and gateways make them.

use crate::{
    Instance::{self, A, B},
    Stack, within,
};
pub use arizuko_proto::client::Channel;
use arizuko_proto::{
    client::{Bearer, endpoint},
    tls::ClientFiles,
    v1::{
        CreateKeyRequest, CreateKeyResponse, ErrorReason, IssueChatLinkRequest,
        IssueWebhookRequest, IssueWebhookResponse, Key, KeyKind, KeyReach, LinkOptions,
        ListKeysRequest, RevokeTokenRequest, Token, key_service_client::KeyServiceClient,
        revoke_token_request::Target, token_service_client::TokenServiceClient,
    },
};
use tonic::{Status, service::interceptor::InterceptedService};

/// An issued chat link or webhook: both responses have the same fields.
pub use arizuko_proto::v1::IssueChatLinkResponse as Link;

/// The name of each key that comes from control's settings.
pub const FROM_SETTINGS: &str = "from control's settings";

/// Connects to a control that has no TLS.
pub async fn connect(control: &str, key: Option<&str>) -> Channel {
    connect_with(control, key, &ClientFiles::default()).await
}

/// Connects to a control, with TLS if its URL is https.
pub(crate) async fn connect_with(control: &str, key: Option<&str>, files: &ClientFiles) -> Channel {
    let endpoint = endpoint(control, files).expect("the stack's addresses and files are valid");
    let channel = within("a connection to control", endpoint.connect()).await;
    let channel = channel.unwrap_or_else(|error| panic!("{control}: {error:?}"));
    InterceptedService::new(channel, Bearer::new(key).expect("keys are plain text"))
}

impl Stack {
    /// Connects to a control with the operator's key.
    pub async fn operator(&self, control: Instance) -> Channel {
        self.channel(control, self.operator_key()).await
    }

    /// Issues a chat link of `folder`.
    pub async fn issue(&self, folder: &str) -> Link {
        self.issue_with(folder, "", LinkOptions::default()).await
    }

    /// Issues a chat link with a suffix and options.
    pub async fn issue_with(&self, folder: &str, suffix: &str, options: LinkOptions) -> Link {
        let (folder, jid_suffix) = (folder.to_owned(), suffix.to_owned());
        let request = IssueChatLinkRequest { folder, jid_suffix, options: Some(options) };
        let mut tokens = TokenServiceClient::new(self.operator(A).await);
        tokens.issue_chat_link(request).await.expect("operators issue links").into_inner()
    }

    /// Issues a webhook of `folder` for `source`.
    pub async fn issue_hook(&self, folder: &str, source: &str, suffix: &str) -> Link {
        let (folder, source) = (folder.to_owned(), source.to_owned());
        let request =
            IssueWebhookRequest { folder, source, jid_suffix: suffix.to_owned(), options: None };
        let mut tokens = TokenServiceClient::new(self.operator(A).await);
        let issued = tokens.issue_webhook(request).await.expect("operators issue webhooks");
        let IssueWebhookResponse { token, url, jid, token_id, agent_attached } =
            issued.into_inner();
        Link { token, url, jid, token_id, agent_attached }
    }

    /// Revokes the tokens of a JID, or the token with an id, at control B.
    pub async fn revoke(&self, target: &str) -> Vec<Token> {
        let target = match target.starts_with("tok_") {
            true => Target::TokenId(target.to_owned()),
            false => Target::Jid(target.to_owned()),
        };
        let mut tokens = TokenServiceClient::new(self.operator(B).await);
        let request = RevokeTokenRequest { target: Some(target), dry_run: false };
        let revoked = within("a revocation", tokens.revoke_token(request)).await;
        revoked.expect("operators revoke").into_inner().revoked
    }

    /// Returns the id of the key of this kind that comes from control's settings.
    pub async fn key_from_settings(&self, kind: KeyKind) -> String {
        let mut keys = KeyServiceClient::new(self.operator(A).await);
        let listed = keys.list_keys(ListKeysRequest::default()).await;
        let listed = listed.expect("operators list keys").into_inner().keys;
        let wanted = |key: &Key| key.kind() == kind && key.name == FROM_SETTINGS;
        listed.into_iter().find(wanted).expect("it is listed").key_id
    }

    /// Creates an agent's key of `folder`, with which links may be issued.
    pub async fn agent_key(&self, folder: &str) -> String {
        self.key(KeyKind::Agent, folder, KeyReach::Self_, true).await.key
    }

    /// Creates a key with all permissions. Without `may_mint`, the one to issue links is missing.
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
            may_read: true,
            may_set_routes: true,
            may_speak_as_person: true,
            ..CreateKeyRequest::default()
        };
        let mut keys = KeyServiceClient::new(self.operator(A).await);
        keys.create_key(request).await.expect("operators create keys").into_inner()
    }
}

/// Returns why control refused a call.
pub fn reason(status: &Status) -> ErrorReason {
    ErrorReason::of(status).unwrap_or_else(|| panic!("a refusal without a reason: {status:?}"))
}
