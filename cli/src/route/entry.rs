//! A route as people write it, in a file and in flags.

use crate::time;
use arizuko_proto::v1::{self, Escalation, EscalationStep, GiveUp, Route, RouteMode};
use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A route in a file. Fields that are unset come from the next shorter prefix.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    #[serde(deserialize_with = "read_prefix")]
    prefix: String,
    target: Option<String>,
    persona: Option<String>,
    topic: Option<String>,
    mode: Option<Mode>,
    observe_for: Option<ObserveFor>,
    give_up_after: Option<Length>,
    give_up_say: Option<String>,
    /// Empty: the route escalates to nobody. This field is the last, since TOML wants tables after
    /// values.
    escalate: Option<Vec<Step>>,
}

/// A step of an escalation.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Step {
    after: Option<Length>,
    unfinished_after: Option<Length>,
    to: String,
    say: Option<String>,
}

/// How a route treats a message.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// The agent gets it and answers
    Trigger,
    /// It is kept, and the agent gets it with the next message to answer
    Observe,
    /// It is counted, and no agent gets it
    Drop,
}

/// Whose turns get the messages that a webhook's route observes.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum ObserveFor {
    /// Turns of webhooks, and turns that a person takes
    People,
    /// All turns of the folder; replies to visitors may then repeat the messages
    Visitors,
}

/// A duration, written as in a flag.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Length(prost_types::Duration);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        time::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time::print(self.0))
    }
}

/// Reads a prefix. Refuses a folder, which lacks `web:` or `hook:`. Control checks the rest.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let path = text.strip_prefix("web:").or(text.strip_prefix("hook:"));
    match path {
        Some(path) if !path.is_empty() && !path.starts_with('/') => Ok(text.to_owned()),
        _ => Err("name a JID or its beginning, such as web:acme or hook:acme/github".into()),
    }
}

fn read_prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    prefix(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl From<Route> for Entry {
    fn from(route: Route) -> Self {
        let mode = match route.mode() {
            RouteMode::Unspecified => None,
            RouteMode::Trigger => Some(Mode::Trigger),
            RouteMode::Observe => Some(Mode::Observe),
            RouteMode::Drop => Some(Mode::Drop),
        };
        let observe_for = match route.observe_for() {
            v1::ObserveFor::Unspecified => None,
            v1::ObserveFor::People => Some(ObserveFor::People),
            v1::ObserveFor::Visitors => Some(ObserveFor::Visitors),
        };
        let give_up = route.give_up.unwrap_or_default();
        let steps = |escalation: Escalation| escalation.steps.into_iter().map(Step::from).collect();
        Self {
            prefix: route.prefix,
            target: route.target,
            persona: route.persona,
            topic: route.topic,
            mode,
            observe_for,
            give_up_after: give_up.after.map(Length),
            give_up_say: unless_empty(give_up.say),
            escalate: route.escalation.map(steps),
        }
    }
}

impl From<Entry> for Route {
    fn from(entry: Entry) -> Self {
        let steps = |steps: Vec<Step>| steps.into_iter().map(EscalationStep::from).collect();
        let gives_up = entry.give_up_after.is_some() || entry.give_up_say.is_some();
        Self {
            prefix: entry.prefix,
            target: entry.target,
            persona: entry.persona,
            topic: entry.topic,
            mode: entry.mode.map_or(RouteMode::Unspecified, RouteMode::from).into(),
            escalation: entry.escalate.map(steps).map(|steps| Escalation { steps }),
            give_up: gives_up.then(|| GiveUp {
                after: entry.give_up_after.map(|length| length.0),
                say: entry.give_up_say.unwrap_or_default(),
            }),
            observe_for: entry
                .observe_for
                .map_or(v1::ObserveFor::Unspecified, v1::ObserveFor::from)
                .into(),
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
            say: unless_empty(step.say),
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

impl From<ObserveFor> for v1::ObserveFor {
    fn from(observe_for: ObserveFor) -> Self {
        match observe_for {
            ObserveFor::People => Self::People,
            ObserveFor::Visitors => Self::Visitors,
        }
    }
}

fn unless_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
