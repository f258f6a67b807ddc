//! The names that are completed: folders, JIDs and ids, which come from control, and the names of
//! contexts, which are on this machine. The name of an argument's value in the help, such as
//! `FOLDER` or `JID|tok_…|URL`, says which of these the argument takes.

use crate::{connect, console::printable, contexts, control::Control, event, key, route, token};
use arizuko_proto::{
    v1::{
        Conversation, GetStatusRequest, ListConversationsRequest, ListEventsRequest,
        ListTokensRequest, Token,
    },
    variables,
};
use clap::{Arg, Command, FromArgMatches as _, ValueHint};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use std::{cmp::Reverse, collections::BTreeSet, ffi::OsString, time::Duration};
use tokio::{runtime, time::timeout};

/// How long control may take: somebody waits, and can type the rest themselves.
const DEADLINE: Duration = Duration::from_secs(1);
/// How many conversations are offered, the most recent ones.
const RECENT: u32 = 50;
/// From how many tenants an operator is offered conversations: few, since the audit log notes each
/// reading.
const TENANTS: usize = 8;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Context,
    Conversation,
    Event,
    Folder,
    Hook,
    Jid,
    Key,
    Route,
    Subscription,
    Token,
    Turn,
}

impl Kind {
    fn of(value: &str) -> Option<Self> {
        Some(match value {
            "CONTEXT" => Self::Context,
            "cnv_…" => Self::Conversation,
            "evt_…" => Self::Event,
            "FOLDER" => Self::Folder,
            "hook:…" => Self::Hook,
            "JID" => Self::Jid,
            "key_…" => Self::Key,
            "PREFIX" => Self::Route,
            "sub_…" => Self::Subscription,
            "tok_…" => Self::Token,
            "trn_…" => Self::Turn,
            _ => return None,
        })
    }
}

/// A word that completes the command line, and the description that is shown beside it.
type Name = (String, String);

/// Returns a command that completes names from the control that `words` lead to.
pub(super) fn complete(command: Command, words: &[OsString]) -> Command {
    let command = command.mut_args(|arg| {
        let kinds = kinds(&arg);
        if kinds.is_empty() {
            return arg;
        }
        let words = words.to_vec();
        arg.add(ArgValueCandidates::new(move || candidates(&kinds, &words)))
    });
    command.mut_subcommands(|command| complete(command, words))
}

fn kinds(arg: &Arg) -> Vec<Kind> {
    let values = arg.get_value_names().unwrap_or_default();
    // A value with a hint is a path on this machine.
    let values = values.iter().filter(|_| arg.get_value_hint() == ValueHint::Unknown);
    values.flat_map(|value| value.split('|')).filter_map(Kind::of).collect()
}

