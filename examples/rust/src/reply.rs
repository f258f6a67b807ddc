//! Makes frames of what a handler writes: gathers short writes, cuts long ones.

use super::{
    active_turn::Work,
    folder::check_handoff,
    outcome::{Ending, Failure, Gone},
};
use arizuko_proto::v1::{
    AgentDelta, AgentFrame, AgentMessage, Handoff, HttpResponse, Usage, agent_frame::Body,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// How long text is gathered before it becomes a frame.
const GATHER_TIME: Duration = Duration::from_millis(15);
/// How many bytes of gathered text become a frame even before [`GATHER_TIME`] is over.
const GATHER_BYTES: usize = 32 << 10;
/// How many bytes of text a frame carries, at most: 64 KiB, minus room for the frame's other
/// fields.
const MAX_TEXT_BYTES: usize = (64 << 10) - 512;
/// How many characters control keeps of a title.
const MAX_TITLE: usize = 120;

/// A handler writes to the visitor with this. Every write waits while too much of the reply is
/// unacknowledged.
#[derive(Clone)]
pub struct Reply {
    pieces: mpsc::Sender<Piece>,
    cancelled: CancellationToken,
    ending: Arc<OnceLock<Ending>>,
    usage: Arc<Mutex<Option<Usage>>>,
    /// The folder of the turn.
    folder: Arc<str>,
}

/// One write of a handler.
enum Piece {
    Delta(String),
    Message(String),
    Status(String),
    Title(String),
    Handoff(Handoff),
    Response(HttpResponse),
}

impl Reply {
    /// Appends to the current message; the first call begins it.
    ///
    /// # Errors
    ///
    /// Nobody wants the reply any more.
    pub async fn write(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.send(Piece::Delta(text.into())).await
    }

    /// Ends the current message with its finished form, or sends a whole message.
    ///
    /// # Errors
    ///
    /// Nobody wants the reply any more.
    pub async fn message(&self, content: impl Into<String>) -> Result<(), Gone> {
        self.send(Piece::Message(content.into())).await
    }

    /// Shows what the agent is doing.
    ///
    /// # Errors
    ///
    /// Nobody wants the reply any more.
    pub async fn status(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.send(Piece::Status(text.into())).await
    }

    /// Names the conversation in the visitor's list, with at most 120 characters.
    ///
    /// # Errors
    ///
    /// Nobody wants the reply any more.
    pub async fn title(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.send(Piece::Title(text.into())).await
    }

    /// Hands the turn off to another folder, which continues after what was said. Nothing may
    /// follow. An empty folder is the one that the route names.
    ///
    /// # Errors
    ///
    /// The folder is outside the turn's root folder, or nobody wants the reply any more.
    pub async fn hand_off(&self, handoff: Handoff) -> Result<(), Failure> {
        if !handoff.folder.is_empty() {
            check_handoff(&self.folder, &handoff.folder).map_err(Failure::new)?;
        }
        Ok(self.send(Piece::Handoff(handoff)).await?)
    }

    /// Answers the sender of a webhook's delivery. The first response of a turn stands.
    ///
    /// # Errors
    ///
    /// Nobody wants the reply any more.
    pub async fn respond(&self, response: HttpResponse) -> Result<(), Gone> {
        self.send(Piece::Response(response)).await
    }

    /// Adds to the model tokens that the turn uses.
    pub fn usage(&self, input_tokens: u64, output_tokens: u64) {
        // Nothing that can panic runs under this lock.
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = usage.get_or_insert_default();
        usage.input_tokens = usage.input_tokens.saturating_add(input_tokens);
        usage.output_tokens = usage.output_tokens.saturating_add(output_tokens);
    }

    /// Waits until control has ended the turn, and says how. The future holds no clone of the
    /// reply, since the reply is complete only when every clone is dropped.
    pub fn ended(&self) -> impl Future<Output = Ending> + Send + use<> {
        let (cancelled, ending) = (self.cancelled.clone(), Arc::clone(&self.ending));
        async move {
            cancelled.cancelled().await;
            // Only `ActiveTurn::push` cancels without an ending.
            let too_long = || Ending::Lost("the reply was too long".into());
            ending.get().cloned().unwrap_or_else(too_long)
        }
    }

    /// Waits until nobody wants the reply any more.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Says whether nobody wants the reply any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    async fn send(&self, piece: Piece) -> Result<(), Gone> {
        self.pieces.send(piece).await.map_err(|_| Gone)
    }
}

