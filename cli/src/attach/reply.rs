//! What a handler writes, and how it becomes frames: tiny writes are gathered, long ones are cut.

use super::held::{Ending, Work};
use arizuko_proto::v1::{AgentDelta, AgentFrame, AgentMessage, Handoff, agent_frame::Body};
use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// What is written within this time goes as one frame …
const GATHER_TIME: Duration = Duration::from_millis(15);
/// … or as soon as it is this much.
const GATHER_BYTES: usize = 32 << 10;
/// A frame has at most 64 KiB; this leaves room for what is in it besides the text.
const MAX_TEXT: usize = (64 << 10) - 512;

/// The way back to the visitor. Every call waits while too much of the reply is on its way.
#[derive(Clone)]
pub(crate) struct Reply {
    pieces: mpsc::Sender<Piece>,
    cancelled: CancellationToken,
    ending: Arc<OnceLock<Ending>>,
}

/// Why a turn was not answered.
#[derive(Debug)]
pub(crate) struct Failure {
    /// A sentence for the visitor.
    pub(crate) error: String,
    /// For the operator alone.
    pub(crate) detail: String,
}

/// Nobody wants the rest of the reply: the turn was cancelled, or is another agent's by now.
#[derive(Debug)]
pub(crate) struct Gone;

/// What a handler writes at a time.
enum Piece {
    Delta(String),
    Message(String),
    Status(String),
    Handoff(Handoff),
}

impl Failure {
    /// A failure of which the visitor learns no more than that.
    pub(crate) fn new(detail: impl Into<String>) -> Self {
        Self { error: "The agent could not answer.".into(), detail: detail.into() }
    }
}

impl From<Gone> for Failure {
    fn from(Gone: Gone) -> Self {
        Self::new("the turn was cancelled")
    }
}

impl Reply {
    /// Appends to the message under way, which the first delta begins.
    pub(crate) async fn delta(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.send(Piece::Delta(text.into())).await
    }

    /// Ends the message under way with its finished form, or is a whole one by itself.
    pub(crate) async fn message(&self, content: impl Into<String>) -> Result<(), Gone> {
        self.send(Piece::Message(content.into())).await
    }

    /// Says what the agent is doing.
    pub(crate) async fn status(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.send(Piece::Status(text.into())).await
    }

    /// Hands the turn to another folder, which goes on after what was said: the last thing to be
    /// done with it. See [`check_handoff`].
    pub(crate) async fn hand_off(&self, handoff: Handoff) -> Result<(), Gone> {
        self.send(Piece::Handoff(handoff)).await
    }

    /// Waits until control is done with the turn, and says how it came to that. It can be waited
    /// for without the reply: a reply that is kept is not complete.
    pub(crate) fn ended(&self) -> impl Future<Output = Ending> + Send + use<> {
        let (cancelled, ending) = (self.cancelled.clone(), Arc::clone(&self.ending));
        async move {
            cancelled.cancelled().await;
            // Without an ending it was ended here.
            let too_long = || Ending::Lost("the reply was too long".into());
            ending.get().cloned().unwrap_or_else(too_long)
        }
    }

    /// Waits until nobody wants the reply any more.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Says whether that is so by now.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    async fn send(&self, piece: Piece) -> Result<(), Gone> {
        self.pieces.send(piece).await.map_err(|_| Gone)
    }
}

/// Says what is wrong with handing something of folder `from` to folder `to`: control takes such a
/// frame for a broken agent's.
pub(crate) fn check_handoff(from: &str, to: &str) -> Result<(), String> {
    let root = |folder: &str| folder.split('/').next().map(String::from);
    folder(to)?;
    match root(from) == root(to) {
        true => Ok(()),
        false => Err(format!(
            "{to} is no folder beside {from}: what is handed over stays in its root folder"
        )),
    }
}

/// Reads the name of a folder.
pub(crate) fn folder(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let fits = |segment: &str| (1..=63).contains(&segment.len()) && segment.chars().all(plain);
    let segments: Vec<_> = text.split('/').collect();
    match segments.len() <= 8 && segments.into_iter().all(fits) {
        true => Ok(text.into()),
        false => Err("a folder looks like acme or acme/people".into()),
    }
}

/// A reply, and the frames that it becomes.
pub(super) fn channel(work: &Work) -> (Reply, Frames) {
    let (sender, pieces) = mpsc::channel(16);
    let frames = Frames {
        pieces,
        ended: false,
        due: VecDeque::new(),
        number: 1,
        begun: false,
        text: String::new(),
        deadline: Instant::now(),
    };
    (
        Reply {
            pieces: sender,
            cancelled: work.cancelled.clone(),
            ending: Arc::clone(&work.ending),
        },
        frames,
    )
}

/// The frames of a reply, as they become due.
pub(super) struct Frames {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
    due: VecDeque<AgentFrame>,
    /// The message under way: its number, whether a frame of it was made, and what is in none yet.
    number: u32,
    begun: bool,
    text: String,
    /// When that text is due.
    deadline: Instant,
}

