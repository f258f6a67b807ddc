//! Follows a conversation live, whatever becomes of the connection.

use crate::{
    control::ControlError,
    speech::{RETRY, Speaker, is_final},
};
use arizuko_proto::{
    client::Backoff,
    v1::{FollowConversationRequest, FollowConversationResponse},
};
use tokio::time::sleep;
use tonic::Status;

/// News of a conversation that is followed.
pub enum Followed {
    /// The conversation so far. Comes first, and again when control was out of reach meanwhile.
    Begun(FollowConversationResponse),
    /// What has happened since.
    Went(FollowConversationResponse),
    /// Control refuses to go on.
    Ended(ControlError),
}

impl Speaker {
    /// Calls `heard` with what happens in a conversation, until control refuses to go on.
    pub async fn follow(&self, conversation: &str, heard: impl Fn(Followed)) {
        let mut backoff = Backoff::new(RETRY);
        loop {
            match self.follow_once(conversation, &heard, &mut backoff).await {
                Err(status) if is_final(&status) => {
                    return heard(Followed::Ended(self.control.explain(status)));
                }
                _ => sleep(backoff.wait()).await,
            }
        }
    }

    async fn follow_once(
        &self,
        conversation: &str,
        heard: &impl Fn(Followed),
        backoff: &mut Backoff,
    ) -> Result<(), Status> {
        let request = FollowConversationRequest {
            folder: self.folder.clone(),
            conversation: conversation.into(),
            limit: 0,
        };
        // If no control answers, nothing was refused: the caller tries again.
        let Ok(mut agents) = self.control.agents().await else { return Ok(()) };
        let mut responses = agents.follow_conversation(request).await?.into_inner();
        let mut is_first = true;
        while let Some(response) = responses.message().await? {
            *backoff = Backoff::new(RETRY);
            heard(match std::mem::take(&mut is_first) {
                true => Followed::Begun(response),
                false => Followed::Went(response),
            });
        }
        Ok(())
    }
}
