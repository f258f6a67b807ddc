//! The link that `up` mints, and the demo agent that answers it.

use super::{Service, kept::Kept};
use crate::{
    attach::{self, Settings},
    control::Control,
    demo,
};
use anyhow::bail;
use arizuko_proto::v1::{
    IssueChatLinkRequest, LinkOptions, RevokeTokenRequest, revoke_token_request::Target,
    token_service_client::TokenServiceClient,
};
use std::sync::Arc;
use tokio::sync::Notify;

/// Mints the link and starts the agent. Gives the link's URL once the agent is attached.
pub(super) async fn start(control: Control, kept: &Kept) -> anyhow::Result<(String, Service)> {
    let url = mint(&control, kept).await?;
    let attached = Arc::new(Notify::new());
    let told = Arc::clone(&attached);
    let mut service = Service::start("the demo agent", |stop| async move {
        let settings = Settings {
            folder: demo::FOLDER.into(),
            name: "demo agent".into(),
            concurrency: 64,
            history: 0,
            attached: told,
            stop,
        };
        attach::run(&control, settings, demo::answer).await
    });
    tokio::select! {
        () = attached.notified() => Ok((url, service)),
        ended = &mut service.task => {
            ended??;
            bail!("the demo agent has ended")
        }
    }
}

/// Mints this run's link and ends the last run's.
async fn mint(control: &Control, kept: &Kept) -> anyhow::Result<String> {
    let mut tokens = TokenServiceClient::new(control.connect().await?);
    if let Some(token_id) = kept.demo_token_id() {
        let target = Some(Target::TokenId(token_id));
        let ended = tokens.revoke_token(RevokeTokenRequest { target }).await;
        ended.map_err(|status| control.explain(status))?;
    }
    let request = IssueChatLinkRequest {
        folder: demo::FOLDER.into(),
        jid_suffix: String::new(),
        options: Some(LinkOptions {
            name: "Demo agent".into(),
            greeting: "Say something, and see it answered.".into(),
            ..LinkOptions::default()
        }),
    };
    let issued = tokens.issue_chat_link(request).await;
    let issued = issued.map_err(|status| control.explain(status))?.into_inner();
    kept.set_demo_token_id(&issued.token_id)?;
    Ok(issued.url)
}
