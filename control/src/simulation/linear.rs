//! Whether the calls on a link are linearizable: whether each call can have happened at one moment
//! between its beginning and its end, in an order that the link's state allows.

use std::collections::HashSet;

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Link {
    Open,
    Paused,
    /// It stays revoked.
    Revoked,
}

/// What a call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    Set(Link),
    /// A message was taken (the link was open), or refused for this state.
    Saw(Link),
}

/// A call, from the step of the run at which it began to that at which it returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) did: Did,
    pub(super) begun: u64,
    /// `u64::MAX`: it has not returned, but it was done.
    pub(super) returned: u64,
}

/// Whether the calls on one link are linearizable, by the search of Wing and Gong.
pub(super) fn is_linearizable(calls: &[Call]) -> bool {
    let mut tried = HashSet::new();
    search(calls, vec![false; calls.len()], Link::Open, &mut tried)
}

fn search(
    calls: &[Call],
    mut done: Vec<bool>,
    link: Link,
    tried: &mut HashSet<(Vec<bool>, Link)>,
) -> bool {
    // Of the calls that are left, one may come next if it began before any other of them had
    // returned.
    let may_be_next = |done: &[bool]| -> Vec<usize> {
        let left = || (0..calls.len()).filter(|index| !done[*index]);
        let first = left().map(|index| calls[index].returned).min().unwrap_or(u64::MAX);
        left().filter(|index| calls[*index].begun < first).collect()
    };
    // A call that only sees the state can come as early as possible: that rules out no order.
    loop {
        let next = may_be_next(&done);
        let Some(seen) = next.into_iter().find(|index| calls[*index].did == Did::Saw(link)) else {
            break;
        };
        done[seen] = true;
    }
    if done.iter().all(|done| *done) {
        return true;
    }
    if !tried.insert((done.clone(), link)) {
        return false;
    }
    may_be_next(&done).into_iter().any(|index| match calls[index].did {
        Did::Set(set) if link != Link::Revoked || set == Link::Revoked => {
            let mut done = done.clone();
            done[index] = true;
            search(calls, done, set, tried)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether calls can be explained. Each is given by what it did, its beginning and its end.
    fn explained(calls: &[(Did, u64, u64)]) -> bool {
        let call = |&(did, begun, returned): &(Did, u64, u64)| Call { did, begun, returned };
        is_linearizable(&calls.iter().map(call).collect::<Vec<_>>())
    }

    #[test]
    fn a_message_is_taken_only_while_the_link_is_open() {
        use Did::{Saw, Set};
        use Link::{Open, Paused, Revoked};
        let taken = |begun, returned| (Saw(Open), begun, returned);
        assert!(explained(&[(Set(Revoked), 1, 5), taken(2, 9)]));
        assert!(!explained(&[(Set(Revoked), 1, 5), taken(6, 9)]));
        assert!(!explained(&[(Set(Revoked), 1, 5), taken(6, u64::MAX)]));
        assert!(!explained(&[(Set(Revoked), 1, 5), (Set(Open), 6, 8), taken(9, 10)]));
        assert!(explained(&[(Set(Paused), 1, 2), (Set(Open), 4, 8), taken(5, 6)]));
        assert!(!explained(&[(Set(Paused), 1, 2), (Set(Open), 7, 8), taken(4, 6)]));
        // A pause whose end was seen can't be seen again.
        let seen = [(Set(Paused), 1, 2), (Set(Open), 3, 9), taken(4, 5)];
        assert!(!explained(&[&seen[..], &[(Saw(Paused), 6, 7)]].concat()));
        assert!(!explained(&[(Saw(Paused), 1, 2), (Set(Paused), 3, 4)]));
    }
}