impl Frames {
    /// The next frame; `None` once the handler has ended.
    pub(super) async fn next(&mut self) -> Option<AgentFrame> {
        while self.due.is_empty() && !self.ended {
            tokio::select! {
                piece = self.pieces.recv() => self.take(piece),
                () = sleep_until(self.deadline), if !self.text.is_empty() => self.flush(),
            }
        }
        self.due.pop_front()
    }

    fn take(&mut self, piece: Option<Piece>) {
        match piece {
            Some(Piece::Delta(text)) => {
                if self.text.is_empty() {
                    self.deadline = Instant::now() + GATHER_TIME;
                }
                self.text += &text;
                if self.text.len() >= GATHER_BYTES {
                    self.flush();
                }
            }
            Some(Piece::Message(content)) => self.complete(content),
            Some(Piece::Status(mut text)) => {
                self.flush();
                text.truncate(text.floor_char_boundary(MAX_TEXT));
                self.due.push_back(frame(Body::Status(text)));
            }
            Some(Piece::Handoff(handoff)) => {
                self.flush();
                self.due.push_back(frame(Body::Handoff(handoff)));
            }
            None => {
                self.flush();
                self.ended = true;
            }
        }
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(rest.floor_char_boundary(MAX_TEXT));
            let (id, text) = (self.id(), head.to_owned());
            self.due.push_back(frame(Body::Delta(AgentDelta { id, text })));
            self.begun = true;
            rest = tail;
        }
    }

    /// A finished form that is too long for a frame is left out: the deltas say the same.
    fn complete(&mut self, content: String) {
        if content.len() <= MAX_TEXT {
            // It stands for what is not sent yet, too.
            self.text.clear();
            let id = self.id();
            self.due.push_back(frame(Body::Message(AgentMessage { id, content })));
        } else {
            if !self.begun && self.text.is_empty() {
                self.text = content;
            }
            self.flush();
        }
        self.number += 1;
        self.begun = false;
    }

    fn id(&self) -> String {
        format!("m{}", self.number)
    }
}

fn frame(body: Body) -> AgentFrame {
    AgentFrame { body: Some(body) }
}

#[cfg(test)]
mod tests {
    use super::{
        super::held::{Held, Hold},
        *,
    };

    /// What `pieces` become, as short words.
    async fn frames(pieces: Vec<Piece>) -> Vec<String> {
        let hold = Hold { turn_id: "a".into(), attempt: 1 };
        let (reply, mut frames) = channel(&Held::new(hold).work);
        let write = async move {
            for piece in pieces {
                reply.send(piece).await.unwrap();
            }
        };
        let read = async {
            let mut words = Vec::new();
            while let Some(frame) = frames.next().await {
                words.push(match frame.body.unwrap() {
                    Body::Delta(delta) => format!("{}+{}", delta.id, delta.text),
                    Body::Message(message) => format!("{}={}", message.id, message.content),
                    Body::Status(text) => format!("~{text}"),
                    Body::Handoff(handoff) => format!("->{}", handoff.folder),
                });
            }
            words
        };
        tokio::join!(write, read).1
    }

    fn delta(text: &str) -> Piece {
        Piece::Delta(text.into())
    }

    #[tokio::test]
    async fn tiny_writes_are_one_frame() {
        assert_eq!(frames(vec![delta("a"), delta("b"), delta("c")]).await, ["m1+abc"]);
    }

    #[tokio::test]
    async fn a_status_keeps_its_place() {
        let pieces = vec![delta("a"), Piece::Status("thinking".into()), delta("b")];
        assert_eq!(frames(pieces).await, ["m1+a", "~thinking", "m1+b"]);
    }

    #[tokio::test]
    async fn a_finished_message_begins_another() {
        let pieces = vec![Piece::Message("one".into()), delta("two")];
        assert_eq!(frames(pieces).await, ["m1=one", "m2+two"]);
    }

    #[tokio::test]
    async fn a_handoff_comes_after_all_that_was_said() {
        let handoff = Handoff { folder: "acme/people".into(), ..Handoff::default() };
        let pieces = vec![delta("a"), Piece::Handoff(handoff)];
        assert_eq!(frames(pieces).await, ["m1+a", "->acme/people"]);
    }

    #[test]
    fn a_handoff_stays_in_its_root_folder() {
        assert_eq!(check_handoff("acme/people", "acme"), Ok(()));
        for wrong in ["", "other", "acme//x", "acme/Zoë", "acme/people and a note"] {
            assert!(check_handoff("acme", wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn long_text_is_cut_at_characters() {
        let text = "é".repeat(100_000);
        let frames = frames(vec![delta(&text)]).await;
        assert!(frames.len() > 1 && frames.iter().all(|frame| frame.len() <= MAX_TEXT + 3));
        let joined: String = frames.iter().map(|frame| &frame["m1+".len()..]).collect();
        assert_eq!(joined, text);
    }
}
