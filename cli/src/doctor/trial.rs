//! The whole way, tried: a link for a minute, an agent of our own, a talk, a revocation.

use super::report::{Level, Report};
use crate::{
    attach::{self, Failure, Reply, Settings, Turn},
    control::Control,
    http::{self, cause},
    sse::Events,
};
use anyhow::{Context as _, bail};
use arizuko_proto::v1::{
    IssueChatLinkRequest, IssueChatLinkResponse, LinkOptions, RevokeTokenRequest,
    revoke_token_request::Target, token_service_client::TokenServiceClient,
};
use futures_util::StreamExt as _;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long the talk may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many words the agent says, and how long it waits before each for the one before to arrive.
const WORDS: usize = 3;
const ARRIVAL: Duration = Duration::from_secs(5);

/// Talks over a link of its own, and revokes it.
pub(super) async fn run(
    control: &Control,
    folder: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut tokens = TokenServiceClient::new(control.connect().await?);
    let request = IssueChatLinkRequest {
        folder: folder.to_owned(),
        jid_suffix: String::new(),
        options: Some(LinkOptions {
            name: "arizuko doctor".into(),
            lifetime: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..LinkOptions::default()
        }),
    };
    let issued = tokens.issue_chat_link(request).await;
    let issued = issued.map_err(|status| control.explain(status))?.into_inner();
    let talked = timeout(PATIENCE, talk(control, folder, &issued)).await;
    match talked {
        Ok(Ok(arrived)) => judge(arrived, report),
        Ok(Err(error)) => report.add(Level::Failure, "talk", format!("{error:#}"), ""),
        Err(_) => report.add(
            Level::Failure,
            "talk",
            format!("no reply came by {} within {} s", shown(&issued.url), PATIENCE.as_secs()),
            "see the gateway's and control's logs",
        ),
    }
    let target = Some(Target::TokenId(issued.token_id.clone()));
    let revoked = tokens.revoke_token(RevokeTokenRequest { target }).await;
    revoked.map_err(|status| control.explain(status))?;
    revocation(&issued.url, report).await
}

/// Attaches, posts, and reads. Tells whether each word arrived before the next one was said.
async fn talk(
    control: &Control,
    folder: &str,
    issued: &IssueChatLinkResponse,
) -> anyhow::Result<bool> {
    let (attached, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let _stop = stop.clone().drop_guard();
    let settings = Settings {
        folder: folder.to_owned(),
        name: "arizuko doctor".into(),
        concurrency: 1,
        history: 0,
        attached: attached.clone(),
        stop,
    };
    let heard = Arc::new(Semaphore::new(0));
    let held_back = Arc::new(AtomicBool::new(false));
    let agent = attach::run(control, settings, {
        let (heard, held_back) = (heard.clone(), held_back.clone());
        move |_: Turn, reply| speak(reply, heard.clone(), held_back.clone())
    });
    let visit = async {
        attached.notified().await;
        visit(&issued.url, &heard).await
    };
    tokio::select! {
        ended = agent => match ended {
            Ok(()) => bail!("our own agent ended before it was asked"),
            Err(error) => Err(error.context("our own agent can't attach")),
        },
        visited = visit => visited.map(|()| !held_back.load(Relaxed)),
    }
}

/// As an agent: says nothing more before the visitor has heard what was said.
async fn speak(
    reply: Reply,
    heard: Arc<Semaphore>,
    held_back: Arc<AtomicBool>,
) -> Result<(), Failure> {
    for _ in 0..WORDS {
        reply.delta("well ").await?;
        match timeout(ARRIVAL, heard.acquire()).await {
            // The semaphore is never closed.
            Ok(permit) => drop(permit.map(SemaphorePermit::forget)),
            Err(_) => {
                held_back.store(true, Relaxed);
                break;
            }
        }
    }
    Ok(())
}

/// As a visitor: posts, reads the stream, and deletes what was said.
async fn visit(url: &str, heard: &Semaphore) -> anyhow::Result<()> {
    let (client, base) = client(url)?;
    let posted = client.post(base.clone()).json(&json!({"content": "How are you?"}));
    let posted = posted.header("accept", "application/json").send().await;
    let posted =
        posted.map_err(|error| anyhow::anyhow!("the message was not taken: {}", cause(error)))?;
    let status = posted.status();
    let posted: Value = posted.json().await.unwrap_or_default();
    let turn = posted["turn_id"].as_str();
    let turn = turn.with_context(|| format!("the message was answered {status}: {posted}"))?;
    let stream = client.get(base.join(&format!("{turn}/sse"))?).send().await;
    let stream = stream.map_err(|error| anyhow::anyhow!("no stream: {}", cause(error)))?;
    let (mut events, mut bytes) = (Events::default(), stream.bytes_stream());
    let mut words = 0;
    'reading: while let Some(chunk) = bytes.next().await {
        let chunk = chunk.map_err(|error| anyhow::anyhow!("the stream broke: {}", cause(error)))?;
        for event in events.push(&chunk) {
            match event.name.as_str() {
                "delta" => {
                    words += 1;
                    heard.add_permits(1);
                }
                "turn_done" => break 'reading,
                _ => {}
            }
        }
    }
    anyhow::ensure!(words > 0, "the stream ended without a word of the reply");
    if let Some(conversation) = posted["conversation"].as_str() {
        // What is left of it otherwise goes with its retention.
        let _ = client.delete(base.join(&format!("c/{conversation}"))?).send().await;
    }
    Ok(())
}

fn judge(arrived: bool, report: &mut Report) {
    if arrived {
        report.ok("talk", "a message was answered, word by word as it was said");
    } else {
        report.add(
            Level::Failure,
            "talk",
            "the reply is held back on its way: words come only once more has been said",
            "turn buffering off in the proxy in front of the gateway for text/event-stream; see \
             deploy/",
        );
    }
}

/// The link has to be dead by now.
async fn revocation(url: &str, report: &mut Report) -> anyhow::Result<()> {
    let (client, base) = client(url)?;
    match client.get(base.join("config")?).send().await {
        Ok(answer) if answer.status() == 401 => {
            report.ok("revocation", "the link was dead as soon as it was revoked");
        }
        Ok(answer) => report.add(
            Level::Failure,
            "revocation",
            format!("a revoked link is answered {}", answer.status()),
            "something on the way caches: /chat/ and /hook/ must not be",
        ),
        Err(error) => report.add(Level::Failure, "revocation", cause(error), ""),
    }
    Ok(())
}

fn client(url: &str) -> anyhow::Result<(Client, Url)> {
    let base: Url = url.parse()?;
    let client = http::client(&base).read_timeout(PATIENCE).build()?;
    Ok((client, base))
}

/// A link without its token.
fn shown(url: &str) -> &str {
    url.split("/chat/").next().unwrap_or_default()
}
