//! The findings of a run.

use crate::console::Console;
use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    /// The subject works, but something about it should be changed.
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

#[derive(Serialize)]
struct Finding {
    level: Level,
    /// The thing that was checked.
    subject: &'static str,
    found: String,
    /// The advice to the operator, or empty.
    remedy: String,
}

/// All findings, in order.
#[derive(Default, Serialize)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

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
        self.findings.push(Finding { level, subject, found: found.into(), remedy: remedy.into() });
    }

    pub(super) fn failures(&self) -> usize {
        let failures = self.findings.iter();
        failures.filter(|finding| finding.level == Level::Failure).count()
    }

    /// Prints a line for each finding, and one below it for the remedy.
    pub(super) fn print(&self, console: &mut Console<'_>) -> anyhow::Result<()> {
        for finding in &self.findings {
            let (level, subject) = (finding.level.word(), finding.subject);
            console.hanging(&format!("{level:<8} {subject:<10} "), &finding.found)?;
            if !finding.remedy.is_empty() {
                console.hanging(&format!("{:19} → ", ""), &finding.remedy)?;
            }
        }
        Ok(())
    }
}
