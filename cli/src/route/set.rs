//! `arizuko route set`: sets the fields that the flags name.

use super::entry::{Mode, ObserveFor, prefix};
use crate::time;
use arizuko_proto::v1::{
    self, Escalation, EscalationStep, GiveUp, Route, RouteMode, SetRouteRequest,
};
use clap::{ArgGroup, ValueEnum, error::ErrorKind};
use prost_types::{Duration, FieldMask};

#[derive(clap::Args)]
#[command(group = ArgGroup::new("said").required(true).multiple(true).args([
    "target", "persona", "topic", "mode", "escalate_to", "no_escalation", "give_up_after",
    "observe_for", "unset",
]))]
#[command(group = ArgGroup::new("when").multiple(true).args([
    "escalate_after", "escalate_unfinished_after",
]))]
pub(crate) struct Set {
    /// Address (JID) or its beginning, for example web:acme or hook:acme/github
    #[arg(value_parser = prefix)]
    prefix: String,
    /// Folder whose agent answers
    #[arg(long, value_name = "FOLDER")]
    target: Option<String>,
    /// Who the agent should be, in your words
    #[arg(long, value_name = "TEXT")]
    persona: Option<String>,
    /// Label for agents and reports
    #[arg(long, value_name = "TEXT")]
    topic: Option<String>,
    /// What becomes of a message
    #[arg(long)]
    mode: Option<Mode>,
    /// Whose turns get the messages kept by a webhook's route with --mode observe
    #[arg(long)]
    observe_for: Option<ObserveFor>,
    /// Escalate when the agent has said nothing after this long, for example 2m
    #[arg(long, value_name = "DURATION", value_parser = time::parse, requires = "escalate_to")]
    escalate_after: Option<Duration>,
    /// Escalate when the reply has not ended after this long
    #[arg(long, value_name = "DURATION", value_parser = time::parse, requires = "escalate_to")]
    escalate_unfinished_after: Option<Duration>,
    /// Folder to escalate to; for several steps use a file and `apply`
    #[arg(long, value_name = "FOLDER", requires = "when")]
    escalate_to: Option<String>,
    /// Sentence that the visitor reads when the turn is escalated
    #[arg(long, value_name = "TEXT", requires = "escalate_to")]
    escalate_say: Option<String>,
    /// Don't escalate, whatever shorter prefixes say
    #[arg(long, conflicts_with = "escalate_to")]
    no_escalation: bool,
    /// End a turn that takes longer than this
    #[arg(long, value_name = "DURATION", value_parser = time::parse)]
    give_up_after: Option<Duration>,
    /// Sentence that the visitor reads when --give-up-after ends the turn
    #[arg(long, value_name = "TEXT", requires = "give_up_after")]
    give_up_say: Option<String>,
    /// Take this field from the next shorter prefix; repeatable
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    unset: Vec<Field>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Field {
    Target,
    Persona,
    Topic,
    Mode,
    Escalation,
    #[value(alias = "give_up")]
    GiveUp,
    #[value(alias = "observe_for")]
    ObserveFor,
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Persona => "persona",
            Self::Topic => "topic",
            Self::Mode => "mode",
            Self::Escalation => "escalation",
            Self::GiveUp => "give_up",
            Self::ObserveFor => "observe_for",
        }
    }
}

impl Set {
    /// Returns a request that changes the named fields alone.
    pub(super) fn into_request(self) -> anyhow::Result<SetRouteRequest> {
        let step = self.escalate_to.map(|to| EscalationStep {
            after: self.escalate_after,
            unfinished_after: self.escalate_unfinished_after,
            to,
            say: self.escalate_say.unwrap_or_default(),
        });
        let escalates = step.is_some() || self.no_escalation;
        let route = Route {
            prefix: self.prefix,
            target: self.target,
            persona: self.persona,
            topic: self.topic,
            mode: self.mode.map_or(RouteMode::Unspecified, RouteMode::from).into(),
            escalation: escalates.then(|| Escalation { steps: step.into_iter().collect() }),
            give_up: self.give_up_after.map(|after| GiveUp {
                after: Some(after),
                say: self.give_up_say.unwrap_or_default(),
            }),
            observe_for: self
                .observe_for
                .map_or(v1::ObserveFor::Unspecified, v1::ObserveFor::from)
                .into(),
            only_folder: String::new(),
        };
        let set = [
            (Field::Target, route.target.is_some()),
            (Field::Persona, route.persona.is_some()),
            (Field::Topic, route.topic.is_some()),
            (Field::Mode, self.mode.is_some()),
            (Field::Escalation, route.escalation.is_some()),
            (Field::GiveUp, route.give_up.is_some()),
            (Field::ObserveFor, self.observe_for.is_some()),
        ];
        let set = set.into_iter().filter(|(_, is_set)| *is_set);
        let set: Vec<Field> = set.map(|(field, _)| field).collect();
        if let Some(both) = set.iter().find(|field| self.unset.contains(field)) {
            let why = format!("set the {} or unset it, not both\n", both.name());
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, why).into());
        }
        let named = set.iter().chain(&self.unset);
        let paths = named.map(|field| field.name().to_owned()).collect();
        Ok(SetRouteRequest { route: Some(route), update_mask: Some(FieldMask { paths }) })
    }
}
