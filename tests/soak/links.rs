//! An operator, who pauses and revokes links under load.

use crate::{Counts, Dice};
use arizuko_proto::{
    client::{Bearer, endpoint},
    tls::ClientFiles,
    v1::{
        EditTokenRequest, IssueChatLinkRequest, RevokeTokenRequest, TokenTarget,
        revoke_token_request::Target, token_service_client::TokenServiceClient, token_target,
    },
};
use arizuko_tests::prelude::*;
use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering::SeqCst},
};
use tokio::{sync::watch, time::timeout};
use tonic::{Response, Status, service::interceptor::InterceptedService};

/// How long a call to control may take before it is repeated at the other control, and how long a
/// stream may be silent before it is opened again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a stream of a revoked link may stay open, while faults happen.
const END_OF_STREAM: Duration = Duration::from_secs(60);
/// How many messages must be refused once a link is paused or revoked, at each gateway.
const REFUSED: usize = 10;

type Tokens = TokenServiceClient<Channel>;

/// Calls the two controls in turn until one answers.
pub(crate) struct Operator {
    tokens: [Tokens; 2],
    /// A visitor at each gateway.
    at: [Visitor; 2],
}

impl Operator {
    pub(crate) fn new(stack: &Stack) -> Self {
        let key = Bearer::new(Some(stack.operator_key())).expect("keys are plain text");
        let tokens = BOTH.map(|control| {
            let endpoint = endpoint(&stack.control(control), &ClientFiles::default());
            let channel = endpoint.expect("a control has an address").connect_lazy();
            TokenServiceClient::new(InterceptedService::new(channel, key.clone()))
        });
        Self { tokens, at: BOTH.map(|gateway| stack.at(gateway, "/chat/")) }
    }

    /// Makes a call until it succeeds.
    async fn call<T, C>(&self, call: impl Fn(Tokens) -> C) -> T
    where
        C: Future<Output = Result<Response<T>, Status>>,
    {
        for tokens in self.tokens.iter().cycle() {
            match timeout(PATIENCE, call(tokens.clone())).await {
                Ok(Ok(answer)) => return answer.into_inner(),
                Ok(Err(status)) if ErrorReason::of(&status).is_some_and(is_final) => {
                    panic!("{status:?}")
                }
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
        unreachable!("there are controls")
    }

    async fn pause(&self, token: &str, paused: bool) {
        let target = Some(token_target::Target::TokenId(token.to_owned()));
        let request = EditTokenRequest {
            target: Some(TokenTarget { target }),
            options: Some(LinkOptions { paused, ..LinkOptions::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["paused".to_owned()] }),
        };
        let edited = self.call(|mut tokens| {
            let request = request.clone();
            async move { tokens.edit_token(request).await }
        });
        assert_eq!(edited.await.edited.len(), 1, "the link is there");
    }
}

fn is_final(reason: ErrorReason) -> bool {
    !matches!(reason, ErrorReason::Unavailable | ErrorReason::OutcomeUnknown)
}

/// Issues links, and pauses and revokes them while messages are posted, until the end.
pub(crate) async fn pause_and_revoke(
    operator: Operator,
    mut dice: Dice,
    ending: watch::Receiver<bool>,
    counts: Counts,
) {
    while !*ending.borrow() {
        let issued = operator.call(|mut tokens| async move {
            let folder = "acme/quiet".to_owned();
            let request = IssueChatLinkRequest { folder, ..IssueChatLinkRequest::default() };
            tokens.issue_chat_link(request).await
        });
        let link = issued.await;
        let first = post(&operator.at[0], &link, 202).await;
        let stream = follow(operator.at[0].clone(), link.clone(), first);
        let stream = tokio::spawn(stream);

        // The status with which the link refuses messages by now; 0: none.
        let refuses = Arc::new(AtomicU16::new(0));
        for paused in [true, false] {
            let posting = operator.at.clone().map(|visitor| {
                tokio::spawn(post_meanwhile(visitor, link.clone(), refuses.clone()))
            });
            sleep(dice.millis(1_000)).await;
            if paused {
                operator.pause(&link.token_id, true).await;
                refuses.store(403, SeqCst);
                counts.add("links paused", 1);
            } else {
                let target = Some(Target::TokenId(link.token_id.clone()));
                let request = RevokeTokenRequest { target, dry_run: false };
                let revoking = operator.call(|mut tokens| {
                    let request = request.clone();
                    async move { tokens.revoke_token(request).await }
                });
                revoking.await;
                refuses.store(401, SeqCst);
                counts.add("links revoked", 1);
            }
            for posted in posting {
                let refused = posted.await.expect("no promise is broken");
                counts.add("messages refused after a pause or a revocation", refused);
            }
            if paused {
                operator.pause(&link.token_id, false).await;
                refuses.store(0, SeqCst);
                post(&operator.at[1], &link, 202).await;
            }
        }
        let ended = timeout(END_OF_STREAM, stream).await;
        ended.expect("a revoked link's streams end").expect("no promise is broken");
    }
}

/// Posts messages until [`REFUSED`] of them were refused with the status in `refuses`. Once that is
/// set, no message may be taken. Returns how many were refused.
async fn post_meanwhile(visitor: Visitor, link: Link, refuses: Arc<AtomicU16>) -> usize {
    let mut refused = 0;
    while refused < REFUSED {
        let expected = refuses.load(SeqCst);
        match try_post(&visitor, &link).await {
            Some(202) => assert_eq!(expected, 0, "a message is taken though the link refuses"),
            Some(status) if status == expected => refused += 1,
            Some(401 | 403 | 429 | 503 | 504) | None => {}
            Some(other) => panic!("{other}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
    refused
}

/// Posts a message in a new conversation until the answer has this status. Returns the conversation.
async fn post(visitor: &Visitor, link: &Link, status: u16) -> String {
    loop {
        let request = visitor.request(Method::POST, &format!("{}/", link.token));
        match try_send(request.json(&json!({"content": "hello"}))).await {
            Ok(answer) if answer.status == status => return answer.posted().conversation,
            Ok(answer) => assert!([429, 503, 504].contains(&answer.status.as_u16()), "{answer:?}"),
            Err(_) => {}
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn try_post(visitor: &Visitor, link: &Link) -> Option<u16> {
    let request = visitor.request(Method::POST, &format!("{}/", link.token));
    let answer = try_send(request.json(&json!({"content": "hello"}))).await.ok()?;
    Some(answer.status.as_u16())
}

/// Follows a conversation until its link is revoked.
async fn follow(visitor: Visitor, link: Link, conversation: String) {
    let path = format!("{}/c/{conversation}/sse", link.token);
    loop {
        if let Some(mut events) = visitor.try_open(&path, Cursor::Start).await {
            if events.status == 401 {
                return;
            }
            while let Ok(Some(event)) = timeout(PATIENCE, events.next()).await {
                if event.name == "revoked" {
                    return;
                }
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}
