//! Stacks whose parts have clocks of their own.

use super::{Kind, Part, Stack};
use std::{fs, path::PathBuf};

impl Stack {
    /// Starts a stack in which some parts have a wrong clock, such as `(Control(B), "+300s")`.
    pub async fn with_clocks(
        kind: Kind,
        settings: &[(&str, &str)],
        clocks: &[(Part, &'static str)],
    ) -> Self {
        let mut stack = Self::prepare(kind, settings, "https://{root}.example").await;
        stack.clocks = clocks.to_vec();
        stack.populate(0).await;
        stack
    }

    /// Starts a stack whose controls' clocks can be set while they run.
    pub async fn with_loose_clocks(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let mut stack = Self::prepare(kind, settings, "https://{root}.example").await;
        stack.has_loose_clocks = true;
        stack.set_clocks("+0s");
        stack.populate(0).await;
        stack
    }

    /// Makes the clocks of all controls wrong by an offset such as `+3600s`.
    pub fn set_clocks(&self, wrong: &str) {
        let (file, new) = (self.clock_file(), self.folder.path().join("clock.new"));
        fs::write(&new, format!("{wrong}\n")).expect("the stack's folder is ours");
        fs::rename(new, file).expect("the stack's folder is ours");
    }

    pub(super) fn clock_file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }
}
