//! One turn that takes up a place of a session: its frames, which of them control has stored, and
//! what control has yet to be told.

use super::outcome::{Ending, Failure, Gone};
use arizuko_proto::v1::{
    Accept, AgentFrame, Append, Finish, HeldTurn, Turn, Usage, agent_frame::Body,
    attach_request::Message as Request,
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many bytes of a reply may be unacknowledged before its handler waits.
const WINDOW_BYTES: u32 = 256 << 10;
/// How many bytes of a reply are kept, at most, to be sent again. Control ends a turn long before
/// that, at 4 MiB by default.
const MAX_KEPT_BYTES: usize = 16 << 20;
/// How many bytes of frames one Append carries, at most, unless its only frame is larger.
const MAX_APPEND_BYTES: usize = 64 << 10;

/// One attempt at a turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hold {
    pub(super) turn_id: String,
    pub(super) attempt: u32,
}

impl Hold {
    pub(super) fn of(turn: &Turn) -> Self {
        Self { turn_id: turn.turn_id.clone(), attempt: turn.attempt }
    }
}

/// The part of a turn's state that the handler's task and the session share.
#[derive(Clone)]
pub(super) struct Work {
    /// Cancelled once nobody wants the reply any more.
    pub(super) cancelled: CancellationToken,
    /// How the turn ended, set before `cancelled`. If the turn was cancelled because its reply grew
    /// too long, this stays unset.
    pub(super) ending: Arc<OnceLock<Ending>>,
    /// The model tokens that the handler used; `None` if it has reported nothing.
    pub(super) usage: Arc<Mutex<Option<Usage>>>,
    /// Room for bytes that control has not acknowledged.
    pub(super) window: Arc<Semaphore>,
}

/// A turn whose reply control still wants, or whose handler still runs.
pub(super) struct ActiveTurn {
    pub(super) hold: Hold,
    pub(super) work: Work,
    /// Whether control still wants the reply.
    pub(super) is_wanted: bool,
    /// Whether the handler still runs.
    pub(super) is_running: bool,
    is_accepted: bool,
    frames: Vec<AgentFrame>,
    bytes: usize,
    /// The number of the next frame that control expects. The first frame has 1.
    stored: u64,
    /// The number of the next frame to send.
    sent: u64,
    /// The frames before this number have returned their room in the window.
    released: u64,
    /// `stored` at the last heartbeat, if frames were unacknowledged then.
    stored_at_beat: Option<u64>,
    finish: Option<Finish>,
    finish_sent: bool,
    /// Whether the last frame is a handoff. No Finish follows it, and control answers it with Lost.
    is_handed_off: bool,
}

impl ActiveTurn {
    pub(super) fn new(hold: Hold) -> Self {
        Self {
            hold,
            work: Work {
                cancelled: CancellationToken::new(),
                ending: Arc::default(),
                usage: Arc::default(),
                window: Arc::new(Semaphore::new(WINDOW_BYTES as usize)),
            },
            is_wanted: true,
            is_running: true,
            is_accepted: false,
            frames: Vec::new(),
            bytes: 0,
            stored: 1,
            sent: 1,
            released: 1,
            stored_at_beat: None,
            finish: None,
            finish_sent: false,
            is_handed_off: false,
        }
    }

    /// Returns the turn as Hello names it.
    pub(super) fn to_held(&self) -> HeldTurn {
        HeldTurn {
            turn_id: self.hold.turn_id.clone(),
            attempt: self.hold.attempt,
            next_seq: self.next_seq(),
        }
    }

    /// Continues over another stream, from the frame that control expects.
    pub(super) fn resume(&mut self, next_seq: u64) {
        self.accept_again();
        self.set_stored(next_seq);
        self.send_again();
    }

    /// Makes Accept due again.
    pub(super) fn accept_again(&mut self) {
        self.is_accepted = false;
    }

    /// Tells the handler that nobody wants the reply any more.
    pub(super) fn abandon(&mut self, ending: Ending) {
        self.is_wanted = false;
        // The first ending stands.
        let _ = self.work.ending.set(ending);
        self.work.cancelled.cancel();
    }

    /// Adds a frame to the reply, unless the reply is too long or ends with a handoff.
    pub(super) fn push(&mut self, frame: AgentFrame) -> Result<(), Gone> {
        self.bytes += size(&frame);
        if self.bytes > MAX_KEPT_BYTES {
            self.work.cancelled.cancel();
            return Err(Gone);
        }
        if self.is_handed_off {
            return Err(Gone);
        }
        self.is_handed_off = matches!(frame.body, Some(Body::Handoff(_)));
        self.frames.push(frame);
        Ok(())
    }

