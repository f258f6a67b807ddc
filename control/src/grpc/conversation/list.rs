//! Reads pages of a tenant's conversations, the most recently active first. A page looks at a
//! bounded number of conversations, even if it finds none that is wanted.

use super::{
    place::Place,
    search::{Search, Searched},
    seen::{self, Seen},
};
use crate::{
    control::Control, grpc::wire, ids::ConversationId, jid::FolderName, key::Caller, ledger::Error,
    names, store::Partition, time::Time, token::Kind,
};
use arizuko_proto::v1::{self, ConversationStatus};

/// How many conversations a page reads from the store at first. If there are more, the page leaves
/// those of the last millisecond that it read to the next page; if it would then have none itself,
/// it reads twice as many.
pub(super) const LOOKED_AT: u32 = 500;
/// How many it reads for a search with an index, which knows of most that they can't match.
const LOOKED_AT_WITH_INDEX: u32 = 5_000;
/// How many conversations are read at a time.
const AT_ONCE: usize = 50;

/// Which conversations are wanted.
pub(super) struct Wanted {
    pub(super) partition: Partition,
    pub(super) caller: Caller,
    /// Only conversations in which this folder, or one below it, takes part.
    pub(super) folder: FolderName,
    pub(super) jid: Option<String>,
    pub(super) since: Option<Time>,
    /// Only conversations that were not active then or later.
    pub(super) until: Option<Time>,
    pub(super) status: ConversationStatus,
    pub(super) kind: Option<Kind>,
    /// Words in lower case. One message, or what the site says of the visitor, must have all of
    /// them.
    pub(super) words: Vec<String>,
}

impl Wanted {
    /// Selects all conversations of a folder, as far as the caller may read them.
    pub(super) fn all_of(partition: Partition, caller: &Caller, folder: FolderName) -> Self {
        Self {
            partition,
            caller: caller.clone(),
            folder,
            jid: None,
            since: None,
            until: None,
            status: ConversationStatus::Unspecified,
            kind: None,
            words: Vec::new(),
        }
    }

    pub(super) fn is_met_by(&self, seen: &Seen) -> bool {
        seen.is_within(&self.folder)
            && seen.is_reached_by(&self.caller)
            && self.jid.as_ref().is_none_or(|jid| seen.has_jid(jid))
            && self.kind.is_none_or(|kind| seen.has_kind(kind))
            && seen.has_status(self.status)
    }

    /// Describes the selection within the folder, for the audit log.
    pub(super) fn describe(&self) -> String {
        let jid = self.jid.clone();
        let words = (!self.words.is_empty()).then(|| format!("with {:?}", self.words.join(" ")));
        let until = self.until.map(|at| format!("inactive since {}", wire::timestamp(at)));
        jid.into_iter().chain(words).chain(until).collect::<Vec<_>>().join(", ")
    }
}

/// A page of conversations.
#[derive(Default)]
pub(super) struct Page {
    pub(super) conversations: Vec<v1::Conversation>,
    /// The place after which the next page begins; `None` if this is the last page.
    pub(super) next: Option<Place>,
    pub(super) looked_at: u32,
    /// When the last conversation that the page looked at was last active.
    pub(super) reached: Option<Time>,
}

/// Reads the page after a place.
pub(super) async fn page(
    control: &Control,
    wanted: &Wanted,
    after: Option<Place>,
    size: usize,
) -> Result<Page, Error> {
    let mut search = Search::begin(control, wanted.partition, &wanted.words).await?;
    let limit = if search.has_index() { LOOKED_AT_WITH_INDEX } else { LOOKED_AT };
    let Members { members, is_last } =
        Members::read(control, wanted, after.as_ref(), limit).await?;
    let mut page = Page::default();
    for members in members.chunks(AT_ONCE) {
        let ids: Vec<ConversationId> = members.iter().map(|(id, _)| id.clone()).collect();
        let seen = seen::read(control, wanted.partition, &ids).await?.into_iter();
        let seen: Vec<_> = seen.map(|seen| seen.filter(|seen| wanted.is_met_by(seen))).collect();
        let met: Vec<_> = seen.iter().flatten().map(|seen| &seen.conversation).collect();
        let mut passed = 0;
        for ((_, place), seen) in members.iter().zip(&seen) {
            if page.conversations.len() == size {
                return Ok(page);
            }
            if let Some(seen) = seen {
                let found = match wanted.words.is_empty() {
                    true => Searched::Found(seen.excerpt(control, wanted.partition).await?),
                    false => {
                        let begun = after.as_ref().filter(|p| p.public_id == place.public_id);
                        let before = begun.map_or(0, |place| place.unsearched);
                        search.run(control, &met[passed..], before).await?
                    }
                };
                passed += 1;
                match found {
                    Searched::Found(excerpt) => {
                        page.conversations.push(seen.to_wire(&wanted.caller, excerpt));
                    }
                    Searched::NotFound => {}
                    Searched::NotYet(unsearched) => {
                        page.next = Some(Place { unsearched, ..place.clone() });
                        return Ok(page);
                    }
                }
            }
            page.looked_at += 1;
            page.reached = Some(place.at);
            page.next = Some(place.clone());
        }
    }
    if is_last {
        page.next = None;
    }
    Ok(page)
}

/// The conversations that a page looks at, and whether they are the last ones.
pub(super) struct Members {
    pub(super) members: Vec<(ConversationId, Place)>,
    pub(super) is_last: bool,
}

impl Members {
    pub(super) async fn read(
        control: &Control,
        wanted: &Wanted,
        after: Option<&Place>,
        mut limit: u32,
    ) -> Result<Self, Error> {
        let set = names::conversations(wanted.folder.root());
        let until = wanted.until.map_or(u64::MAX, |until| until.as_millis().saturating_sub(1));
        let max = after.map_or(until, |place| place.at.as_millis());
        let since = wanted.since.unwrap_or_default();
        loop {
            let found = control.ledger.last_members(wanted.partition, &set, max, limit).await?;
            let lowest = found.last().map_or(0, |(_, millis)| *millis);
            let is_whole = found.len() < limit as usize;
            // The store does not order conversations of one millisecond. If the read stopped at its
            // limit, it may lack some conversations of the lowest millisecond, so all of that
            // millisecond are left to the next page.
            let read = found.into_iter().filter(|(_, millis)| is_whole || *millis > lowest);
            let read = read.map(|(id, millis)| {
                let place = Place::of(&id, Time::from_millis(millis));
                (id, place)
            });
            let mut members: Vec<_> = read.collect();
            members.retain(|(_, place)| {
                place.at >= since && after.is_none_or(|after| after.is_before(place))
            });
            let is_last = is_whole || lowest < since.as_millis();
            if members.is_empty() && !is_last {
                limit = limit.saturating_mul(2);
                continue;
            }
            members.sort_by_key(|(_, place)| place.order());
            return Ok(Self { members, is_last });
        }
    }
}
