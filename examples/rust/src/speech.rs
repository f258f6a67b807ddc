//! Calls about a conversation that need no turn: send a message, assign the conversation, read it,
//! leave a note. They are safe to repeat, and are repeated while control is out of reach.

use crate::control::{Control, ControlError};
use arizuko_proto::{
    client::{Backoff, Channel},
    v1::{
        AssignConversationRequest, ErrorReason, NoteConversationRequest, ReadConversationRequest,
        ReadConversationResponse, SendMessageRequest, SendMessageResponse,
        agent_service_client::AgentServiceClient,
    },
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{ops::Range, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use tonic::{Code, Response, Status};

/// How long a call that fails is retried.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait before the next try: at first, and at most.
pub(crate) const RETRY: Range<Duration> = Duration::from_millis(200)..Duration::from_secs(1);
/// How many bytes a message may have: the 64 KiB of a frame, minus room for the frame's other
/// fields.
const MAX_MESSAGE_BYTES: usize = 60 << 10;

/// Makes the calls of this module for a folder.
pub struct Speaker {
    pub(crate) control: Arc<Control>,
    /// Empty: the key's folder.
    pub(crate) folder: String,
}

impl Speaker {
    /// Makes calls for a folder; empty: the key's folder.
    pub fn new(control: Arc<Control>, folder: String) -> Self {
        Self { control, folder }
    }

    /// Sends a message from this folder, whatever `message` has as its folder.
    ///
    /// # Errors
    ///
    /// Control refuses it, or no control answers.
    pub async fn send(
        &self,
        message: SendMessageRequest,
    ) -> Result<SendMessageResponse, ControlError> {
        let request = SendMessageRequest { folder: self.folder.clone(), ..message };
        let call = |mut agents: Agents| {
            let request = request.clone();
            async move { agents.send_message(request).await }
        };
        self.call(call).await
    }

    /// Assigns a conversation to this folder, and makes a person its holder.
    ///
    /// # Errors
    ///
    /// Control refuses it, or no control answers.
    pub async fn take(&self, conversation: &str, name: &str) -> Result<(), ControlError> {
        self.reassign(conversation, &self.folder, "", name).await.map(drop)
    }

    /// Assigns a conversation to the folder `to`, which gets its queued turns and later messages.
    /// If `to` is empty, the route decides again. Returns `to` if nobody is attached to it, unless
    /// it is the folder that the route names.
    ///
    /// # Errors
    ///
    /// Control refuses it, or no control answers.
    pub async fn assign(
        &self,
        conversation: &str,
        to: &str,
        note: &str,
    ) -> Result<Option<String>, ControlError> {
        self.reassign(conversation, to, note, "").await
    }

    async fn reassign(
        &self,
        conversation: &str,
        to: &str,
        note: &str,
        name: &str,
    ) -> Result<Option<String>, ControlError> {
        let request = AssignConversationRequest {
            folder: self.folder.clone(),
            conversation: conversation.into(),
            to: to.into(),
            note: note.into(),
            name: name.into(),
        };
        let call = |mut agents: Agents| {
            let request = request.clone();
            async move { agents.assign_conversation(request).await }
        };
        let assigned = self.call(call).await?;
        Ok(Some(assigned.unattended).filter(|folder| !folder.is_empty()))
    }

    /// Adds a person's note for those who answer the conversation later.
    ///
    /// # Errors
    ///
    /// Control refuses it, or no control answers.
    pub async fn note(
        &self,
        conversation: &str,
        name: &str,
        text: &str,
    ) -> Result<(), ControlError> {
        let request = NoteConversationRequest {
            folder: self.folder.clone(),
            conversation: conversation.into(),
            name: name.into(),
            text: text.into(),
        };
        let call = |mut agents: Agents| {
            let request = request.clone();
            async move { agents.note_conversation(request).await }
        };
        self.call(call).await.map(drop)
    }

    /// Returns the notes and the newest messages of a conversation, up to `limit` messages.
    ///
    /// # Errors
    ///
    /// Control refuses it, or no control answers.
    pub async fn read(
        &self,
        conversation: &str,
        limit: u32,
    ) -> Result<ReadConversationResponse, ControlError> {
        let request = ReadConversationRequest {
            folder: self.folder.clone(),
            conversation: conversation.into(),
            limit,
        };
        let call = |mut agents: Agents| {
            let request = request.clone();
            async move { agents.read_conversation(request).await }
        };
        self.call(call).await
    }

    /// Repeats a call until control answers it, or until [`PATIENCE`] is over.
    async fn call<T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        call: impl Fn(Agents) -> F,
    ) -> Result<T, ControlError> {
        let give_up_at = Instant::now() + PATIENCE;
        let mut backoff = Backoff::new(RETRY);
        loop {
            let problem = match self.control.agents().await {
                Ok(agents) => {
                    let called = call(agents).await;
                    let is_final = called.as_ref().err().is_none_or(is_final);
                    match self.control.answer(called) {
                        Err(problem) if !is_final => problem,
                        answer => return answer,
                    }
                }
                Err(problem) => problem,
            };
            if Instant::now() > give_up_at {
                return Err(problem);
            }
            sleep(backoff.wait()).await;
        }
    }
}

impl Control {
    /// Sends a message without being asked. Returns the turn's id.
    ///
    /// # Errors
    ///
    /// Control refuses it, or no control answers for 20 seconds.
    pub async fn send_message(
        self: &Arc<Self>,
        conversation: &str,
        content: &str,
    ) -> Result<String, ControlError> {
        let message = SendMessageRequest {
            conversation: conversation.to_owned(),
            content: content.to_owned(),
            idempotency_key: new_key()?,
            ..SendMessageRequest::default()
        };
        let sent = Speaker::new(Arc::clone(self), String::new()).send(message).await?;
        Ok(sent.turn_id)
    }
}

type Agents = AgentServiceClient<Channel>;

/// Says whether control would refuse a repeat as well.
pub(crate) fn is_final(status: &Status) -> bool {
    match ErrorReason::of(status) {
        Some(reason) => !matches!(reason, ErrorReason::Unavailable | ErrorReason::OutcomeUnknown),
        None => status.code() == Code::Unimplemented,
    }
}

/// Cuts a text into messages: none if it is blank, one if it is short enough. A longer text is cut
/// where a line ends, or else where a word ends, or else anywhere.
pub fn messages(text: &str) -> Vec<&str> {
    let (mut messages, mut rest) = (Vec::new(), text.trim());
    while rest.len() > MAX_MESSAGE_BYTES {
        let most = &rest[..rest.floor_char_boundary(MAX_MESSAGE_BYTES)];
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

/// Returns a random idempotency key.
///
/// # Errors
///
/// The system has no random bytes.
pub fn new_key() -> Result<String, ControlError> {
    let mut key = [0; 16];
    getrandom::fill(&mut key)
        .map_err(|error| ControlError::new(format!("no random bytes: {error}")))?;
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
