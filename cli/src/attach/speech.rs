//! What is done to a conversation without a turn of it: somebody speaks first, says whose it is
//! from now on, or reads it. All of it is safe to repeat, and is repeated while control is away.

use crate::control::{self, Authorized, Control};
use anyhow::anyhow;
use arizuko_proto::v1::{
    AssignConversationRequest, Message, ReadConversationRequest, SendMessageRequest,
    agent_service_client::AgentServiceClient,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use tonic::{Code, Response, Status};

/// How long a call is tried.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait before a try.
const PAUSE: Duration = Duration::from_millis(300);
/// A frame has at most 64 KiB; this leaves room for what is in it besides the text.
const MAX_MESSAGE: usize = 60 << 10;

/// Speaks for a folder.
pub(crate) struct Speaker {
    control: Arc<Control>,
    /// Empty: the key's.
    folder: String,
}

impl Speaker {
    pub(crate) fn new(control: Arc<Control>, folder: String) -> Self {
        Self { control, folder }
    }

    /// Adds a message to a conversation, by the person of that name or by the agent. Gives the
    /// turn's id. The key makes a repeat the same message.
    pub(crate) async fn say(
        &self,
        conversation: &str,
        content: &str,
        name: &str,
        idempotency_key: &str,
    ) -> anyhow::Result<String> {
        let request = SendMessageRequest {
            folder: self.folder.clone(),
            conversation: conversation.into(),
            content: content.into(),
            name: name.into(),
            idempotency_key: idempotency_key.into(),
        };
        let call = async |mut agent: Agent| agent.send_message(request.clone()).await;
        Ok(self.call(call).await?.turn_id)
    }

    /// Says whose the conversation is from its next message on; empty: where its route leads.
    pub(crate) async fn assign(
        &self,
        conversation: &str,
        to: &str,
        note: &str,
    ) -> anyhow::Result<()> {
        let request = AssignConversationRequest {
            folder: self.folder.clone(),
            conversation: conversation.into(),
            to: to.into(),
            note: note.into(),
        };
        let call = async |mut agent: Agent| agent.assign_conversation(request.clone()).await;
        self.call(call).await.map(drop)
    }

    /// The newest messages of a conversation, the oldest first.
    pub(crate) async fn read(
        &self,
        conversation: &str,
        limit: u32,
    ) -> anyhow::Result<Vec<Message>> {
        let request = ReadConversationRequest {
            folder: self.folder.clone(),
            conversation: conversation.into(),
            limit,
        };
        let call = async |mut agent: Agent| agent.read_conversation(request.clone()).await;
        Ok(self.call(call).await?.messages)
    }

    /// Calls until control decides, or for as long as our patience lasts.
    async fn call<T>(
        &self,
        call: impl AsyncFn(Agent) -> Result<Response<T>, Status>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        loop {
            let problem = match self.control.connect().await {
                Ok(channel) => {
                    let agent = AgentServiceClient::new(channel)
                        .max_decoding_message_size(control::MAX_RESPONSE);
                    match call(agent).await {
                        Ok(answer) => return Ok(answer.into_inner()),
                        Err(status) if is_final(&status) => {
                            return Err(self.control.explain(status));
                        }
                        Err(status) => self.control.explain(status),
                    }
                }
                Err(problem) => problem,
            };
            if begun.elapsed() > PATIENCE {
                return Err(problem);
            }
            sleep(PAUSE).await;
        }
    }
}

type Agent = AgentServiceClient<Authorized>;

/// Says whether a repeat would be refused as well.
fn is_final(status: &Status) -> bool {
    match control::reason(status).as_deref() {
        Some(reason) => !matches!(reason, "UNAVAILABLE" | "OUTCOME_UNKNOWN"),
        None => status.code() == Code::Unimplemented,
    }
}

/// A text as messages: one, unless it is too long for that; then it is cut where a line ends, or a
/// word, or anywhere.
pub(crate) fn messages(text: &str) -> Vec<&str> {
    let (mut messages, mut rest) = (Vec::new(), text.trim());
    while rest.len() > MAX_MESSAGE {
        let most = &rest[..rest.floor_char_boundary(MAX_MESSAGE)];
        let end = most.rfind('\n').or_else(|| most.rfind(' '));
        let (message, after) = rest.split_at(end.filter(|end| *end > 0).unwrap_or(most.len()));
        messages.push(message.trim_end());
        rest = after.trim_start();
    }
    if !rest.is_empty() {
        messages.push(rest);
    }
    messages
}

/// A key that no other message has.
pub(crate) fn new_key() -> anyhow::Result<String> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| anyhow!("no random bytes: {error}"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_where_lines_or_words_end() {
        assert_eq!(messages(" hello\nyou \n"), ["hello\nyou"]);
        assert_eq!(messages(" \n"), [""; 0]);
        let line = "é".repeat(20_000);
        let text = format!("{line}\n{line} {line}");
        assert_eq!(messages(&text), [&line, &format!("{line} ")[..40_000], &line]);
        let solid = "é".repeat(50_000);
        assert_eq!(messages(&solid).concat(), solid);
    }
}
