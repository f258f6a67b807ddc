//! `event: html`, for the page: the messages of a stream, rendered as HTML.
//!
//! These events derive from the numbered ones and have no id, so they don't change a reader's
//! cursor.

use crate::{
    gateway::Gateway,
    markdown::{Patch, Streaming},
    sse::write_event,
};
use arizuko_proto::v1::{self as pb, Author, frame::Body};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Deltas that arrive within this time are rendered together. People don't see shorter steps.
const PAUSE: Duration = Duration::from_millis(60);
/// How many bytes of a turn's unfinished messages are kept. If the turn has more, each of its
/// messages is rendered only once it is finished.
const MOST_BYTES: usize = 128 * 1024;
/// How many bytes of [`MOST_BYTES`] a message takes besides its id and text.
const MESSAGE_BYTES: usize = 512;
/// After a rendering, this many times its duration is added to [`PAUSE`].
const PAUSE_TIMES: u32 = 10;

/// The messages that are being written.
pub(super) struct Html {
    gateway: Arc<Gateway>,
    access: pb::Access,
    /// The running turns of which the reader has had a frame.
    turns: HashMap<String, Unfinished>,
}

/// A turn's unfinished messages by their id.
#[derive(Default)]
struct Unfinished {
    messages: HashMap<String, Streaming>,
    /// The messages that existed at the last restart: no later restart drops them.
    kept: HashSet<String>,
    changed: HashSet<String>,
    /// The text of each message, by its id, as it was when this stream met the turn: up to frame
    /// `seen`.
    earlier: HashMap<String, String>,
    /// The last frame that `earlier` includes. `u32::MAX`: the text so far is not known or too
    /// long, so no delta is rendered until a restart.
    seen: u32,
    due: Option<Instant>,
    /// How long the last rendering took.
    took: Duration,
}

/// With `html=1`: what has changed in the HTML of message `id`, which is a list of blocks. The
/// array `html` replaces all blocks from number `block` on, counted from 0. Of the old block number
/// `block`, the first `keep` and the last `tail` UTF-16 code units stay (0 if absent), around
/// `html[0]`. If the array is empty, only the blocks before `block` stay.
#[derive(JsonSchema, Serialize)]
pub(crate) struct HtmlData<'a> {
    id: &'a str,
    block: usize,
    #[serde(skip_serializing_if = "is_zero")]
    keep: usize,
    #[serde(skip_serializing_if = "is_zero")]
    tail: usize,
    html: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Html {
    pub(super) fn new(gateway: Arc<Gateway>, access: pb::Access) -> Self {
        Self { gateway, access, turns: HashMap::new() }
    }

    /// Returns when to call `write_due`.
    pub(super) fn due(&self) -> Option<Instant> {
        self.turns.values().filter_map(|turn| turn.due).min()
    }

    /// Processes a frame that the reader has just been sent.
    pub(super) async fn read(&mut self, frame: &pb::Frame, out: &mut String) {
        let Some(body) = &frame.body else {
            return;
        };
        if matches!(body, Body::User(_) | Body::Rated(_) | Body::TurnDone(_)) {
            return;
        }
        if !self.turns.contains_key(&frame.turn_id) {
            let turn = self.begin(frame).await;
            self.turns.insert(frame.turn_id.clone(), turn);
        }
        let Some(turn) = self.turns.get_mut(&frame.turn_id) else {
            return;
        };
        match body {
            Body::Delta(delta) => turn.append(delta, frame.n),
            Body::Message(message) => {
                let written = turn.messages.remove(&message.id).unwrap_or_default();
                turn.changed.remove(&message.id);
                let whole = self.gateway.renderer.render(message.author(), &message.content).await;
                write_patch(&message.id, written.finish(&whole), out);
            }
            Body::Restart(restart) => turn.restart(restart.keep, frame.n),
            _ => {}
        }
    }

    /// Starts a turn. If the frame isn't the turn's first, asks control for the text so far,
    /// without which a delta can't be rendered.
    async fn begin(&self, frame: &pb::Frame) -> Unfinished {
        if frame.n <= 1 {
            return Unfinished::default();
        }
        let request = pb::GetTurnRequest {
            access: Some(self.access.clone()),
            turn_id: frame.turn_id.clone(),
            max_message_bytes: MOST_BYTES as u32,
            ..pb::GetTurnRequest::default()
        };
        let Ok(answer) = self.gateway.control.turn(request, Duration::ZERO).await else {
            // The page shows the text of the deltas until the finished message comes.
            return Unfinished::unknown();
        };
        let turn = answer.turn.unwrap_or_default();
        let messages = turn.assistant.into_iter();
        Unfinished {
            earlier: messages.map(|message| (message.id, message.content)).collect(),
            seen: turn.n,
            ..Unfinished::default()
        }
    }

    /// Renders the messages that are due.
    pub(super) async fn write_due(&mut self, out: &mut String) {
        let now = Instant::now();
        for turn in self.turns.values_mut() {
            if turn.due.is_some_and(|due| due <= now) {
                turn.write_changed(&self.gateway, out).await;
            }
        }
    }

    /// Ends a turn. Renders as a whole those of its messages that were never finished.
    pub(super) async fn finish(&mut self, turn_id: &str, out: &mut String) {
        let Some(turn) = self.turns.remove(turn_id) else {
            return;
        };
        for (id, written) in turn.messages {
            let whole = self.gateway.renderer.render(Author::Assistant, written.text()).await;
            write_patch(&id, written.finish(&whole), out);
        }
    }

    /// Forgets all turns. Called before a replay from the start.
    pub(super) fn reset(&mut self) {
        self.turns.clear();
    }
}

