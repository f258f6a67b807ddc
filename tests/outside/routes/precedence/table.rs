//! A simple model of the routes, and of how they resolve.

use arizuko_tests::prelude::*;
use std::collections::BTreeMap;

/// The fields, in the order of ExplainRoute.
pub(super) const FIELDS: [&str; 7] =
    ["target", "persona", "topic", "mode", "escalation", "give_up", "observe_for"];

/// The routes by prefix.
#[derive(Default)]
pub(super) struct Table(pub(super) BTreeMap<String, Route>);

impl Table {
    /// Sets fields of a route; an empty list means all fields. Returns whether that is valid: a
    /// new route must set something.
    pub(super) fn set(&mut self, new: &Route, fields: &[&str]) -> bool {
        let before = self.0.remove(&new.prefix);
        let was_there = before.is_some();
        let mut after = before.unwrap_or_else(|| route(&new.prefix));
        for field in if fields.is_empty() { &FIELDS } else { fields } {
            take(&mut after, field, new);
        }
        let says_something = after != route(&new.prefix);
        if says_something {
            self.0.insert(new.prefix.clone(), after);
        }
        says_something || was_there
    }

    /// Resolves all fields of a JID. Also returns the prefix that sets each field.
    pub(super) fn resolve(&self, jid: &str, folder: &str) -> (Route, Vec<String>) {
        let mut whole = route(jid);
        let mut sources = Vec::new();
        for field in FIELDS {
            let says = |said: &&Route| {
                let mut alone = route("");
                take(&mut alone, field, said);
                alone != route("")
            };
            let covers =
                |said: &&Route| jid == said.prefix || jid.starts_with(&format!("{}/", said.prefix));
            let longest = self.0.values().filter(covers).filter(says);
            let longest = longest.max_by_key(|said| said.prefix.len());
            sources.push(longest.map(|said| said.prefix.clone()).unwrap_or_default());
            if let Some(said) = longest {
                take(&mut whole, field, said);
            }
        }
        whole.target.get_or_insert_with(|| folder.to_owned());
        if whole.mode() == RouteMode::Unspecified {
            whole.set_mode(RouteMode::Trigger);
        }
        (whole, sources)
    }
}

/// Copies one field of a route.
fn take(into: &mut Route, field: &str, from: &Route) {
    match field {
        "target" => into.target.clone_from(&from.target),
        "persona" => into.persona.clone_from(&from.persona),
        "topic" => into.topic.clone_from(&from.topic),
        "mode" => into.mode = from.mode,
        "escalation" => into.escalation.clone_from(&from.escalation),
        "give_up" => into.give_up.clone_from(&from.give_up),
        _ => into.observe_for = from.observe_for,
    }
}
