//! Where a page of conversations ends.

use crate::{ids::ConversationId, refusal::Refusal, time::Time};
use arizuko_proto::public_id;
use std::{cmp::Reverse, fmt, str::FromStr};

/// The place of a conversation in a list that begins with the most recently active one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// When it was last active.
    pub(super) at: Time,
    /// Its public id, which orders conversations of one millisecond.
    pub(super) public_id: String,
    /// The seq that a search of the conversation has reached: the turns before it are still to be
    /// searched. 0 if there are none.
    pub(super) unsearched: u64,
}

impl Place {
    /// Reads a page token, unless it is empty.
    pub(super) fn read(token: &str) -> Result<Option<Self>, Refusal> {
        if token.is_empty() { Ok(None) } else { token.parse().map(Some) }
    }

    pub(super) fn of(id: &ConversationId, at: Time) -> Self {
        Self { at, public_id: public_id::conversation(id.as_str()), unsearched: 0 }
    }

    /// Returns a key that sorts the most recently active conversation first.
    pub(super) fn order(&self) -> impl Ord + use<> {
        Reverse((self.at, self.public_id.clone()))
    }

    /// Whether a page that begins after this place can contain the conversation at `place`.
    pub(super) fn is_before(&self, place: &Self) -> bool {
        match self.unsearched {
            0 => self.order() < place.order(),
            _ => self.order() <= place.order(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.at.as_millis(), self.unsearched, self.public_id)
    }
}

impl FromStr for Place {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parse = |text: &str| {
            let mut parts = text.splitn(3, '.');
            let at = Time::from_millis(parts.next()?.parse().ok()?);
            let unsearched = parts.next()?.parse().ok()?;
            let public_id = parts.next()?.to_owned();
            Some(Self { at, public_id, unsearched })
        };
        parse(text).ok_or_else(malformed)
    }
}

pub(super) fn malformed() -> Refusal {
    Refusal::invalid("the page token is not from an earlier answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_with_older_conversations_or_with_the_one_that_it_is_in() {
        let place = |millis, id: &str, unsearched| Place {
            at: Time::from_millis(millis),
            public_id: id.to_owned(),
            unsearched,
        };
        let reached = place(5, "cnv_m", 0);
        assert!(
            reached.is_before(&place(4, "cnv_z", 0)) && reached.is_before(&place(5, "cnv_a", 0))
        );
        assert!(!reached.is_before(&reached) && !reached.is_before(&place(6, "cnv_a", 0)));
        let within = place(5, "cnv_m", 9);
        assert!(within.is_before(&reached));
        assert_eq!(within.to_string().parse::<Place>(), Ok(within));
        assert!("5.cnv_m".parse::<Place>().is_err());
    }
}
