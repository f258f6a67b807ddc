//! Reads pages of the audit log, the newest first. However long the log is, only a bounded part of
//! it is in memory at a time.

use crate::{
    audit::{Entry, in_view},
    control::Control,
    jid::FolderName,
    ledger::Error,
    names,
    refusal::Refusal,
    store::Partition,
};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// How many entries are read at a time, unless more have the same millisecond.
const READ: u32 = 500;

/// The place of an entry in the log: newer entries have greater places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    millis: u64,
    nonce: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.nonce)
    }
}

impl FromStr for Place {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parse = |(millis, nonce): (&str, &str)| {
            Some(Self { millis: millis.parse().ok()?, nonce: nonce.parse().ok()? })
        };
        let place = text.split_once('-').and_then(parse);
        place.ok_or_else(|| Refusal::invalid("the page token is not from an earlier answer"))
    }
}

/// Returns the newest entries before a place, at most `limit`, sorted with the oldest first. Also
/// returns the place that the entries of the next page come before, if there are older entries.
pub(super) async fn page(
    control: &Control,
    view: Option<&FolderName>,
    before: Option<Place>,
    limit: usize,
) -> Result<(Vec<Entry>, Option<Place>), Error> {
    let partitions = match view {
        Some(folder) => {
            let partition = control.partition(folder);
            partition..partition + 1
        }
        None => 0..control.partitions,
    };
    let mut newest = Newest { view, before, limit, entries: BTreeMap::new(), has_more: false };
    for partition in partitions {
        newest.read(control, partition).await?;
    }
    let next = newest.entries.first_key_value().map(|(place, _)| *place);
    Ok((newest.entries.into_values().collect(), next.filter(|_| newest.has_more)))
}

/// The newest entries found so far.
struct Newest<'a> {
    view: Option<&'a FolderName>,
    before: Option<Place>,
    limit: usize,
    entries: BTreeMap<Place, Entry>,
    /// Whether an older entry was found and left out.
    has_more: bool,
}

impl Newest<'_> {
    async fn read(&mut self, control: &Control, partition: Partition) -> Result<(), Error> {
        let mut max = self.before.map_or(u64::MAX, |before| before.millis);
        let mut limit = READ;
        loop {
            let log = names::audit();
            let found = control.ledger.last_members(partition, &log, max, limit).await?;
            let is_last = found.len() < limit as usize;
            let lowest = found.last().map_or(0, |(_, millis)| *millis);
            for (text, millis) in found {
                self.add(&text, millis);
            }
            // Entries of one millisecond have no order in the store. If all entries read are of one
            // millisecond, a larger read gets past it.
            limit = if lowest == max { limit.saturating_mul(2) } else { READ };
            let oldest = self.entries.first_key_value().map(|(place, _)| place.millis);
            let is_full = self.entries.len() >= self.limit && oldest > Some(lowest);
            if is_last || (is_full && self.has_more) {
                return Ok(());
            }
            max = lowest;
        }
    }

    fn add(&mut self, text: &str, millis: u64) {
        let Ok(entry) = serde_json::from_str::<Entry>(text) else {
            return;
        };
        let place = Place { millis, nonce: entry.nonce };
        let is_wanted = in_view(&entry.folder, self.view);
        if !is_wanted || self.before.is_some_and(|before| place >= before) {
            return;
        }
        self.entries.insert(place, entry);
        if self.entries.len() > self.limit {
            self.entries.pop_first();
            self.has_more = true;
        }
    }
}
