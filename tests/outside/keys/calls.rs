//! Every RPC of control, each with the smallest request that makes sense.

mod conversations;

use arizuko_proto::{
    v1::admin_service_client::AdminServiceClient,
    v1::event_service_client::EventServiceClient,
    v1::folder_service_client::FolderServiceClient,
    v1::gateway_service_client::GatewayServiceClient,
    v1::key_service_client::KeyServiceClient,
    v1::revoke_token_request::Target,
    v1::route_service_client::RouteServiceClient,
    v1::token_service_client::TokenServiceClient,
    v1::{
        Access, ApplyRoutesRequest, CancelTurnRequest, CreateKeyRequest, CreateSubscriptionRequest,
        DeleteConversationRequest, DeleteRouteRequest, DeleteSubscriptionRequest, EditTokenRequest,
        ExplainRouteRequest, FinishRotationRequest, GetConversationRequest, GetFolderRequest,
        GetLogoRequest, GetStatusRequest, GetTokenStatsRequest, GetTurnRequest,
        IssueChatLinkRequest, IssueWebhookRequest, ListAuditRequest, ListEventsRequest,
        ListKeysRequest, ListRoutesRequest, ListSubscriptionsRequest, ListTokensRequest,
        ListVisitorConversationsRequest, PostMessageRequest, RateTurnRequest, ReplayEventsRequest,
        ReportGatewayRequest, ResolveTokenRequest, ResumeSubscriptionRequest, RevokeKeyRequest,
        RevokeTokenRequest, RotateKeyRequest, SetFolderRequest, SetRouteRequest,
        SetVisitorKeysRequest, SetWebhookSecretsRequest, TailRequest, TokenKind, TokenTarget,
        WatchRequest, token_target,
    },
};
use arizuko_tests::prelude::*;
use conversations::{shows, speech};
use prost_types::FieldMask;
use tonic::Status;

/// Calls that only operators may make.
pub(super) const OPERATORS: [&str; 11] = [
    "CreateKey",
    "RevokeKey",
    "RotateKey",
    "FinishRotation",
    "DeleteConversations",
    "ReplayDelivery",
    "CreateSubscription",
    "ResumeSubscription",
    "DeleteSubscription",
    "ReplayEvents",
    "SetFolder",
];
/// Calls that only operators and viewers may make.
pub(super) const OVERSEERS: [&str; 7] =
    ["ListKeys", "GetStatus", "ListAudit", "Tail", "ListSubscriptions", "ListEvents", "GetFolder"];
/// Calls that only gateways may make.
pub(super) const GATEWAYS: [&str; 11] = [
    "ResolveToken",
    "GetLogo",
    "PostMessage",
    "GetTurn",
    "GetConversation",
    "CancelTurn",
    "RateTurn",
    "ListVisitorConversations",
    "DeleteConversation",
    "Watch",
    "ReportGateway",
];
/// Calls about a folder.
pub(super) const FOLDERS: [&str; 4] = ["IssueChatLink", "IssueWebhook", "ListTokens", "Attach"];

/// Calls that change a token.
pub(super) const CHANGES: [&str; 4] =
    ["EditToken", "RevokeToken", "SetWebhookSecrets", "SetVisitorKeys"];

/// Calls about a folder's routes.
pub(super) const ROUTES: [&str; 5] =
    ["SetRoute", "ListRoutes", "ExplainRoute", "ApplyRoutes", "DeleteRoute"];
/// Calls about a conversation that a folder has a part in.
pub(super) const SPEECH: [&str; 5] = [
    "SendMessage",
    "AssignConversation",
    "ReadConversation",
    "FollowConversation",
    "NoteConversation",
];
/// Calls that show the conversations of a folder.
pub(super) const SHOWS: [&str; 4] =
    ["ListConversations", "ExportConversations", "ShowConversation", "ShowTurn"];

/// The link and the turns that the calls are about.
pub(super) struct Facts {
    pub(super) link: Link,
    pub(super) posted: Posted,
    /// What a webhook's sender has delivered.
    pub(super) delivery: Posted,
}

/// Makes a call; returns the reason of its refusal, or `OK`.
pub(super) async fn outcome(call: &str, folder: &str, channel: Channel, facts: &Facts) -> String {
    let made = within(call, make(call, folder, channel, facts)).await;
    made.map_or_else(|status| reason(&status).word().to_owned(), |()| "OK".to_owned())
}

