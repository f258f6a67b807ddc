//! Removes an open turn from everything that counts or holds it.

use super::{Turn, budget};
use crate::{
    names::{self, Due},
    queue,
    session::Notice,
    transaction::Tx,
    visitor::Visitor,
};

impl Turn {
    /// Removes the turn from its session, from its queue, from the open turns of its token and
    /// visitor, and from the due items, and settles what is reserved for it.
    pub(super) fn release(&mut self, tx: &mut Tx<'_>, notice: Option<Notice>) {
        let hold = self.leave_running(tx, notice);
        if hold.is_some_and(|hold| hold.person.is_some()) {
            // Colleagues see that nobody holds the turn any more.
            queue::wake(tx, &self.place.folder);
        }
        queue::leave(tx, self);
        let token = &self.origin.token;
        tx.remove(&names::open_turns(token), &self.id);
        for hash in self.origin.visitor.iter().flat_map(Visitor::counted) {
            tx.remove(&names::open_turns_from(token, hash), &self.id);
        }
        self.origin.visitor = None;
        tx.unschedule(&Due::Turn(self.id.clone()));
        budget::settle(tx, self, None);
    }
}