impl Unfinished {
    /// The messages of a turn whose text so far is not known.
    fn unknown() -> Self {
        Self { seen: u32::MAX, ..Self::default() }
    }

    fn append(&mut self, delta: &pb::frame::Delta, n: u32) {
        if self.seen == u32::MAX {
            return;
        }
        let message = self.messages.entry(delta.id.clone()).or_insert_with(|| {
            let earlier = self.earlier.remove(&delta.id);
            Streaming::new(earlier.unwrap_or_default())
        });
        if n > self.seen {
            message.push(&delta.text);
        }
        if self.bytes() > MOST_BYTES {
            *self = Self::unknown();
            return;
        }
        let pause = PAUSE + self.took * PAUSE_TIMES;
        self.due.get_or_insert_with(|| Instant::now() + pause);
        self.changed.insert(delta.id.clone());
    }

    /// Returns how many bytes the messages that are kept count as.
    fn bytes(&self) -> usize {
        let messages = self.messages.iter();
        messages.map(|(id, message)| id.len() + message.text().len() + MESSAGE_BYTES).sum()
    }

    /// A new attempt starts. Its messages are new ones, after frame `n`.
    fn restart(&mut self, keep: bool, n: u32) {
        if !keep {
            self.messages.retain(|id, _| self.kept.contains(id));
            self.changed.retain(|id| self.kept.contains(id));
        }
        self.kept = self.messages.keys().cloned().collect();
        self.earlier.clear();
        self.seen = self.seen.min(n);
    }

    async fn write_changed(&mut self, gateway: &Gateway, out: &mut String) {
        self.due = None;
        self.took = Duration::ZERO;
        for id in mem::take(&mut self.changed) {
            let Some(message) = self.messages.get_mut(&id) else {
                continue;
            };
            let mut written = mem::take(message);
            let (bytes, max_bytes) = (written.tail_bytes(), gateway.renderer.max_bytes);
            let render = move || {
                let begun = Instant::now();
                let patch = written.render(max_bytes);
                (written, patch, begun.elapsed())
            };
            let (written, patch, took) = gateway.renderer.run(bytes, render).await;
            *message = written;
            self.took += took;
            if let Some(patch) = patch {
                write_patch(&id, patch, out);
            }
        }
    }
}

fn write_patch(id: &str, Patch { block, keep, tail, html }: Patch, out: &mut String) {
    write_event(out, "html", &HtmlData { id, block, keep, tail, html });
}