fn candidates(kinds: &[Kind], words: &[OsString]) -> Vec<CompletionCandidate> {
    if kinds.contains(&Kind::Context) {
        let contexts = contexts::read().unwrap_or_default();
        return contexts.into_keys().map(CompletionCandidate::new).collect();
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let (Ok(runtime), Some(control)) = (runtime, control(words)) else { return Vec::new() };
    let found = runtime.block_on(async { timeout(DEADLINE, names(kinds, words, &control)).await });
    // Does not wait for what still runs, such as the query of a name server.
    runtime.shutdown_background();
    let names = found.ok().and_then(Result::ok).unwrap_or_default();
    let candidate = |(word, about): Name| {
        let about = Some(printable(&about).into_owned()).filter(|about| !about.is_empty());
        CompletionCandidate::new(word).help(about.map(Into::into))
    };
    names.into_iter().map(candidate).collect()
}

/// Finds control by the flags before the word that is to be completed, or else as any command does.
fn control(words: &[OsString]) -> Option<Control> {
    let before = &words[..words.len().saturating_sub(1)];
    let command = variables::without_empty(crate::command()).ignore_errors(true);
    let matches = command.try_get_matches_from(before).ok()?;
    let here = connect::context(&matches);
    if let Some(name) = here.or_else(|| matches.get_one("context").cloned()) {
        contexts::choose(name);
    }
    let mut matches = &matches;
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    matches.try_contains_id("control").ok()?;
    // An error says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    connect::Options::from_arg_matches(matches).ok()?.find().ok()
}

async fn names(kinds: &[Kind], words: &[OsString], control: &Control) -> anyhow::Result<Vec<Name>> {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let begun = words.last().map(AsRef::as_ref).unwrap_or_default();
    let mut names = Vec::new();
    let of_tokens = [Kind::Folder, Kind::Hook, Kind::Jid, Kind::Route, Kind::Token];
    let tokens = match kinds.iter().any(|kind| of_tokens.contains(kind)) {
        true => token::list(control, ListTokensRequest::default()).await?.tokens,
        false => Vec::new(),
    };
    let jids = || tokens.iter().map(|token| token.jid.clone());
    for kind in kinds {
        match kind {
            // While a folder is being typed, no conversations are read: that would make an audit
            // entry.
            Kind::Conversation if agrees(begun, "cnv_") => {
                let found = conversations(control).await?.into_iter();
                names.extend(found.map(|one| (one.conversation_id, one.jid)));
            }
            Kind::Context | Kind::Conversation => {}
            Kind::Event => {
                // On the command line, the subscription comes before its events.
                let of = words.iter().find(|word| word.starts_with("sub_"));
                let subscription_id = of.map(ToString::to_string).unwrap_or_default();
                let request =
                    ListEventsRequest { subscription_id, parked: true, ..Default::default() };
                let listed = control.events().await?.list_events(request).await;
                let listed = control.answer(listed)?.events.into_iter();
                names.extend(listed.map(|event| (event.event_id, event.kind)));
            }
            Kind::Folder => {
                let folders = tokens.iter().map(|token| token.folder.clone());
                names.extend(once(with_parents(folders.chain(attached(control).await))));
            }
            Kind::Hook => names.extend(once(jids().filter(|jid| jid.starts_with("hook:")))),
            Kind::Jid => names.extend(once(jids())),
            Kind::Key => {
                let keys = key::list(control, String::new()).await?.keys;
                let about = |folder: String, name: String| format!("{folder} {name}");
                let keys = keys.into_iter().map(|key| (key.key_id, about(key.folder, key.name)));
                names.extend(keys);
            }
            Kind::Route => {
                let routes = route::list(control, None).await?.routes;
                names.extend(once(jids().chain(routes.into_iter().map(|route| route.prefix))));
            }
            Kind::Subscription => {
                let listed = event::subscriptions(control, String::new()).await?.subscriptions;
                names.extend(listed.into_iter().map(|one| (one.subscription_id, one.folder)));
            }
            Kind::Token => {
                let tokens = tokens.iter();
                names.extend(tokens.map(|token| (token.token_id.clone(), token.jid.clone())));
            }
            Kind::Turn => {
                let found = conversations(control).await?.into_iter();
                names.extend(found.map(|one| (one.turn_id, one.jid)));
            }
        }
    }
    Ok(names)
}

/// Whether a word that begins with `begun` can begin with `prefix`.
fn agrees(begun: &str, prefix: &str) -> bool {
    begun.starts_with(prefix) || prefix.starts_with(begun)
}

/// Returns conversations, the most recently active first: of the key's folder, or else of the
/// tenants that have links, since an operator's key has no folder.
async fn conversations(control: &Control) -> anyhow::Result<Vec<Conversation>> {
    let mut client = control.conversations().await?;
    let mut list = async |folder: String| {
        let request = ListConversationsRequest { folder, page_size: RECENT, ..Default::default() };
        anyhow::Ok(control.answer(client.list_conversations(request).await)?.conversations)
    };
    let mut listed = Vec::new();
    match list(String::new()).await {
        Ok(own) => listed = own,
        Err(_) => {
            let tokens = token::list(control, ListTokensRequest::default()).await?.tokens;
            let root = |token: Token| token.folder.split('/').next().map(str::to_owned);
            let roots: BTreeSet<_> = tokens.into_iter().filter_map(root).collect();
            for root in roots.into_iter().take(TENANTS) {
                listed.extend(list(root).await?);
            }
        }
    }
    listed.sort_by_key(|conversation| {
        Reverse(conversation.active_at.map(|at| (at.seconds, at.nanos)))
    });
    listed.truncate(RECENT as usize);
    Ok(listed)
}

/// Returns the folders that agents or turns are in, as far as the key may know them.
async fn attached(control: &Control) -> Vec<String> {
    let Ok(mut admin) = control.admin().await else { return Vec::new() };
    let status = admin.get_status(GetStatusRequest {}).await;
    let folders = status.map(|status| status.into_inner().folders).unwrap_or_default();
    folders.into_iter().map(|folder| folder.folder).collect()
}

/// Adds the folders that contain these.
fn with_parents(folders: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    folders.flat_map(|folder| {
        let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
        ends.map(|end| folder[..end].to_owned()).collect::<Vec<_>>()
    })
}

/// Returns each word once, in order.
fn once(words: impl Iterator<Item = String>) -> Vec<Name> {
    let words: BTreeSet<_> = words.collect();
    words.into_iter().map(|word| (word, String::new())).collect()
}