    /// Notes that the handler has ended.
    pub(super) fn finish(&mut self, mut outcome: Result<(), Failure>) {
        if self.bytes > MAX_KEPT_BYTES {
            outcome = Err(Failure::new("the reply is too long to be kept"));
        }
        self.is_running = false;
        if self.is_handed_off {
            return;
        }
        let failed = outcome.is_err();
        let (error, detail) = match outcome {
            Ok(()) => Default::default(),
            Err(Failure { error, detail }) => (error, detail),
        };
        let Hold { turn_id, attempt } = self.hold.clone();
        let seq = self.next_seq();
        let usage = *self.work.usage.lock().unwrap_or_else(PoisonError::into_inner);
        self.finish = Some(Finish { turn_id, attempt, seq, failed, error, detail, usage });
    }

    /// Says whether the reply is complete.
    pub(super) fn is_complete(&self) -> bool {
        self.finish.is_some() || self.is_handed_off
    }

    /// Says whether the reply ends with a handoff.
    pub(super) fn is_handed_off(&self) -> bool {
        self.is_handed_off
    }

    /// Notes which frame control expects next. If control expected a later frame before, its store
    /// has lost some frames, and they are sent again.
    pub(super) fn appended(&mut self, next_seq: u64) {
        let has_lost = next_seq < self.stored;
        self.set_stored(next_seq);
        if has_lost {
            self.send_again();
        }
    }

    /// Makes Finish due again, and the unacknowledged frames if control has acknowledged none since
    /// the last heartbeat. This is called at each heartbeat.
    pub(super) fn beat(&mut self) {
        let is_waiting = self.stored < self.sent;
        if is_waiting && self.stored_at_beat == Some(self.stored) {
            self.send_again();
        }
        self.stored_at_beat = is_waiting.then_some(self.stored);
        self.finish_sent = false;
    }

    /// Returns what to tell control next; `None` if there is nothing now.
    pub(super) fn next(&mut self) -> Option<Request> {
        if !self.is_wanted {
            return None;
        }
        let Hold { turn_id, attempt } = self.hold.clone();
        if !self.is_accepted {
            self.is_accepted = true;
            return Some(Request::Accept(Accept { turn_id, attempt }));
        }
        if self.sent < self.next_seq() {
            let (seq, frames) = (self.sent, self.unsent());
            self.sent += frames.len() as u64;
            return Some(Request::Append(Append { turn_id, attempt, seq, frames }));
        }
        let finish = self.finish.as_ref().filter(|_| !self.finish_sent)?;
        self.finish_sent = true;
        Some(Request::Finish(finish.clone()))
    }

    /// Returns the next frames that fit into one Append: at least one.
    fn unsent(&self) -> Vec<AgentFrame> {
        let unsent = self.frames.get(index(self.sent)..).unwrap_or_default();
        let mut bytes = 0;
        let fitting = unsent.iter().take_while(|frame| {
            let is_first = bytes == 0;
            bytes += size(frame);
            is_first || bytes <= MAX_APPEND_BYTES
        });
        fitting.cloned().collect()
    }

    fn send_again(&mut self) {
        self.sent = self.stored;
        self.finish_sent = false;
    }

    /// Notes which frame control expects next, and frees the room of the frames before it.
    fn set_stored(&mut self, seq: u64) {
        self.stored = seq.clamp(1, self.next_seq());
        let newly = self.frames.get(index(self.released)..index(self.stored));
        let room = newly.unwrap_or_default().iter().map(|frame| permits(frame) as usize);
        self.work.window.add_permits(room.sum());
        self.released = self.released.max(self.stored);
    }

    fn next_seq(&self) -> u64 {
        self.frames.len() as u64 + 1
    }
}

/// Returns how many bytes of the window a frame takes.
pub(super) fn permits(frame: &AgentFrame) -> u32 {
    u32::try_from(size(frame)).map_or(WINDOW_BYTES, |size| size.min(WINDOW_BYTES))
}

/// Returns how many bytes a frame has: those of its text, and an estimate of the rest.
fn size(frame: &AgentFrame) -> usize {
    32 + match &frame.body {
        Some(Body::Delta(delta)) => delta.text.len(),
        Some(Body::Message(message)) => message.content.len(),
        Some(Body::Status(text) | Body::Title(text)) => text.len(),
        Some(Body::Handoff(handoff)) => handoff.note.len(),
        Some(Body::Response(response)) => response.body.len(),
        None => 0,
    }
}

/// Returns the index of the frame with this number.
fn index(seq: u64) -> usize {
    usize::try_from(seq - 1).unwrap_or(usize::MAX)
}
