//! A conversation that is followed: its messages, as its frames make them.

use arizuko_proto::v1::{
    Author, Conversation, FollowConversationResponse, Frame, Message, frame::Body,
};
use std::{collections::HashSet, mem, time::SystemTime};
use tokio_util::task::AbortOnDropHandle;

pub(super) struct Thread {
    pub(super) conversation: String,
    /// Who the visitor is, and what people have noted.
    pub(super) about: Conversation,
    pub(super) messages: Vec<Message>,
    /// What an agent or a person is doing.
    pub(super) status: String,
    /// How many of the messages stay if the turn begins again.
    kept: usize,
    /// The ids of the messages of which only parts have come so far.
    unfinished: HashSet<String>,
    /// The ids of the messages that [`Self::news`] has returned.
    told: HashSet<String>,
    /// The task that follows the conversation, until this is dropped.
    _following: AbortOnDropHandle<()>,
}

impl Thread {
    /// Begins without messages. The task `following` brings them.
    pub(super) fn new(conversation: String, following: AbortOnDropHandle<()>) -> Self {
        Self {
            conversation,
            about: Conversation::default(),
            messages: Vec::new(),
            status: String::new(),
            kept: 0,
            unfinished: HashSet::new(),
            told: HashSet::new(),
            _following: following,
        }
    }

    /// Starts over with the conversation as control sends it.
    pub(super) fn begin(&mut self, begun: FollowConversationResponse) {
        self.messages.clear();
        self.unfinished.clear();
        self.status.clear();
        self.go_on(begun);
    }

    pub(super) fn go_on(&mut self, went: FollowConversationResponse) {
        self.about = went.conversation.unwrap_or(mem::take(&mut self.about));
        self.messages.extend(went.messages);
        for frame in went.frames {
            self.apply(frame);
        }
    }

    /// Returns the whole messages that were not returned before.
    pub(super) fn news(&mut self) -> Vec<Message> {
        let whole = self.messages.iter().filter(|message| !self.unfinished.contains(&message.id));
        whole.filter(|message| self.told.insert(message.id.clone())).cloned().collect()
    }

    fn apply(&mut self, Frame { turn_id, body, .. }: Frame) {
        match body {
            Some(Body::User(message)) => {
                self.kept = 0;
                self.put(message);
            }
            Some(Body::Message(message)) => self.put(message),
            Some(Body::Delta(delta)) => {
                let mut messages = self.messages.iter_mut();
                if let Some(message) = messages.find(|message| message.id == delta.id) {
                    message.content += &delta.text;
                    return;
                }
                self.unfinished.insert(delta.id.clone());
                self.messages.push(says(delta.id, turn_id, delta.text));
            }
            Some(Body::Status(status)) => self.status = status.text,
            Some(Body::Restart(restart)) => {
                let mut index = 0;
                self.messages.retain(|message| {
                    index += 1;
                    let is_before = index <= self.kept || message.author() == Author::User;
                    restart.keep || is_before || message.turn_id != turn_id
                });
                self.kept = self.messages.len();
                self.status.clear();
            }
            Some(Body::TurnDone(done)) => {
                self.status.clear();
                let messages = self.messages.iter().filter(|message| message.turn_id == turn_id);
                for message in messages {
                    self.unfinished.remove(&message.id);
                }
                if !done.error.is_empty() {
                    self.messages.push(says(format!("{turn_id}.end"), turn_id, done.error));
                }
            }
            Some(Body::Title(title)) => self.about.title = title.text,
            Some(Body::Rated(_)) | None => {}
        }
    }

    /// Adds a whole message, in place of its parts.
    fn put(&mut self, message: Message) {
        self.unfinished.remove(&message.id);
        match self.messages.iter_mut().find(|known| known.id == message.id) {
            Some(known) => *known = message,
            None => self.messages.push(message),
        }
    }
}

/// Returns an agent's message, dated now.
fn says(id: String, turn_id: String, content: String) -> Message {
    let (author, created_at) = (Author::Assistant.into(), Some(SystemTime::now().into()));
    Message { id, turn_id, author, content, created_at, ..Message::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arizuko_proto::v1::frame::{Delta, Restart, TurnDone};

    fn frame(body: Body) -> FollowConversationResponse {
        let frames = vec![Frame { turn_id: "t".into(), body: Some(body), ..Frame::default() }];
        FollowConversationResponse { frames, ..FollowConversationResponse::default() }
    }

    fn delta(id: &str, text: &str) -> FollowConversationResponse {
        frame(Body::Delta(Delta { id: id.into(), text: text.into() }))
    }

    fn told(thread: &mut Thread) -> Vec<String> {
        thread.news().into_iter().map(|message| message.content).collect()
    }

    #[tokio::test]
    async fn messages_are_told_once_when_they_are_whole_and_again_only_if_they_are_new() {
        let following = AbortOnDropHandle::new(tokio::spawn(async {}));
        let mut thread = Thread::new("c".into(), following);
        let user = Message {
            id: "u".into(),
            content: "hi".into(),
            ..says("u".into(), "t".into(), String::new())
        };
        let user = Message { author: Author::User.into(), ..user };
        thread.begin(frame(Body::User(user.clone())));
        assert_eq!(told(&mut thread), ["hi"]);
        thread.go_on(delta("1", "Good "));
        thread.go_on(delta("1", "day"));
        assert!(told(&mut thread).is_empty());
        assert_eq!(thread.messages[1].content, "Good day");
        // Another attempt begins without what the first one said.
        thread.go_on(frame(Body::Restart(Restart { attempt: 2, keep: false })));
        assert_eq!(thread.messages.len(), 1);
        thread.go_on(delta("2", "Hello"));
        thread.go_on(frame(Body::Restart(Restart { attempt: 3, keep: true })));
        thread.go_on(delta("3", "you"));
        thread.go_on(frame(Body::TurnDone(TurnDone::default())));
        assert_eq!(told(&mut thread), ["Hello", "you"]);
        thread.begin(frame(Body::User(user)));
        assert_eq!((told(&mut thread).len(), thread.messages.len()), (0, 1));
    }
}
