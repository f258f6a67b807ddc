//! Issues the demo link of `up`, and runs the demo agent that answers it.

use super::{Service, data::DataFolder};
use crate::{
    attach::{self, Settings},
    control::Control,
    demo,
};
use anyhow::bail;
use arizuko_proto::v1::{
    IssueChatLinkRequest, LinkOptions, RevokeTokenRequest, revoke_token_request::Target,
};
use std::sync::Arc;
use tokio::sync::Notify;

/// Issues the link and starts the agent. Returns the link's URL once the agent is attached.
pub(super) async fn start(
    control: Control,
    data: &DataFolder,
) -> anyhow::Result<(String, Service)> {
    let url = issue(&control, data).await?;
    let attached = Arc::new(Notify::new());
    let notified = Arc::clone(&attached);
    let mut service = Service::start("the demo agent", |stop| async move {
        let settings = Settings {
            folder: demo::FOLDER.into(),
            name: "demo agent".into(),
            concurrency: 64,
            history: 0,
            attached: notified,
            stop,
        };
        Ok(attach::run(&control, settings, demo::answer).await?)
    });
    tokio::select! {
        () = attached.notified() => Ok((url, service)),
        ended = &mut service.task => {
            ended??;
            bail!("the demo agent has ended")
        }
    }
}

/// Issues the link of this run, and revokes the link of the last run.
async fn issue(control: &Control, data: &DataFolder) -> anyhow::Result<String> {
    let mut tokens = control.tokens().await?;
    if let Some(token_id) = data.demo_token_id() {
        let target = Some(Target::TokenId(token_id));
        control.answer(tokens.revoke_token(RevokeTokenRequest { target, dry_run: false }).await)?;
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
    let issued = control.answer(tokens.issue_chat_link(request).await)?;
    data.set_demo_token_id(&issued.token_id)?;
    Ok(issued.url)
}
