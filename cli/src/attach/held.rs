//! One turn that takes up a place of a session: its frames, how many of them control has, and
//! what it has yet to be told.

use super::reply::{Failure, Gone};
use arizuko_proto::v1::{
    Accept, AgentFrame, Append, Finish, HeldTurn, Turn, agent_frame::Body,
    attach_request::Message as Request,
};
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many bytes of a reply may be on their way before its handler has to wait.
pub(super) const WINDOW: u32 = 256 << 10;
/// How much of a reply is kept. Control ends a turn long before.
const MAX_KEPT: usize = 16 << 20;
/// How much one Append carries; a single frame may be as large.
const MAX_APPEND: usize = 64 << 10;

/// One hold of a turn.
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

/// How control came to be done with a turn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// All of the reply is stored, and that it is complete.
    Finished,
    /// It ended otherwise: the visitor stopped it, its link was revoked, or its time is up.
    Cancelled,
    /// It is not this session's any more, and why.
    Lost(String),
}

/// What the work on a turn shares with it.
#[derive(Clone)]
pub(super) struct Work {
    /// Nobody wants the reply any more.
    pub(super) cancelled: CancellationToken,
    /// Why that is so; set before.
    pub(super) ending: Arc<OnceLock<Ending>>,
    /// Room for bytes that control has not stored yet.
    pub(super) window: Arc<Semaphore>,
}

/// A turn for as long as control wants its reply or its handler runs.
pub(super) struct Held {
    pub(super) hold: Hold,
    pub(super) work: Work,
    /// Control still wants the reply.
    pub(super) wanted: bool,
    /// The handler has not ended.
    pub(super) working: bool,
    accepted: bool,
    frames: Vec<AgentFrame>,
    bytes: usize,
    /// The number of the next frame that control expects.
    stored: u64,
    /// The number of the next frame to send.
    sent: u64,
    /// Frames before this number have given their room back.
    released: u64,
    /// What `stored` was at the last heartbeat, if frames were on their way then.
    pending: Option<u64>,
    finish: Option<Finish>,
    finish_sent: bool,
    /// Its last frame is a handoff, which Lost answers: there is nothing to finish.
    handed_off: bool,
}

impl Held {
    pub(super) fn new(hold: Hold) -> Self {
        Self {
            hold,
            work: Work {
                cancelled: CancellationToken::new(),
                ending: Arc::default(),
                window: Arc::new(Semaphore::new(WINDOW as usize)),
            },
            wanted: true,
            working: true,
            accepted: false,
            frames: Vec::new(),
            bytes: 0,
            stored: 1,
            sent: 1,
            released: 1,
            pending: None,
            finish: None,
            finish_sent: false,
            handed_off: false,
        }
    }

    /// How Hello tells of it.
    pub(super) fn offer(&self) -> HeldTurn {
        HeldTurn {
            turn_id: self.hold.turn_id.clone(),
            attempt: self.hold.attempt,
            next_seq: self.next_seq(),
        }
    }

    /// Goes on over another stream, from the frame that control expects.
    pub(super) fn resume(&mut self, next_seq: u64) {
        self.accepted = false;
        self.set_stored(next_seq);
        self.send_again();
    }

    /// Accept is said again.
    pub(super) fn accept(&mut self) {
        self.accepted = false;
    }

    /// Nobody wants the reply any more.
    pub(super) fn abandon(&mut self, ending: Ending) {
        self.wanted = false;
        // The first one tells why.
        let _ = self.work.ending.set(ending);
        self.work.cancelled.cancel();
    }

    /// Adds a frame to the reply.
    pub(super) fn push(&mut self, frame: AgentFrame) -> Result<(), Gone> {
        self.bytes += size(&frame);
        if self.bytes > MAX_KEPT {
            self.work.cancelled.cancel();
            return Err(Gone);
        }
        if self.handed_off {
            return Err(Gone);
        }
        self.handed_off = matches!(frame.body, Some(Body::Handoff(_)));
        self.frames.push(frame);
        Ok(())
    }

    /// The handler has ended.
    pub(super) fn finish(&mut self, mut outcome: Result<(), Failure>) {
        if self.bytes > MAX_KEPT {
            outcome = Err(Failure::new("the reply is too long to be kept"));
        }
        self.working = false;
        if self.handed_off {
            return;
        }
        let failed = outcome.is_err();
        let (error, detail) = match outcome {
            Ok(()) => Default::default(),
            Err(Failure { error, detail }) => (error, detail),
        };
        let Hold { turn_id, attempt } = self.hold.clone();
        let seq = self.next_seq();
        self.finish = Some(Finish { turn_id, attempt, seq, failed, error, detail });
    }

    /// Says whether all of it is there.
    pub(super) fn is_complete(&self) -> bool {
        self.finish.is_some() || self.handed_off
    }

    /// Says whether the reply ends with a handoff.
    pub(super) fn is_handed_off(&self) -> bool {
        self.handed_off
    }

    /// Control has all frames before this one. When it had more before, its store lost some.
    pub(super) fn appended(&mut self, next_seq: u64) {
        let hole = next_seq < self.stored;
        self.set_stored(next_seq);
        if hole {
            self.send_again();
        }
    }

    /// A heartbeat's time has passed: what made no progress since the last one is said again.
    pub(super) fn beat(&mut self) {
        let waiting = self.stored < self.sent;
        if waiting && self.pending == Some(self.stored) {
            self.send_again();
        }
        self.pending = waiting.then_some(self.stored);
        self.finish_sent = false;
    }

    /// What control should be told next.
    pub(super) fn next(&mut self) -> Option<Request> {
        if !self.wanted {
            return None;
        }
        let Hold { turn_id, attempt } = self.hold.clone();
        if !self.accepted {
            self.accepted = true;
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

    /// The next frames that fit into one Append; one always does.
    fn unsent(&self) -> Vec<AgentFrame> {
        let unsent = self.frames.get(index(self.sent)..).unwrap_or_default();
        let mut bytes = 0;
        let fitting = unsent.iter().take_while(|frame| {
            let first = bytes == 0;
            bytes += size(frame);
            first || bytes <= MAX_APPEND
        });
        fitting.cloned().collect()
    }

    fn send_again(&mut self) {
        self.sent = self.stored;
        self.finish_sent = false;
    }

    /// Gives room back for what is stored for the first time.
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

/// How much of the window a frame takes.
pub(super) fn permits(frame: &AgentFrame) -> u32 {
    u32::try_from(size(frame)).map_or(WINDOW, |size| size.min(WINDOW))
}

/// A frame's text, and about what is around it.
fn size(frame: &AgentFrame) -> usize {
    32 + match &frame.body {
        Some(Body::Delta(delta)) => delta.text.len(),
        Some(Body::Message(message)) => message.content.len(),
        Some(Body::Status(text)) => text.len(),
        Some(Body::Handoff(handoff)) => handoff.note.len(),
        None => 0,
    }
}

/// Where the frame with this number is: the first one has 1.
fn index(seq: u64) -> usize {
    usize::try_from(seq - 1).unwrap_or(usize::MAX)
}