async fn make(call: &str, folder: &str, channel: Channel, facts: &Facts) -> Result<(), Status> {
    match call {
        "CreateKey" | "ListKeys" | "RevokeKey" | "RotateKey" | "FinishRotation" => {
            keys(call, channel).await
        }
        "GetStatus" | "ListAudit" | "Tail" => admin(call, channel).await,
        "CreateSubscription" | "ListSubscriptions" | "ResumeSubscription"
        | "DeleteSubscription" | "ListEvents" | "ReplayEvents" => events(call, channel).await,
        "SetFolder" | "GetFolder" => folders(call, channel).await,
        "Attach" => Session::try_open(channel, hello(folder, 0)).await.map(drop),
        "Watch" => watch(channel).await,
        "IssueChatLink" | "IssueWebhook" | "ListTokens" | "GetTokenStats" => {
            tokens(call, folder, channel, facts).await
        }
        call if CHANGES.contains(&call) => tokens(call, folder, channel, facts).await,
        call if ROUTES.contains(&call) => routes(call, folder, channel).await,
        "ReplayDelivery" => shows(call, folder, channel, facts).await,
        "DeleteConversations" => shows(call, "nobody", channel, facts).await,
        call if SHOWS.contains(&call) => shows(call, folder, channel, facts).await,
        call if SPEECH.contains(&call) => speech(call, folder, channel, facts).await,
        _ => visits(call, channel, facts).await,
    }
}

async fn routes(call: &str, folder: &str, channel: Channel) -> Result<(), Status> {
    let mut routes = RouteServiceClient::new(channel);
    let prefix = format!("web:{folder}");
    let topic = Some("a topic".to_owned());
    let route = Route { prefix: prefix.clone(), topic, ..Route::default() };
    let folder = folder.to_owned();
    match call {
        "SetRoute" => {
            let request = SetRouteRequest { route: Some(route), update_mask: None };
            routes.set_route(request).await.map(drop)
        }
        "ListRoutes" => {
            routes.list_routes(ListRoutesRequest { folder, ..Default::default() }).await.map(drop)
        }
        "ExplainRoute" => {
            let request = ExplainRouteRequest { jid: prefix };
            routes.explain_route(request).await.map(drop)
        }
        "ApplyRoutes" => {
            let request = ApplyRoutesRequest { folder, routes: vec![route], dry_run: false };
            routes.apply_routes(request).await.map(drop)
        }
        _ => routes.delete_route(DeleteRouteRequest { prefix }).await.map(drop),
    }
}

async fn tokens(call: &str, folder: &str, channel: Channel, facts: &Facts) -> Result<(), Status> {
    let mut tokens = TokenServiceClient::new(channel);
    let folder = folder.to_owned();
    match call {
        "IssueChatLink" => {
            let request = IssueChatLinkRequest { folder, ..IssueChatLinkRequest::default() };
            tokens.issue_chat_link(request).await.map(drop)
        }
        "IssueWebhook" => {
            let source = "github".to_owned();
            let request = IssueWebhookRequest { folder, source, ..IssueWebhookRequest::default() };
            tokens.issue_webhook(request).await.map(drop)
        }
        "ListTokens" => {
            tokens.list_tokens(ListTokensRequest { folder, ..Default::default() }).await.map(drop)
        }
        "GetTokenStats" => {
            let target = token_target::Target::TokenId(facts.link.token_id.clone());
            let target = Some(TokenTarget { target: Some(target) });
            tokens.get_token_stats(GetTokenStatsRequest { target, days: 0 }).await.map(drop)
        }
        "EditToken" => {
            let target = token_target::Target::TokenId(facts.link.token_id.clone());
            let request = EditTokenRequest {
                target: Some(TokenTarget { target: Some(target) }),
                options: None,
                update_mask: Some(FieldMask { paths: vec!["context".to_owned()] }),
            };
            tokens.edit_token(request).await.map(drop)
        }
        "SetWebhookSecrets" => {
            let (token_id, secrets) = (facts.link.token_id.clone(), Vec::new());
            let request = SetWebhookSecretsRequest { token_id, secrets };
            tokens.set_webhook_secrets(request).await.map(drop)
        }
        "SetVisitorKeys" => {
            let (token_id, keys) = (facts.link.token_id.clone(), Vec::new());
            tokens.set_visitor_keys(SetVisitorKeysRequest { token_id, keys }).await.map(drop)
        }
        _ => {
            let target = Some(Target::TokenId(facts.link.token_id.clone()));
            tokens.revoke_token(RevokeTokenRequest { target, dry_run: false }).await.map(drop)
        }
    }
}

async fn keys(call: &str, channel: Channel) -> Result<(), Status> {
    let mut keys = KeyServiceClient::new(channel);
    match call {
        "CreateKey" => {
            let kind = KeyKind::Operator.into();
            keys.create_key(CreateKeyRequest { kind, ..CreateKeyRequest::default() })
                .await
                .map(drop)
        }
        "ListKeys" => keys.list_keys(ListKeysRequest::default()).await.map(drop),
        call => {
            // No key has this id, which is well formed and belongs to the first partition.
            let key_id = format!("key_AAA{}", "A".repeat(19));
            let made = match call {
                "RotateKey" => {
                    let request = RotateKeyRequest { key_id, ..RotateKeyRequest::default() };
                    keys.rotate_key(request).await.map(drop)
                }
                "FinishRotation" => {
                    let request = FinishRotationRequest { key_id, undo: false };
                    keys.finish_rotation(request).await.map(drop)
                }
                _ => {
                    let request = RevokeKeyRequest { key_id, with_tokens: false };
                    keys.revoke_key(request).await.map(drop)
                }
            };
            // INVALID is about the id, so the caller's key was accepted.
            match made {
                Err(status) if reason(&status) == ErrorReason::Invalid => Ok(()),
                made => made,
            }
        }
    }
}

