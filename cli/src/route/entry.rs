//! A route as people write it: in a file, in JSON, and in flags.

use crate::time;
use arizuko_proto::v1::{Escalation, EscalationStep, GiveUp, Route, RouteMode};
use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// What one prefix says. What it leaves unset comes from the next shorter one.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    #[serde(deserialize_with = "prefix")]
    pub(super) prefix: String,
    pub(super) target: Option<String>,
    pub(super) persona: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) mode: Option<Mode>,
    pub(super) give_up_after: Option<Length>,
    pub(super) give_up_say: Option<String>,
    /// Control's to say, so no file may.
    #[serde(skip_deserializing)]
    pub(super) only_folder: Option<String>,
    /// The last, as TOML wants tables after values. Empty: nowhere.
    pub(super) escalate: Option<Vec<Step>>,
}

/// Where a turn goes, and when.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    after: Option<Length>,
    unfinished_after: Option<Length>,
    to: String,
    say: Option<String>,
}

/// What a message does.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// The agent gets it and answers
    Trigger,
    /// It is kept, and the agent gets it with the next one that it answers
    Observe,
    /// It is counted, and no agent ever sees it
    Drop,
}

/// How long, written as in a flag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Length(prost_types::Duration);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        time::lifetime(&text).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&time::length(&self.0))
    }
}

fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    super::prefix(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl From<Route> for Entry {
    fn from(route: Route) -> Self {
        let mode = match route.mode() {
            RouteMode::Unspecified => None,
            RouteMode::Trigger => Some(Mode::Trigger),
            RouteMode::Observe => Some(Mode::Observe),
            RouteMode::Drop => Some(Mode::Drop),
        };
        let give_up = route.give_up.unwrap_or_default();
        let steps = |escalation: Escalation| escalation.steps.into_iter().map(Step::from).collect();
        Self {
            prefix: route.prefix,
            target: route.target,
            persona: route.persona,
            topic: route.topic,
            mode,
            give_up_after: give_up.after.map(Length),
            give_up_say: told(give_up.say),
            only_folder: told(route.only_folder),
            escalate: route.escalation.map(steps),
        }
    }
}

impl From<Entry> for Route {
    fn from(entry: Entry) -> Self {
        let steps = |steps: Vec<Step>| steps.into_iter().map(EscalationStep::from).collect();
        let given_up = entry.give_up_after.is_some() || entry.give_up_say.is_some();
        Self {
            prefix: entry.prefix,
            target: entry.target,
            persona: entry.persona,
            topic: entry.topic,
            mode: entry.mode.map_or(RouteMode::Unspecified, RouteMode::from).into(),
            escalation: entry.escalate.map(steps).map(|steps| Escalation { steps }),
            give_up: given_up.then(|| GiveUp {
                after: entry.give_up_after.map(|length| length.0),
                say: entry.give_up_say.unwrap_or_default(),
            }),
            only_folder: String::new(),
        }
    }
}

impl From<EscalationStep> for Step {
    fn from(step: EscalationStep) -> Self {
        Self {
            after: step.after.map(Length),
            unfinished_after: step.unfinished_after.map(Length),
            to: step.to,
            say: told(step.say),
        }
    }
}

impl From<Step> for EscalationStep {
    fn from(step: Step) -> Self {
        Self {
            after: step.after.map(|length| length.0),
            unfinished_after: step.unfinished_after.map(|length| length.0),
            to: step.to,
            say: step.say.unwrap_or_default(),
        }
    }
}

impl From<Mode> for RouteMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Trigger => Self::Trigger,
            Mode::Observe => Self::Observe,
            Mode::Drop => Self::Drop,
        }
    }
}

/// Nothing is said where the sentence is empty.
fn told(sentence: String) -> Option<String> {
    Some(sentence).filter(|sentence| !sentence.is_empty())
}

impl Entry {
    /// What it says, field by field, for people: a step of the escalation is a line of its own.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let quoted = |text: &String| format!("{text:?}");
        let mut lines = Vec::new();
        lines.extend(self.target.clone().map(|target| ("target", target)));
        lines.extend(self.persona.as_ref().map(|text| ("persona", quoted(text))));
        lines.extend(self.topic.as_ref().map(|text| ("topic", quoted(text))));
        lines.extend(self.mode.map(|mode| ("mode", mode.to_string())));
        if let Some(steps) = &self.escalate {
            lines.extend(steps.iter().map(|step| ("escalation", step.told())));
            if steps.is_empty() {
                lines.push(("escalation", "nowhere".into()));
            }
        }
        if let Some(after) = self.give_up_after {
            let say = saying(self.give_up_say.as_ref());
            lines.push(("give_up", format!("after {after}{say}")));
        }
        let only = self.only_folder.as_ref();
        lines.extend(only.map(|folder| ("only for", format!("the tokens of {folder}"))));
        lines
    }
}

impl Step {
    fn told(&self) -> String {
        format!("{self}{}", saying(self.say.as_ref()))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to)?;
        match (self.after, self.unfinished_after) {
            (Some(after), None) => write!(f, " after {after}"),
            (None, Some(end)) => write!(f, " unfinished after {end}"),
            (Some(after), Some(end)) => write!(f, " after {after} or unfinished after {end}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trigger => "trigger",
            Self::Observe => "observe",
            Self::Drop => "drop",
        })
    }
}

fn saying(sentence: Option<&String>) -> String {
    sentence.map_or_else(String::new, |sentence| format!(", saying {sentence:?}"))
}
