//! Routes: what happens to the messages of all JIDs with a prefix.
//!
//! Each route is a record, and an index names all routes of a tenant. The commit that takes a
//! message reads the index and the routes whose prefixes match.

use crate::{
    jid::{self, FolderName},
    key::{Caller, Role},
    limits::LONGEST_ROUTE_WAIT,
    names,
    refusal::Refusal,
    transaction::{Decision, Record, Tx},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

mod explain;
mod steps;
mod table;

pub(crate) use explain::{Explained, explain};
pub(crate) use table::{RouteChange, apply, delete, list, set};

const MAX_PERSONA: usize = 4_000;
const MAX_TOPIC: usize = 200;
const MAX_SAY: usize = 1_000;
const MAX_STEPS: usize = 10;

/// What happens to a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    #[default]
    Trigger,
    Observe,
    Drop,
}

/// Which turns get an observed webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ObserveFor {
    /// Turns of webhooks, and turns that a person answers.
    People,
    /// All turns, including visitors' turns that an agent answers.
    Visitors,
}

/// A step of an escalation: when a turn moves to another folder, counted from when its message was
/// taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The turn moves after this time if no agent of its folder has added a frame.
    #[serde(with = "crate::time::stored::option")]
    pub(crate) after: Option<Duration>,
    /// The turn moves after this time if it has not ended.
    #[serde(with = "crate::time::stored::option")]
    pub(crate) unfinished_after: Option<Duration>,
    pub(crate) to: FolderName,
    /// What the visitor is told.
    pub(crate) say: String,
}

/// When a turn ends as expired, counted from when its message was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GiveUp {
    #[serde(with = "crate::time::stored")]
    pub(crate) after: Duration,
    /// What the visitor is told.
    pub(crate) say: String,
}

/// The route of one prefix. A field that is `None` comes from the longest shorter prefix that sets
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) prefix: String,
    pub(crate) target: Option<FolderName>,
    pub(crate) persona: Option<String>,
    pub(crate) topic: Option<String>,
    pub(crate) mode: Option<Mode>,
    pub(crate) escalation: Option<Vec<Step>>,
    pub(crate) give_up: Option<GiveUp>,
    pub(crate) observe_for: Option<ObserveFor>,
    /// Limits the route to tokens of some folders, if the key that set it doesn't reach the whole
    /// tenant.
    pub(crate) only: Option<Reach>,
}

/// A folder and, if `below`, the folders below it. A prefix alone doesn't tell which folder's JIDs
/// it covers: `hook:acme/eng` begins the JIDs of all webhooks of the folder `acme/eng`, and also
/// those of the webhooks of the folder `acme` that have the source `eng`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reach {
    pub(crate) folder: FolderName,
    pub(crate) below: bool,
}

impl Reach {
    /// Returns what an agent's key reaches; `None` for other keys, which reach all or nothing.
    fn of(caller: &Caller) -> Option<Self> {
        match &caller.role {
            Role::Agent { folder, subtree, .. } => {
                Some(Self { folder: folder.clone(), below: *subtree })
            }
            Role::Operator | Role::Viewer | Role::Gateway => None,
        }
    }

    fn has(&self, folder: &FolderName) -> bool {
        match self.below {
            true => folder.is_within(&self.folder),
            false => *folder == self.folder,
        }
    }

    fn has_all_of(&self, other: &Self) -> bool {
        self.has(&other.folder) && (self.below || !other.below)
    }
}

/// A field that a route may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Target,
    Persona,
    Topic,
    Mode,
    Escalation,
    GiveUp,
    ObserveFor,
}

impl Field {
    pub(crate) const ALL: [Self; 7] = [
        Self::Target,
        Self::Persona,
        Self::Topic,
        Self::Mode,
        Self::Escalation,
        Self::GiveUp,
        Self::ObserveFor,
    ];

    pub(crate) fn name(self) -> &'static str {
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

