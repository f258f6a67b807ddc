//! An operator, who issues links, and pauses and revokes them.

use super::{
    history::History,
    linear::{Did, Link},
    world::Clients,
};
use arizuko_proto::v1::{
    EditTokenRequest, IssueChatLinkRequest, IssueWebhookRequest, LinkLimits, LinkOptions,
    RevokeTokenRequest, TokenTarget, revoke_token_request::Target, token_target,
};
use fastrand::Rng;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// How long an operator waits for an answer of control.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a link works: longer than a run, but shorter than a jump of the clock.
const LIFETIME: Duration = Duration::from_secs(1_800);

/// A link: its token, and the token's id.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) token: String,
    pub(super) id: String,
}

/// Issues a chat link that takes `turns_per_day` turns in a day; 0: any number.
pub(super) async fn issue(
    operator: &Clients,
    rng: &mut Rng,
    folder: &str,
    turns_per_day: u32,
) -> Issued {
    let limits = Some(LinkLimits { turns_per_day, ..LinkLimits::default() });
    let lifetime = LIFETIME.try_into().ok();
    let options = Some(LinkOptions { lifetime, limits, ..LinkOptions::default() });
    let folder = folder.to_owned();
    let request = IssueChatLinkRequest { folder, options, ..IssueChatLinkRequest::default() };
    let issued = operator.tokens(rng).issue_chat_link(request).await;
    let issued = issued.expect("control issues links").into_inner();
    Issued { token: issued.token, id: issued.token_id }
}

/// Issues a webhook.
pub(super) async fn issue_hook(operator: &Clients, rng: &mut Rng) -> Issued {
    let (folder, source) = ("acme".to_owned(), "github".to_owned());
    let request = IssueWebhookRequest { folder, source, ..IssueWebhookRequest::default() };
    let issued = operator.tokens(rng).issue_webhook(request).await;
    let issued = issued.expect("control issues webhooks").into_inner();
    Issued { token: issued.token, id: issued.token_id }
}

pub(super) struct Operator {
    pub(super) clients: Clients,
    pub(super) history: History,
    pub(super) rng: Rng,
}

impl Operator {
    /// Revokes a link, at one control after another until one says that it is done.
    pub(super) async fn revoke(mut self, link: Issued) {
        let begun = self.history.step();
        self.history.state().revoked.insert(link.token.clone());
        loop {
            let target = Some(Target::TokenId(link.id.clone()));
            let request = RevokeTokenRequest { target, dry_run: false };
            let mut tokens = self.clients.tokens(&mut self.rng);
            if matches!(timeout(PATIENCE, tokens.revoke_token(request)).await, Ok(Ok(_))) {
                self.history.say(&format!("{} is revoked", link.token));
                return self.history.call(&link.token, Did::Set(Link::Revoked), begun);
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Pauses links and resumes them, `times` times.
    pub(super) async fn pause(mut self, links: Arc<[Issued]>, times: usize) {
        for _ in 0..times {
            let link = self.rng.choice(links.iter()).expect("there are links").clone();
            for paused in [true, false] {
                sleep(Duration::from_millis(self.rng.u64(..4_000))).await;
                self.set_paused(&link, paused).await;
            }
        }
    }

    async fn set_paused(&mut self, link: &Issued, paused: bool) {
        let begun = self.history.step();
        let state = if paused { Link::Paused } else { Link::Open };
        loop {
            let target = Some(token_target::Target::TokenId(link.id.clone()));
            let request = EditTokenRequest {
                target: Some(TokenTarget { target }),
                options: Some(LinkOptions { paused, ..LinkOptions::default() }),
                update_mask: Some(prost_types::FieldMask { paths: vec!["paused".to_owned()] }),
            };
            let mut tokens = self.clients.tokens(&mut self.rng);
            if let Ok(Ok(edited)) = timeout(PATIENCE, tokens.edit_token(request)).await {
                let is_there = !edited.into_inner().edited.is_empty();
                self.history.say(&format!("{} is now {state:?}", link.token));
                let did = if is_there { Did::Set(state) } else { Did::Saw(Link::Revoked) };
                return self.history.call(&link.token, did, begun);
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}
