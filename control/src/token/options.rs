//! The options of a token, and which of its fields can be changed later.

use super::Kind;
use crate::{
    hook_options::HookOptions, identity::VisitorKey, link_limits::LinkLimits, looks::Looks,
    refusal::Refusal, time::MAX_LIFETIME,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many origins a link allows, at most.
const MAX_ORIGINS: usize = 50;

/// What a link's owner chooses for it: its texts, allowed origins, limits, looks and more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) name: String,
    pub(crate) greeting: String,
    pub(crate) context: String,
    pub(crate) allowed_origins: Vec<String>,
    #[serde(default, skip_serializing_if = "LinkLimits::is_default")]
    pub(crate) limits: LinkLimits,
    #[serde(default, skip_serializing_if = "HookOptions::is_default")]
    pub(crate) hook: HookOptions,
    #[serde(default, skip_serializing_if = "Looks::is_default")]
    pub(crate) looks: Looks,
    /// The keys that check who a chat link's visitors are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) visitor_keys: Vec<VisitorKey>,
    /// Whether the link takes no messages for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) paused: bool,
}

impl Options {
    /// Returns the size of the options in the token's record, in bytes.
    pub(super) fn size(&self) -> u64 {
        serde_json::to_vec(self).map_or(0, |options| options.len() as u64)
    }

    /// Checks the options of a token of this kind.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for an option that is malformed or out of range, or not for this kind.
    pub(super) fn check(&self, kind: Kind) -> Result<(), Refusal> {
        let Self {
            name,
            greeting,
            context,
            allowed_origins,
            limits,
            hook,
            looks,
            visitor_keys,
            paused: _,
        } = self;
        for (what, text, most) in
            [("name", name, 100), ("greeting", greeting, 4_000), ("context", context, 16_000)]
        {
            if text.chars().count() > most {
                return Err(Refusal::invalid(format!("a {what} has at most {most} characters")));
            }
        }
        if allowed_origins.len() > MAX_ORIGINS {
            let why = format!("a link has at most {MAX_ORIGINS} allowed origins");
            return Err(Refusal::Invalid(why));
        }
        allowed_origins.iter().try_for_each(|origin| check_origin(origin))?;
        limits.check()?;
        if kind == Kind::Hook && limits.proof_of_work.is_some() {
            return Err(Refusal::invalid("a webhook's sender can't do a proof of work"));
        }
        if kind == Kind::Hook && limits.visitor_turns_per_day.is_some() {
            return Err(Refusal::invalid("a webhook has no visitors: use turns_per_day"));
        }
        if kind == Kind::Chat && !hook.is_default() {
            return Err(Refusal::invalid("only a webhook has hook options: leave out hook"));
        }
        if kind == Kind::Hook && !visitor_keys.is_empty() {
            return Err(Refusal::invalid("a webhook has no visitors: leave out visitor_keys"));
        }
        if kind == Kind::Hook && !looks.is_default() {
            return Err(Refusal::invalid("only a chat link has looks: leave them out"));
        }
        hook.check()?;
        looks.check()
    }
}

/// Checks a token's lifetime.
///
/// # Errors
/// [`Refusal::Invalid`] if the lifetime is zero or too long.
pub(super) fn check_lifetime(lifetime: Option<Duration>) -> Result<(), Refusal> {
    match lifetime {
        Some(lifetime) if lifetime.is_zero() => {
            Err(Refusal::invalid("a lifetime must be longer than 0"))
        }
        Some(lifetime) if lifetime >= MAX_LIFETIME => {
            Err(Refusal::invalid("a lifetime must be less than 100 years"))
        }
        _ => Ok(()),
    }
}

/// Checks that an origin is a scheme and an authority, as browsers send it.
fn check_origin(origin: &str) -> Result<(), Refusal> {
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:[]".contains(c);
    let fits = authority.is_some_and(|a| !a.is_empty() && a.len() <= 255 && a.chars().all(plain));
    let refusal =
        || Refusal::invalid(format!("an origin looks like https://acme.com, not {origin:?}"));
    fits.then_some(()).ok_or_else(refusal)
}

