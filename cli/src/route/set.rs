//! `arizuko route set`: the fields that the flags name.

use super::{entry::Mode, prefix};
use crate::time;
use arizuko_proto::v1::{Escalation, EscalationStep, GiveUp, Route, RouteMode, SetRouteRequest};
use clap::{ArgGroup, ValueEnum, error::ErrorKind};
use prost_types::{Duration, FieldMask};

#[derive(clap::Args)]
#[command(group = ArgGroup::new("said").required(true).multiple(true).args([
    "target", "persona", "topic", "mode", "escalate_to", "no_escalation", "give_up_after", "unset",
]))]
#[command(group = ArgGroup::new("when").multiple(true).args([
    "escalate_after", "escalate_unfinished_after",
]))]
pub(super) struct Set {
    /// A JID or its beginning, for example web:acme or hook:acme/github
    #[arg(value_parser = prefix)]
    prefix: String,
    /// The folder whose agent answers
    #[arg(long, value_name = "FOLDER")]
    target: Option<String>,
    /// Who the agent is to be
    #[arg(long, value_name = "TEXT")]
    persona: Option<String>,
    /// A label for agents and reports
    #[arg(long, value_name = "TEXT")]
    topic: Option<String>,
    /// What a message does
    #[arg(long)]
    mode: Option<Mode>,
    /// Ask another folder when nothing has come of the agent after so long, for example 2m
    #[arg(long, value_name = "DURATION", value_parser = time::lifetime, requires = "escalate_to")]
    escalate_after: Option<Duration>,
    /// Ask another folder when the reply has not ended after so long
    #[arg(long, value_name = "DURATION", value_parser = time::lifetime, requires = "escalate_to")]
    escalate_unfinished_after: Option<Duration>,
    /// Which folder to ask then; for several in turn use a file and `apply`
    #[arg(long, value_name = "FOLDER", requires = "when")]
    escalate_to: Option<String>,
    /// What the visitor reads then
    #[arg(long, value_name = "TEXT", requires = "escalate_to")]
    escalate_say: Option<String>,
    /// Ask nobody else, whatever shorter prefixes say
    #[arg(long, conflicts_with = "escalate_to")]
    no_escalation: bool,
    /// End a turn that takes longer
    #[arg(long, value_name = "DURATION", value_parser = time::lifetime)]
    give_up_after: Option<Duration>,
    /// What the visitor reads then
    #[arg(long, value_name = "TEXT", requires = "give_up_after")]
    give_up_say: Option<String>,
    /// Leave these to the shorter prefixes; repeatable
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
        }
    }
}

impl Set {
    /// The fields that are named, and no others.
    pub(super) fn request(self) -> anyhow::Result<SetRouteRequest> {
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
            only_folder: String::new(),
        };
        let set = [
            (Field::Target, route.target.is_some()),
            (Field::Persona, route.persona.is_some()),
            (Field::Topic, route.topic.is_some()),
            (Field::Mode, self.mode.is_some()),
            (Field::Escalation, route.escalation.is_some()),
            (Field::GiveUp, route.give_up.is_some()),
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
