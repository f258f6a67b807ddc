//! Reads of sets and logs.

use super::{Decision, Stop, Tx};
use crate::{
    names::Set,
    store::{Found, Order, Read, Write},
};
use bytes::Bytes;
use std::ops::RangeInclusive;

impl Tx<'_> {
    /// Reads a set's lowest members with a score in `scores`. No guard covers the set: guard the
    /// members' records, and a record that every addition to the set changes.
    pub(crate) fn members<M: From<String>>(
        &self,
        set: &Set<M>,
        scores: RangeInclusive<u64>,
        limit: u32,
    ) -> Decision<Vec<(M, u64)>> {
        let read = Read::Set {
            set: set.name.clone(),
            min: *scores.start(),
            max: *scores.end(),
            limit,
            order: Order::LowestFirst,
        };
        match self.known(read)? {
            Found::Set(members) => {
                let members = members.iter().map(|m| (M::from(m.name.clone()), m.score));
                Ok(members.collect())
            }
            _ => Err(Stop::Corrupt(format!("{} is not a set", set.name))),
        }
    }

    /// Reads all members of a set; see [`Self::members`].
    pub(crate) fn all_members<M: From<String>>(&self, set: &Set<M>) -> Decision<Vec<M>> {
        let members = self.members(set, 0..=u64::MAX, u32::MAX)?;
        Ok(members.into_iter().map(|(member, _)| member).collect())
    }

    /// Reads all of a log's entries after `after`, with those that this decision has appended. No
    /// guard covers the log: guard a record that changes with it.
    pub(crate) fn entries(&self, log: &str, after: u64) -> Decision<Vec<(u64, Bytes)>> {
        let appended = self.writes.iter().filter_map(|write| match write {
            Write::Append { log: to, seq, entry } if to == log => Some((*seq, entry.clone())),
            _ => None,
        });
        let appended: Vec<_> = appended.collect();
        let first = appended.first().map_or(u64::MAX, |(seq, _)| *seq);
        if first <= after + 1 {
            // The first appended entry replaces all stored entries that come after `after`.
            return Ok(appended.into_iter().filter(|(seq, _)| *seq > after).collect());
        }
        match self.known(Read::Log { log: log.to_owned(), after, limit: u32::MAX })? {
            Found::Log(entries) => {
                let stored = entries.iter().filter(|(seq, _)| *seq < first).cloned();
                Ok(stored.chain(appended).collect())
            }
            _ => Err(Stop::Corrupt(format!("{log} is not a log"))),
        }
    }
}
