//! Tries a chat: issues a link for a minute, attaches an agent, posts a message, revokes the link.

use super::report::{Level, Report};
use crate::{
    attach::{self, Failure, Reply, Settings, Turn},
    control::Control,
    http::{self, cause},
    sse::SseReader,
};
use anyhow::{Context as _, bail};
use arizuko_proto::v1::{
    IssueChatLinkRequest, IssueChatLinkResponse, LinkOptions, RevokeTokenRequest,
    revoke_token_request::Target,
};
use futures_util::StreamExt as _;
use reqwest::{Client, StatusCode, Url};
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

/// How long the chat may take.
const CHAT_TIMEOUT: Duration = Duration::from_secs(20);
/// How many words the agent writes, if each arrives in time.
const WORDS: usize = 3;
/// How long the agent waits for a word to arrive before it writes the next.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Chats over a new link, revokes the link, and checks that the gateway refuses it.
pub(super) async fn run(
    control: &Control,
    folder: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut tokens = control.tokens().await?;
    let request = IssueChatLinkRequest {
        folder: folder.to_owned(),
        jid_suffix: String::new(),
        options: Some(LinkOptions {
            name: "arizuko doctor".into(),
            lifetime: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..LinkOptions::default()
        }),
    };
    let issued = control.answer(tokens.issue_chat_link(request).await)?;
    match timeout(CHAT_TIMEOUT, chat(control, folder, &issued)).await {
        Ok(Ok(is_prompt)) => judge(is_prompt, report),
        Ok(Err(error)) => report.add(Level::Failure, "talk", format!("{error:#}"), ""),
        Err(_) => report.add(
            Level::Failure,
            "talk",
            format!("no reply came over {} in {} s", shown(&issued.url), CHAT_TIMEOUT.as_secs()),
            "see the gateway's and control's logs",
        ),
    }
    let target = Some(Target::TokenId(issued.token_id.clone()));
    control.answer(tokens.revoke_token(RevokeTokenRequest { target, dry_run: false }).await)?;
    check_revoked(&issued.url, report).await
}

/// Attaches an agent, posts a message and reads the reply. Says whether each word arrived before
/// the agent wrote the next one.
async fn chat(
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
    let arrived = Arc::new(Semaphore::new(0));
    let is_late = Arc::new(AtomicBool::new(false));
    let agent = attach::run(control, settings, {
        let (arrived, is_late) = (arrived.clone(), is_late.clone());
        move |_: Turn, reply| answer(reply, arrived.clone(), is_late.clone())
    });
    let visit = async {
        attached.notified().await;
        visit(&issued.url, &arrived).await
    };
    tokio::select! {
        ended = agent => match ended {
            Ok(()) => bail!("the doctor's agent ended before it was asked"),
            Err(error) => Err(anyhow::Error::from(error).context("the doctor's agent cannot attach")),
        },
        visited = visit => visited.map(|()| !is_late.load(Relaxed)),
    }
}

/// Answers as the agent: writes each word once the word before it has arrived.
async fn answer(
    reply: Reply,
    arrived: Arc<Semaphore>,
    is_late: Arc<AtomicBool>,
) -> Result<(), Failure> {
    for _ in 0..WORDS {
        reply.write("well ").await?;
        match timeout(ARRIVAL_TIMEOUT, arrived.acquire()).await {
            // The semaphore is never closed.
            Ok(permit) => drop(permit.map(SemaphorePermit::forget)),
            Err(_) => {
                is_late.store(true, Relaxed);
                break;
            }
        }
    }
    Ok(())
}

/// Visits the link: posts a message, reads the stream, and deletes the conversation.
async fn visit(url: &str, arrived: &Semaphore) -> anyhow::Result<()> {
    let (client, base) = client(url)?;
    let posted = client.post(base.clone()).json(&json!({"content": "How are you?"}));
    let posted = posted.header("accept", "application/json").send().await;
    let posted = posted
        .map_err(|error| anyhow::anyhow!("the message was not accepted: {}", cause(error)))?;
    let status = posted.status();
    if status == StatusCode::UNAUTHORIZED {
        let beginning = shown(url);
        bail!(
            "another installation answers at {beginning}: it doesn't know a link that was just issued. \
               Check where that name leads, and the gateway's --control"
        );
    }
    let posted: Value = posted.json().await.unwrap_or_default();
    let turn = posted["turn_id"].as_str();
    let turn = turn.with_context(|| format!("the message was answered {status}: {posted}"))?;
    let stream = client.get(base.join(&format!("{turn}/sse"))?).send().await;
    let stream = stream
        .map_err(|error| anyhow::anyhow!("cannot open the event stream: {}", cause(error)))?;
    let (mut events, mut bytes) = (SseReader::default(), stream.bytes_stream());
    let mut words = 0;
    'reading: while let Some(chunk) = bytes.next().await {
        let chunk =
            chunk.map_err(|error| anyhow::anyhow!("the event stream broke: {}", cause(error)))?;
        for event in events.push(&chunk) {
            match event.name.as_str() {
                "delta" => {
                    words += 1;
                    arrived.add_permits(1);
                }
                "turn_done" => break 'reading,
                _ => {}
            }
        }
    }
    anyhow::ensure!(words > 0, "the event stream ended without a word of the reply");
    if let Some(conversation) = posted["conversation"].as_str() {
        // If this fails, retention deletes the conversation later.
        let _ = client.delete(base.join(&format!("c/{conversation}"))?).send().await;
    }
    Ok(())
}

fn judge(is_prompt: bool, report: &mut Report) {
    if is_prompt {
        report.ok("talk", "a message was answered, word by word as the agent wrote it");
    } else {
        report.add(
            Level::Failure,
            "talk",
            "something buffers the reply: words arrive only after the agent has written more",
            "turn buffering off in the proxy in front of the gateway for text/event-stream; see \
             deploy/",
        );
    }
}

/// Checks that the gateway refuses the revoked link.
async fn check_revoked(url: &str, report: &mut Report) -> anyhow::Result<()> {
    let (client, base) = client(url)?;
    match client.get(base.join("config")?).send().await {
        Ok(answer) if answer.status() == 401 => {
            report.ok("revocation", "the link ended as soon as it was revoked");
        }
        Ok(answer) => report.add(
            Level::Failure,
            "revocation",
            format!("a revoked link answers {}", answer.status()),
            "a proxy or CDN caches /chat/ or /hook/: turn caching off for both",
        ),
        Err(error) => report.add(Level::Failure, "revocation", cause(error), ""),
    }
    Ok(())
}

fn client(url: &str) -> anyhow::Result<(Client, Url)> {
    let base: Url = url.parse()?;
    let client = http::client(&base).read_timeout(CHAT_TIMEOUT).build()?;
    Ok((client, base))
}

/// Returns the beginning of a link, before its token.
fn shown(url: &str) -> &str {
    url.split("/chat/").next().unwrap_or_default()
}
