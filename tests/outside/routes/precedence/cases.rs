//! Random changes of routes, on few prefixes so that they overlap.

use super::{FOLDERS, table::FIELDS};
use arizuko_proto::v1::{Escalation, EscalationStep, GiveUp, ObserveFor};
use arizuko_tests::prelude::*;
use proptest::{collection::vec, option, prelude::*, sample::select};
use prost_types::Duration;

const PREFIXES: [&str; 12] = [
    "web:acme",
    "web:acme/sup",
    "web:acme/support",
    "web:acme/eng",
    "web:acme/eng/linear",
    "web:acme/en",
    "web:acmex",
    "web:acm",
    "hook:acme",
    "hook:acme/eng",
    "hook:acme/eng/linear",
    "hook:acme/eng/lin",
];

const MODES: [RouteMode; 4] =
    [RouteMode::Unspecified, RouteMode::Trigger, RouteMode::Observe, RouteMode::Drop];

const OBSERVE_FOR: [ObserveFor; 3] =
    [ObserveFor::Unspecified, ObserveFor::People, ObserveFor::Visitors];

/// One change of the routes.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Sets these fields of a route; all fields if none is named.
    Set(Box<Route>, Vec<&'static str>),
    Delete(&'static str),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let set = (any_route(), vec(select(&FIELDS[..]), 0..4));
    prop_oneof![
        6 => set.prop_map(|(route, fields)| Step::Set(Box::new(route), fields)),
        1 => select(&PREFIXES[..]).prop_map(Step::Delete),
    ]
}

fn any_route() -> impl Strategy<Value = Route> {
    let text = || option::of(select(&["", "one", "two"][..]).prop_map(str::to_owned));
    // Steps come in order, and before their route or the route of a shorter prefix gives up.
    let (before, after) = (3_600..300_000_i64, 300_000..600_000_i64);
    let length = |seconds| Duration { seconds, nanos: 0 };
    // Folders must be in the prefix's root folder, which for most prefixes is acme.
    let to = select(&FOLDERS[..3]).prop_map(str::to_owned);
    let steps = vec((before, to.clone()), 0..3).prop_map(|mut steps| {
        steps.sort_by_key(|(seconds, _)| *seconds);
        steps.dedup_by_key(|(seconds, _)| *seconds);
        steps
    });
    let said = (option::of(to), text(), text(), select(&MODES[..]));
    let late = (option::of(steps), option::of(after.prop_map(length)), select(&OBSERVE_FOR[..]));
    (select(&PREFIXES[..]), said, late).prop_map(
        move |(prefix, (target, persona, topic, mode), (steps, give_up, observe_for))| {
            // The other root folders have no subfolders: their routes name the root folder itself.
            let root = |folder: String| match prefix {
                "web:acmex" | "web:acm" => prefix["web:".len()..].to_owned(),
                _ => folder,
            };
            let step = |(seconds, to)| EscalationStep {
                after: Some(length(seconds)),
                to: root(to),
                ..EscalationStep::default()
            };
            Route {
                target: target.map(root),
                persona,
                topic,
                mode: mode.into(),
                escalation: steps
                    .map(|steps| Escalation { steps: steps.into_iter().map(step).collect() }),
                give_up: give_up.map(|after| GiveUp { after: Some(after), say: String::new() }),
                observe_for: observe_for.into(),
                ..route(prefix)
            }
        },
    )
}