/// Returns a reply for the handler of a turn in this folder, and the frames that it becomes.
pub(super) fn channel(work: &Work, folder: &str) -> (Reply, Frames) {
    let (sender, pieces) = mpsc::channel(16);
    let frames = Frames {
        pieces,
        has_ended: false,
        due: VecDeque::new(),
        number: 1,
        has_begun: false,
        text: String::new(),
        deadline: Instant::now(),
    };
    (
        Reply {
            pieces: sender,
            cancelled: work.cancelled.clone(),
            ending: Arc::clone(&work.ending),
            usage: Arc::clone(&work.usage),
            folder: folder.into(),
        },
        frames,
    )
}

/// The frames of a reply.
pub(super) struct Frames {
    pieces: mpsc::Receiver<Piece>,
    has_ended: bool,
    due: VecDeque<AgentFrame>,
    /// The number of the current message in the turn, from 1.
    number: u32,
    /// Whether the current message has a frame already.
    has_begun: bool,
    /// The text of the current message that is in no frame yet.
    text: String,
    /// The latest time at which that text becomes a frame.
    deadline: Instant,
}

impl Frames {
    /// Waits for the next frame; `None` once the handler has dropped the reply.
    pub(super) async fn next(&mut self) -> Option<AgentFrame> {
        while self.due.is_empty() && !self.has_ended {
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
                text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
                self.due.push_back(frame(Body::Status(text)));
            }
            Some(Piece::Title(text)) => {
                let text = text.chars().take(MAX_TITLE).collect();
                self.due.push_back(frame(Body::Title(text)));
            }
            Some(Piece::Handoff(handoff)) => {
                self.flush();
                self.due.push_back(frame(Body::Handoff(handoff)));
            }
            Some(Piece::Response(response)) => self.due.push_back(frame(Body::Response(response))),
            None => {
                self.flush();
                self.has_ended = true;
            }
        }
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(rest.floor_char_boundary(MAX_TEXT_BYTES));
            let (id, text) = (self.id(), head.to_owned());
            self.due.push_back(frame(Body::Delta(AgentDelta { id, text })));
            self.has_begun = true;
            rest = tail;
        }
    }

    /// Ends the current message. A finished form that is too long for a frame is left out, since
    /// the deltas say the same; if there were none, it is sent as deltas.
    fn complete(&mut self, content: String) {
        if content.len() <= MAX_TEXT_BYTES {
            // The finished form contains the text that is in no frame yet.
            self.text.clear();
            let id = self.id();
            self.due.push_back(frame(Body::Message(AgentMessage { id, content })));
        } else {
            if !self.has_begun && self.text.is_empty() {
                self.text = content;
            }
            self.flush();
        }
        self.number += 1;
        self.has_begun = false;
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
        super::active_turn::{ActiveTurn, Hold},
        *,
    };

    /// Returns the frames that `pieces` become, as short words.
    async fn frames(pieces: Vec<Piece>) -> Vec<String> {
        let hold = Hold { turn_id: "a".into(), attempt: 1 };
        let (reply, mut frames) = channel(&ActiveTurn::new(hold).work, "acme");
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
                    Body::Title(text) => format!("#{text}"),
                    Body::Handoff(handoff) => format!("->{}", handoff.folder),
                    Body::Response(response) => format!("<{}", response.status),
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
    async fn short_writes_become_one_frame() {
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

    #[tokio::test]
    async fn long_text_is_cut_at_characters() {
        let text = "é".repeat(100_000);
        let frames = frames(vec![delta(&text)]).await;
        assert!(frames.len() > 1 && frames.iter().all(|frame| frame.len() <= MAX_TEXT_BYTES + 3));
        let joined: String = frames.iter().map(|frame| &frame["m1+".len()..]).collect();
        assert_eq!(joined, text);
    }
}