    pub(crate) fn parse(name: &str) -> Result<Self, Refusal> {
        let known = Self::ALL.into_iter().find(|field| field.name() == name);
        known.ok_or_else(|| Refusal::invalid(format!("a route has no field {name:?}")))
    }
}

impl Route {
    fn has(&self, field: Field) -> bool {
        match field {
            Field::Target => self.target.is_some(),
            Field::Persona => self.persona.is_some(),
            Field::Topic => self.topic.is_some(),
            Field::Mode => self.mode.is_some(),
            Field::Escalation => self.escalation.is_some(),
            Field::GiveUp => self.give_up.is_some(),
            Field::ObserveFor => self.observe_for.is_some(),
        }
    }

    fn is_empty(&self) -> bool {
        !Field::ALL.into_iter().any(|field| self.has(field))
    }

    /// Copies one field from another route.
    fn take(&mut self, field: Field, from: &Self) {
        match field {
            Field::Target => self.target.clone_from(&from.target),
            Field::Persona => self.persona.clone_from(&from.persona),
            Field::Topic => self.topic.clone_from(&from.topic),
            Field::Mode => self.mode = from.mode,
            Field::Escalation => self.escalation.clone_from(&from.escalation),
            Field::GiveUp => self.give_up.clone_from(&from.give_up),
            Field::ObserveFor => self.observe_for = from.observe_for,
        }
    }

    /// Returns the folders that the route names.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &FolderName> {
        let steps = self.escalation.iter().flatten().map(|step| &step.to);
        self.target.iter().chain(steps)
    }

    /// Removes the target and the escalation steps that name folders beyond the caller's reach.
    /// Called before the route is shown to the caller.
    pub(crate) fn hide_beyond(&mut self, caller: &Caller) {
        let is_reached = |folder: &FolderName| caller.must_reach(folder).is_ok();
        self.target.take_if(|target| !is_reached(target));
        if let Some(steps) = &mut self.escalation {
            steps.retain(|step| is_reached(&step.to));
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        let of_this = |why: Refusal| Refusal::invalid(format!("{}: {why}", self.prefix));
        self.fits().map_err(of_this)
    }

    fn fits(&self) -> Result<(), Refusal> {
        let root = jid::root(&self.prefix)?;
        for folder in self.folders() {
            if folder.root() != root {
                return Err(Refusal::invalid(format!(
                    "{folder} is not within {root}: a route stays in its root folder"
                )));
            }
        }
        short("a persona", self.persona.as_deref(), MAX_PERSONA)?;
        short("a topic", self.topic.as_deref(), MAX_TOPIC)?;
        let steps = self.escalation.as_deref().unwrap_or_default();
        if steps.len() > MAX_STEPS {
            return Err(Refusal::invalid(format!("an escalation has at most {MAX_STEPS} steps")));
        }
        for step in steps {
            if step.after.is_none() && step.unfinished_after.is_none() {
                return Err(Refusal::invalid(format!(
                    "the step to {} needs after, unfinished_after, or both",
                    step.to
                )));
            }
            for after in [step.after, step.unfinished_after].into_iter().flatten() {
                within_limits(after)?;
            }
            short("what the visitor is told", Some(&step.say), MAX_SAY)?;
        }
        if let Some(give_up) = &self.give_up {
            within_limits(give_up.after)?;
            short("what the visitor is told", Some(&give_up.say), MAX_SAY)?;
        }
        Ok(())
    }
}

fn short(what: &str, text: Option<&str>, most: usize) -> Result<(), Refusal> {
    if text.is_some_and(|text| text.chars().count() > most) {
        return Err(Refusal::invalid(format!("{what} has at most {most} characters")));
    }
    Ok(())
}

fn within_limits(after: Duration) -> Result<(), Refusal> {
    let fits = !after.is_zero() && after <= LONGEST_ROUTE_WAIT;
    let refusal = || Refusal::invalid("a time must be longer than 0 and at most 7 days");
    fits.then_some(()).ok_or_else(refusal)
}