async fn admin(call: &str, channel: Channel) -> Result<(), Status> {
    let mut admin = AdminServiceClient::new(channel);
    match call {
        "GetStatus" => admin.get_status(GetStatusRequest {}).await.map(drop),
        "ListAudit" => admin.list_audit(ListAuditRequest::default()).await.map(drop),
        _ => admin.tail(TailRequest::default()).await.map(drop),
    }
}

async fn folders(call: &str, channel: Channel) -> Result<(), Status> {
    let (mut folders, folder) = (FolderServiceClient::new(channel), "acme".to_owned());
    match call {
        "SetFolder" => {
            let request = SetFolderRequest { folder, ..SetFolderRequest::default() };
            folders.set_folder(request).await.map(drop)
        }
        _ => folders.get_folder(GetFolderRequest { folder }).await.map(drop),
    }
}

async fn events(call: &str, channel: Channel) -> Result<(), Status> {
    let mut events = EventServiceClient::new(channel);
    // No subscription has this id, which is well formed.
    let subscription_id = format!("sub_AAA{}", "A".repeat(21));
    let made = match call {
        "CreateSubscription" => {
            let (folder, url) = ("acme".to_owned(), "https://acme.invalid/".to_owned());
            let request = CreateSubscriptionRequest { folder, url, kinds: Vec::new() };
            events.create_subscription(request).await.map(drop)
        }
        "ListSubscriptions" => {
            events.list_subscriptions(ListSubscriptionsRequest::default()).await.map(drop)
        }
        "ResumeSubscription" => {
            let request = ResumeSubscriptionRequest { subscription_id };
            events.resume_subscription(request).await.map(drop)
        }
        "DeleteSubscription" => {
            let request = DeleteSubscriptionRequest { subscription_id };
            events.delete_subscription(request).await.map(drop)
        }
        "ListEvents" => {
            let request = ListEventsRequest { subscription_id, ..ListEventsRequest::default() };
            events.list_events(request).await.map(drop)
        }
        _ => {
            let request = ReplayEventsRequest { subscription_id, event_ids: Vec::new() };
            events.replay_events(request).await.map(drop)
        }
    };
    // INVALID is about the key that seals, which is missing, and NOT_FOUND about the subscription,
    // so the caller's key was accepted.
    match made {
        Err(status) if [ErrorReason::Invalid, ErrorReason::NotFound].contains(&reason(&status)) => {
            Ok(())
        }
        made => made,
    }
}

async fn watch(channel: Channel) -> Result<(), Status> {
    let nothing = tokio_stream::pending::<WatchRequest>();
    GatewayServiceClient::new(channel).watch(nothing).await.map(drop)
}

async fn visits(call: &str, channel: Channel, facts: &Facts) -> Result<(), Status> {
    let mut gateway = GatewayServiceClient::new(channel);
    let access = Some(Access { token: facts.link.token.clone(), kind: TokenKind::Chat.into() });
    let Posted { turn, conversation } = facts.posted.clone();
    match call {
        "ResolveToken" => gateway.resolve_token(ResolveTokenRequest { access }).await.map(drop),
        "GetLogo" => gateway.get_logo(GetLogoRequest { access }).await.map(drop),
        "PostMessage" => {
            let content = "hello".into();
            let request = PostMessageRequest { access, content, ..PostMessageRequest::default() };
            gateway.post_message(request).await.map(drop)
        }
        "GetTurn" => {
            let request = GetTurnRequest { access, turn_id: turn, ..GetTurnRequest::default() };
            gateway.get_turn(request).await.map(drop)
        }
        "GetConversation" => {
            let request = GetConversationRequest {
                access,
                conversation,
                ..GetConversationRequest::default()
            };
            gateway.get_conversation(request).await.map(drop)
        }
        "CancelTurn" => {
            gateway.cancel_turn(CancelTurnRequest { access, turn_id: turn }).await.map(drop)
        }
        "RateTurn" => {
            let request = RateTurnRequest { access, turn_id: turn, ..Default::default() };
            gateway.rate_turn(request).await.map(drop)
        }
        "ListVisitorConversations" => {
            let request = ListVisitorConversationsRequest { access, ..Default::default() };
            match gateway.list_visitor_conversations(request).await {
                // INVALID is about the missing JWT, so the caller's key was accepted.
                Err(status) if reason(&status) == ErrorReason::Invalid => Ok(()),
                made => made.map(drop),
            }
        }
        "DeleteConversation" => {
            let request = DeleteConversationRequest { access, conversation };
            gateway.delete_conversation(request).await.map(drop)
        }
        "ReportGateway" => {
            let request = ReportGatewayRequest { name: "a test".into(), ..Default::default() };
            gateway.report_gateway(request).await.map(drop)
        }
        other => panic!("no such call: {other}"),
    }
}
