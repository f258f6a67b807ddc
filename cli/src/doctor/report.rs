//! What was found.

use crate::console::Console;
use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Level {
    Ok,
    /// It works, and somebody may be sorry later.
    Warning,
    Failure,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

struct Finding {
    level: Level,
    /// What was looked at.
    subject: &'static str,
    found: String,
    /// What to do about it.
    remedy: String,
}

/// All findings, in the order in which they were made.
#[derive(Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn ok(&mut self, subject: &'static str, found: impl Into<String>) {
        self.add(Level::Ok, subject, found, "");
    }

    pub(super) fn add(
        &mut self,
        level: Level,
        subject: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.0.push(Finding { level, subject, found: found.into(), remedy: remedy.into() });
    }

    pub(super) fn failures(&self) -> usize {
        let failures = self.0.iter();
        failures.filter(|finding| finding.level == Level::Failure).count()
    }

    /// A line for each finding, and one below it for what to do.
    pub(super) fn print(&self, console: &mut Console<'_>) -> anyhow::Result<()> {
        for finding in &self.0 {
            let (level, subject) = (finding.level.word(), finding.subject);
            console.line(&format!("{level:<8} {subject:<10} {}", finding.found))?;
            if !finding.remedy.is_empty() {
                console.line(&format!("{:19} → {}", "", finding.remedy))?;
            }
        }
        Ok(())
    }

    pub(super) fn document(&self) -> Value {
        let findings = self.0.iter().map(|finding| {
            json!({
                "level": finding.level.word(),
                "subject": finding.subject,
                "found": finding.found,
                "remedy": finding.remedy,
            })
        });
        json!({ "findings": findings.collect::<Vec<_>>() })
    }
}