/// A property that can be changed.
pub(crate) struct Field {
    /// Its path in the contract's `LinkOptions`.
    pub(super) path: &'static str,
    /// Copies it from the second options to the first.
    pub(super) take: fn(&mut Options, &Options),
}

/// The lifetime is not an option: [`edit`](super::edit::edit) changes it.
pub(super) const LIFETIME: &str = "lifetime";
/// An edit of this alone is a pause or a resumption in the audit log.
pub(super) const PAUSED: &str = "paused";
/// The logo itself is a record of its own, which [`edit`](super::edit::edit) writes.
pub(super) const LOGO: &str = "looks.logo";

#[rustfmt::skip]
const FIELDS: [Field; 26] = [
    Field { path: "name", take: |to, from| to.name.clone_from(&from.name) },
    Field { path: "greeting", take: |to, from| to.greeting.clone_from(&from.greeting) },
    Field { path: "context", take: |to, from| to.context.clone_from(&from.context) },
    Field { path: "allowed_origins", take: |to, from| to.allowed_origins.clone_from(&from.allowed_origins) },
    Field { path: LIFETIME, take: |_, _| {} },
    Field { path: "limits.rate", take: |to, from| to.limits.rate.clone_from(&from.limits.rate) },
    Field { path: "limits.burst", take: |to, from| to.limits.burst = from.limits.burst },
    Field { path: "limits.max_open_turns", take: |to, from| to.limits.max_open_turns = from.limits.max_open_turns },
    Field { path: "limits.proof_of_work", take: |to, from| to.limits.proof_of_work = from.limits.proof_of_work },
    Field { path: "limits.turns_per_day", take: |to, from| to.limits.turns_per_day = from.limits.turns_per_day },
    Field { path: "limits.visitor_turns_per_day", take: |to, from| to.limits.visitor_turns_per_day = from.limits.visitor_turns_per_day },
    Field { path: "limits.tokens_per_day", take: |to, from| to.limits.tokens_per_day = from.limits.tokens_per_day },
    Field { path: "hook.dedupe", take: |to, from| to.hook.dedupe.clone_from(&from.hook.dedupe) },
    Field { path: "hook.wait", take: |to, from| to.hook.wait = from.hook.wait },
    Field { path: "hook.only", take: |to, from| to.hook.only.clone_from(&from.hook.only) },
    Field { path: "looks.accent", take: |to, from| to.looks.accent.clone_from(&from.looks.accent) },
    Field { path: "looks.theme", take: |to, from| to.looks.theme = from.looks.theme },
    Field { path: "looks.starters", take: |to, from| to.looks.starters.clone_from(&from.looks.starters) },
    Field { path: "looks.placeholder", take: |to, from| to.looks.placeholder.clone_from(&from.looks.placeholder) },
    Field { path: "looks.language", take: |to, from| to.looks.language.clone_from(&from.looks.language) },
    Field { path: "looks.legal_url", take: |to, from| to.looks.legal_url.clone_from(&from.looks.legal_url) },
    Field { path: "looks.presence", take: |to, from| to.looks.presence.clone_from(&from.looks.presence) },
    Field { path: "looks.hours", take: |to, from| to.looks.hours.clone_from(&from.looks.hours) },
    Field { path: "looks.away", take: |to, from| to.looks.away.clone_from(&from.looks.away) },
    Field { path: PAUSED, take: |to, from| to.paused = from.paused },
    Field { path: LOGO, take: |to, from| to.looks.logo = from.looks.logo },
];

impl Field {
    pub(crate) fn parse(path: &str) -> Result<&'static Self, Refusal> {
        let known = FIELDS.iter().find(|field| field.path == path);
        known.ok_or_else(|| Refusal::Invalid(format!("a token has no field {path:?} to change")))
    }
}
