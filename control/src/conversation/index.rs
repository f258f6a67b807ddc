//! The sets by which operators find conversations and turns.

use super::Conversation;
use crate::{
    ids::{ConversationId, TurnId},
    names::{self, Named},
    transaction::Tx,
};
use arizuko_proto::public_id;

impl Named {
    /// Returns the own id of the conversation or turn, not the public one.
    fn id(&self) -> &str {
        match self {
            Self::Conversation(id) => id.as_str(),
            Self::Turn(id) => id.as_str(),
        }
    }

    pub(crate) fn place(&self) -> u64 {
        public_id::place(self.id())
    }

    pub(crate) fn public_id(&self) -> String {
        match self {
            Self::Conversation(id) => public_id::conversation(id.as_str()),
            Self::Turn(id) => public_id::turn(id.as_str()),
        }
    }
}

impl Conversation {
    /// Notes that the conversation is active now.
    pub(crate) fn touch(&mut self, tx: &mut Tx<'_>) {
        self.active_at = tx.now;
        tx.add(&names::conversations(self.with.root()), &self.id, tx.now);
    }
}

/// Adds a new conversation to the set of public ids.
pub(crate) fn add_conversation(tx: &mut Tx<'_>, id: &ConversationId) {
    add(tx, Named::Conversation(id.clone()));
}

/// Adds a new turn to the set of public ids.
pub(crate) fn add_turn(tx: &mut Tx<'_>, id: &TurnId) {
    add(tx, Named::Turn(id.clone()));
}

fn add(tx: &mut Tx<'_>, named: Named) {
    tx.add(&names::public_ids(), &named, named.place());
}

/// Removes a deleted conversation from the sets.
pub(crate) fn remove_conversation(tx: &mut Tx<'_>, conversation: &Conversation) {
    let id = &conversation.id;
    tx.remove(&names::public_ids(), &Named::Conversation(id.clone()));
    tx.remove(&names::conversations(conversation.with.root()), id);
}

/// Removes a deleted turn from the set of public ids.
pub(crate) fn remove_turn(tx: &mut Tx<'_>, id: &TurnId) {
    tx.remove(&names::public_ids(), &Named::Turn(id.clone()));
}