impl Record for Route {
    /// The prefix.
    type Id = str;

    fn name(prefix: &str) -> String {
        names::route(prefix)
    }
}

/// The prefixes of a tenant that have routes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Index(BTreeSet<String>);

impl Record for Index {
    /// The tenant's root folder.
    type Id = str;

    fn name(root: &str) -> String {
        names::route_index(root)
    }
}

/// Stores an empty index if there is none: every message reads the index, and control can remember
/// only a record that exists.
pub(crate) fn ensure_index(tx: &mut Tx<'_>, root: &str) -> Decision<()> {
    if tx.get::<Index>(root)?.is_none() {
        tx.put(root, &Index::default())?;
    }
    Ok(())
}

/// The route of a JID, resolved from all its prefixes, and which prefix sets each field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) route: Route,
    /// The prefix that each field is from, in the order of [`Field::ALL`].
    pub(crate) sources: [Option<String>; Field::ALL.len()],
}

impl Resolved {
    fn fill(&mut self, from: &Route) {
        for (field, source) in Field::ALL.into_iter().zip(&mut self.sources) {
            if source.is_none() && from.has(field) {
                self.route.take(field, from);
                *source = Some(from.prefix.clone());
            }
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.route.mode.unwrap_or_default()
    }
}

/// Resolves the route of a message to `jid`, for a token of `folder`.
pub(crate) fn resolve(tx: &mut Tx<'_>, jid: &str, folder: &FolderName) -> Decision<Resolved> {
    let index = tx.get::<Index>(folder.root())?.unwrap_or_default();
    let matching: Vec<&str> = beginnings(jid).filter(|prefix| index.0.contains(*prefix)).collect();
    tx.expect(matching.iter().map(|prefix| Route::name(prefix)))?;
    let mut resolved = Resolved::default();
    jid.clone_into(&mut resolved.route.prefix);
    for prefix in matching {
        let route = tx.get::<Route>(prefix)?;
        if let Some(route) = route.filter(|r| r.only.as_ref().is_none_or(|only| only.has(folder))) {
            resolved.fill(&route);
        }
    }
    Ok(resolved)
}

/// Returns the target of the longest prefix whose route names one, as far as `known` remembers the
/// routes.
pub(crate) fn likely_target(
    jid: &str,
    known: impl Fn(&str) -> Option<Route>,
) -> Option<FolderName> {
    beginnings(jid).find_map(|prefix| known(prefix)?.target)
}

/// Returns a JID and its prefixes that end with a whole segment, the longest first.
fn beginnings(jid: &str) -> impl Iterator<Item = &str> {
    let ends = jid.rmatch_indices('/').map(|(at, _)| &jid[..at]);
    std::iter::once(jid).chain(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jid_begins_with_its_segments() {
        let found: Vec<_> = beginnings("hook:acme/eng/linear").collect();
        assert_eq!(found, ["hook:acme/eng/linear", "hook:acme/eng", "hook:acme"]);
        assert_eq!(beginnings("web:acme").collect::<Vec<_>>(), ["web:acme"]);
    }

    #[test]
    fn a_field_that_a_longer_prefix_sets_stays() {
        let mut resolved = Resolved::default();
        resolved.fill(&Route {
            prefix: "web:acme/support".to_owned(),
            persona: Some(String::new()),
            ..Route::default()
        });
        resolved.fill(&Route {
            prefix: "web:acme".to_owned(),
            persona: Some("friendly".to_owned()),
            topic: Some("t".to_owned()),
            ..Route::default()
        });
        assert_eq!(resolved.route.persona.as_deref(), Some(""));
        assert_eq!(resolved.route.topic.as_deref(), Some("t"));
        assert_eq!(resolved.sources[1].as_deref(), Some("web:acme/support"));
        assert_eq!(resolved.sources[2].as_deref(), Some("web:acme"));
        assert_eq!(resolved.sources[0], None);
    }
}
