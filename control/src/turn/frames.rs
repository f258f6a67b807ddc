//! Writes a turn's frames into its conversation's log, and counts them.

use super::Turn;
use crate::{
    conversation::Head,
    frame::Body,
    ids::{ConversationId, TurnId},
    limits::Limits,
    names,
    transaction::{Decision, Record, Tracked, Tx},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How far an open turn's reply has got. It is a record of its own, because each frame changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The number of the turn's last frame; 0 before the first.
    pub(crate) n: u32,
    /// How many bytes the turn's frames count as in the turn's limit.
    pub(crate) bytes: u64,
    /// The number that the attempt's next frame will have; the first frame has 1.
    pub(crate) next_seq: u64,
    /// The seq of the turn's last frame; before the first, the seq of its message.
    pub(crate) last_seq: u64,
    /// How many bytes the response to a webhook's sender has; 0 if there is none.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub(crate) response_bytes: usize,
}

impl Record for Progress {
    type Id = TurnId;

    fn name(turn: &TurnId) -> String {
        names::progress(turn)
    }

    fn lifetime(&self, limits: &Limits) -> Option<Duration> {
        Some(limits.conversation_lifetime())
    }
}

impl Progress {
    /// Returns the progress before the first frame. It is not stored, so that a post writes less.
    pub(crate) fn begin(first_seq: u64) -> Self {
        Self { n: 0, bytes: 0, next_seq: 1, last_seq: first_seq, response_bytes: 0 }
    }

    /// Reads the stored progress of an open turn; `None` before its first frame. Where a frame is
    /// unlikely, assumes `None` without a read; the batch's guard notices if that is wrong.
    pub(super) fn of(tx: &mut Tx<'_>, turn: &Turn) -> Decision<Option<Tracked<Self>>> {
        if turn.attempt > 1 || turn.place.spoke {
            tx.get_tracked(&turn.id)
        } else {
            Ok(tx.get_unlikely(&turn.id)?.map(Tracked::stored))
        }
    }
}

/// Appends the frames of one turn to its conversation's log. Call [`Self::store`] at the end.
pub(crate) struct FrameWriter {
    turn: TurnId,
    conversation: ConversationId,
    pub(super) progress: Tracked<Progress>,
    head: Tracked<Head>,
    /// Whether the store knows nothing of the turn yet.
    is_new: bool,
}

impl FrameWriter {
    /// Makes the writer for a turn that begins.
    pub(super) fn begin(turn: TurnId, conversation: ConversationId, head: Tracked<Head>) -> Self {
        let progress = Tracked::stored(Progress::begin(head.seq));
        Self { turn, conversation, progress, head, is_new: true }
    }

    /// Opens the writer for an open turn; `None` if its conversation or its progress is gone.
    pub(super) fn open(tx: &mut Tx<'_>, turn: &Turn) -> Decision<Option<Self>> {
        let progress = match Progress::of(tx, turn)? {
            Some(progress) => progress,
            // The turn has frames, so its progress was stored, and the store has lost it.
            None if turn.place.spoke => return Ok(None),
            None => Tracked::stored(Progress::begin(turn.first_seq)),
        };
        let head = tx.get_tracked::<Head>(&turn.conversation)?;
        Ok(head.map(|head| Self {
            turn: turn.id.clone(),
            conversation: turn.conversation.clone(),
            progress,
            head,
            is_new: false,
        }))
    }

    /// Appends the message that begins the turn, and returns its seq. It is not a frame of the
    /// reply.
    pub(super) fn append_message(&mut self, tx: &mut Tx<'_>, body: Body) -> Decision<u64> {
        self.head.append(tx, &self.conversation, &self.turn, 0, body)?;
        self.progress = Tracked::stored(Progress::begin(self.head.seq));
        Ok(self.head.seq)
    }

    /// Appends a frame of the reply; returns its seq.
    pub(super) fn append(&mut self, tx: &mut Tx<'_>, body: Body) -> Decision<u64> {
        self.progress.n += 1;
        self.progress.bytes += body.cost();
        let n = self.progress.n;
        self.head.append(tx, &self.conversation, &self.turn, n, body)?;
        self.progress.last_seq = self.head.seq;
        Ok(self.head.seq)
    }

    /// Stores what has changed, and deletes the progress of a turn that has ended.
    pub(super) fn store(&self, tx: &mut Tx<'_>, is_open: bool) -> Decision<()> {
        self.head.store(tx, &self.conversation)?;
        match (is_open, self.is_new) {
            (true, _) => self.progress.store(tx, &self.turn),
            (false, true) => Ok(()),
            (false, false) => {
                tx.delete::<Progress>(&self.turn);
                Ok(())
            }
        }
    }
}
