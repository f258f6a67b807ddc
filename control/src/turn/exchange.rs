//! A turn together with its conversation.

use super::{
    Turn,
    frames::{FrameWriter, Progress},
    input::Input,
    response::HttpResponse,
};
use crate::{
    conversation::{Conversation, Head},
    frame::Transcript,
    ids::TurnId,
    names,
    transaction::{Decision, Record as _, Tracked, Tx},
};

/// A turn, its conversation and its frames: changed together, and stored together by
/// [`Self::store`].
#[must_use = "its changes are lost unless it is stored"]
pub(super) struct Exchange {
    pub(super) turn: Tracked<Turn>,
    pub(super) conversation: Tracked<Conversation>,
    pub(super) frames: FrameWriter,
}

impl Exchange {
    /// Reads the conversation and the frames of an open turn. If they are gone, deletes the turn
    /// and returns `None`.
    pub(super) fn of(tx: &mut Tx<'_>, mut turn: Tracked<Turn>) -> Decision<Option<Self>> {
        let id = &turn.conversation;
        tx.expect([Conversation::name(id), Head::name(id)])?;
        let conversation = tx.get_tracked::<Conversation>(id)?;
        let frames = FrameWriter::open(tx, &turn)?;
        if let Some((conversation, frames)) = conversation.zip(frames) {
            return Ok(Some(Self { turn, conversation, frames }));
        }
        let notice = turn.cancelled();
        turn.release(tx, Some(notice));
        delete_records(tx, &turn.id, true);
        Ok(None)
    }

    pub(super) fn store(self, tx: &mut Tx<'_>) -> Decision<Turn> {
        let Self { turn, conversation, frames } = self;
        frames.store(tx, turn.is_open())?;
        conversation.store(tx, &conversation.id)?;
        turn.store(tx, &turn.id)?;
        Ok(turn.into_inner())
    }
}

/// Deletes all records of a turn, and its journal.
pub(super) fn delete_records(tx: &mut Tx<'_>, turn: &TurnId, is_open: bool) {
    tx.delete_log(names::journal(turn));
    tx.delete::<Turn>(turn);
    tx.delete::<Input>(turn);
    tx.delete::<HttpResponse>(turn);
    if is_open {
        tx.delete::<Progress>(turn);
    } else {
        tx.delete::<Transcript>(turn);
    }
}
