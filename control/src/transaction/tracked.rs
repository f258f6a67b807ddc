//! Values that are stored only if they change.

use super::{Decision, Record, Tx};
use std::ops::{Deref, DerefMut};

/// A record's value, and whether it has to be stored: it is new, or has changed since it was read.
pub(crate) struct Tracked<T> {
    value: T,
    changed: bool,
}

impl<T> Tracked<T> {
    /// Wraps a new value, so that it will be stored.
    pub(crate) fn new(value: T) -> Self {
        Self { value, changed: true }
    }

    /// Wraps a value that is stored only if it changes from now on.
    pub(crate) fn stored(value: T) -> Self {
        Self { value, changed: false }
    }

    pub(crate) fn into_inner(self) -> T {
        self.value
    }
}

impl<T: Record> Tracked<T> {
    /// Writes the value if it has changed.
    pub(crate) fn store(&self, tx: &mut Tx<'_>, id: &T::Id) -> Decision<()> {
        if self.changed { tx.put(id, &self.value) } else { Ok(()) }
    }
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Tracked<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}
