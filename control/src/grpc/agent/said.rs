//! What an agent says about an attempt: the messages that one commit stores together.

use arizuko_proto::v1::{AgentFrame, Append, Finish, agent_frame::Body, attach_request::Message};
use std::time::Duration;
use tokio::{sync::mpsc::Receiver, time::timeout};

/// A commit with this many frames takes no further Append, and no Finish.
const FRAMES_PER_COMMIT: usize = 256;
/// How long an Accept waits for what follows it, so that an agent that answers at once costs one
/// commit less.
const ACCEPT_WAITS: Duration = Duration::from_millis(10);

/// An Accept, the frames after it, and the Finish after the frames: at least one of the three.
#[derive(Default)]
pub(super) struct Said {
    pub(super) accept: bool,
    pub(super) append: Option<Append>,
    pub(super) finish: Option<Finish>,
}

impl Said {
    /// Collects `first` and the messages after it that one commit can store with it; after an
    /// Accept, waits a moment for them. Also returns the message that can't be in that commit, if
    /// one came.
    pub(super) async fn gather(
        first: Message,
        messages: &mut Receiver<Message>,
    ) -> (Self, Option<Message>) {
        let mut said = Self::default();
        let mut next = Some(first);
        while let Some(message) = next {
            if let Some(other) = said.add(message) {
                return (said, Some(other));
            }
            next = match &said {
                Self { finish: Some(_), .. } => None,
                Self { append: Some(_), .. } => messages.try_recv().ok(),
                _ => timeout(ACCEPT_WAITS, messages.recv()).await.ok().flatten(),
            };
        }
        (said, None)
    }

    /// Adds a message, or returns it if it doesn't follow what was said.
    fn add(&mut self, message: Message) -> Option<Message> {
        match (message, &mut self.append) {
            (Message::Accept(_), None) => self.accept = true,
            (Message::Append(append), None) => self.append = Some(append),
            (Message::Append(append), Some(before)) if may_follow(before, append.seq) => {
                before.frames.extend(append.frames);
            }
            (Message::Finish(finish), None) => self.finish = Some(finish),
            (Message::Finish(finish), Some(before)) if may_follow(before, finish.seq) => {
                self.finish = Some(finish);
            }
            (other, _) => return Some(other),
        }
        None
    }

    /// Whether it has the first frame of an attempt.
    pub(super) fn has_first_frame(&self) -> bool {
        self.append.as_ref().is_some_and(|append| append.seq == 1)
    }
}

/// Whether a message whose number is `seq` follows the frames directly. Nothing follows a handoff,
/// or frames that fill a commit.
fn may_follow(append: &Append, seq: u64) -> bool {
    let next = append.seq.checked_add(append.frames.len() as u64);
    next == Some(seq)
        && append.frames.len() < FRAMES_PER_COMMIT
        && !append.frames.last().is_some_and(is_handoff)
}

pub(super) fn is_handoff(frame: &AgentFrame) -> bool {
    matches!(frame.body, Some(Body::Handoff(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arizuko_proto::v1::{Accept, AgentDelta, Handoff, Reject};
    use tokio::sync::mpsc::channel;

    fn append(seq: u64, bodies: Vec<Body>) -> Message {
        let frames = bodies.into_iter().map(|body| AgentFrame { body: Some(body) }).collect();
        Message::Append(Append { seq, frames, ..Append::default() })
    }

    fn delta() -> Body {
        Body::Delta(AgentDelta::default())
    }

    fn finish(seq: u64) -> Message {
        Message::Finish(Finish { seq, ..Finish::default() })
    }

    /// Gathers from these messages. Returns how many frames came together, whether a Finish came
    /// with them, and whether another message was left over.
    async fn gathered(said: Vec<Message>) -> (usize, bool, bool) {
        let (sender, mut messages) = channel(said.len());
        for message in said {
            sender.try_send(message).expect("there is room");
        }
        let first = messages.recv().await.expect("there is one");
        let (said, next) = Said::gather(first, &mut messages).await;
        (said.append.map_or(0, |append| append.frames.len()), said.finish.is_some(), next.is_some())
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_comes_together_and_what_does_not_is_left() {
        let accept = || Message::Accept(Accept::default());
        let two = || append(1, vec![delta(), delta()]);
        let all = vec![accept(), two(), append(3, vec![delta()]), finish(4)];
        assert_eq!(gathered(all).await, (3, true, false));
        assert_eq!(gathered(vec![accept()]).await, (0, false, false));
        assert_eq!(gathered(vec![accept(), finish(1)]).await, (0, true, false));
        assert_eq!(gathered(vec![two(), append(4, vec![delta()])]).await, (2, false, true));
        assert_eq!(gathered(vec![two(), finish(4)]).await, (2, false, true));
        assert_eq!(gathered(vec![two(), accept()]).await, (2, false, true));
        let reject = Message::Reject(Reject::default());
        assert_eq!(gathered(vec![accept(), reject]).await, (0, false, true));
        let handoff = append(1, vec![delta(), Body::Handoff(Handoff::default())]);
        assert_eq!(gathered(vec![handoff, finish(3)]).await, (2, false, true));
        let most = append(1, vec![delta(); FRAMES_PER_COMMIT]);
        let next = append(1 + FRAMES_PER_COMMIT as u64, vec![delta()]);
        assert_eq!(gathered(vec![most, next]).await, (FRAMES_PER_COMMIT, false, true));
    }
}
