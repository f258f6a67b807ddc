//! What a visitor thinks of a reply: a thumb, and a reason that the link's owner can read.

use super::{
    Turn,
    daily::{Counted, KEPT_DAYS},
    quota,
};
use crate::{
    conversation::Head,
    frame::{Body, Thumb},
    ids::TurnId,
    refusal::Refusal,
    time::Time,
    transaction::{Decision, Tx},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often a visitor changes the thumb of a turn, at most: each change is a frame of the log.
const MOST_CHANGES: u32 = 20;
/// How many characters a comment has, at most.
const MOST_CHARACTERS: usize = 1_000;

/// A visitor's rating of a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rating {
    /// `None` once the visitor has taken it back.
    pub(crate) thumb: Option<Thumb>,
    /// The reason; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) comment: String,
    pub(crate) at: Time,
    /// How often the thumb was changed.
    changes: u32,
}

/// Replaces the rating of a turn that has ended.
pub(crate) fn rate(
    tx: &mut Tx<'_>,
    id: &TurnId,
    thumb: Option<Thumb>,
    comment: &str,
) -> Decision<()> {
    if comment.chars().count() > MOST_CHARACTERS {
        let why = format!("a comment has at most {MOST_CHARACTERS} characters");
        return Err(Refusal::invalid(why).into());
    }
    let turn = tx.get::<Turn>(id)?;
    let kept = turn.and_then(|turn| turn.end().is_some().then_some(turn));
    let Some(mut turn) = kept else {
        return Err(Refusal::invalid("the turn has not ended").into());
    };
    let mut rating = turn.rating.take().unwrap_or_default();
    let before = rating.thumb;
    rating.at = tx.now;
    let (comment, earlier) = (comment.trim(), rating.comment.len());
    quota::change(tx, &mut turn, comment.len() as i64 - earlier as i64)?;
    rating.comment = comment.to_owned();
    if before != thumb {
        if rating.changes == MOST_CHANGES {
            let why = format!("a rating can be changed {MOST_CHANGES} times");
            return Err(Refusal::LimitReached(why).into());
        }
        rating.changes += 1;
        rating.thumb = thumb;
        count(tx, &turn, before, -1);
        count(tx, &turn, thumb, 1);
        tell(tx, &turn, thumb)?;
    }
    turn.rating = Some(rating);
    tx.put(id, &turn)
}

/// Counts a thumb for the day in which the turn began.
fn count(tx: &mut Tx<'_>, turn: &Turn, thumb: Option<Thumb>, by: i64) {
    let counted = match thumb {
        Some(Thumb::Up) => Counted::ThumbsUp,
        Some(Thumb::Down) => Counted::ThumbsDown,
        None => return,
    };
    let begun = turn.origin.created_at;
    // After that time the counts of that day are deleted, and nothing would delete this count.
    if tx.now < begun + Duration::from_secs(u64::from(KEPT_DAYS) * 86_400) {
        tx.count(counted.of(&turn.origin.token, begun.day()), by);
    }
}

/// Adds the frame that tells the readers of the conversation what the thumb is now.
fn tell(tx: &mut Tx<'_>, turn: &Turn, thumb: Option<Thumb>) -> Decision<()> {
    let id = &turn.conversation;
    let head = tx.get_tracked::<Head>(id)?;
    let mut head = head.ok_or(Refusal::NotFound("conversation"))?;
    head.append(tx, id, &turn.id, 0, Body::Rated { thumb })?;
    head.store(tx, id)?;
    let event = match thumb {
        Some(Thumb::Up) => "thumb up",
        Some(Thumb::Down) => "thumb down",
        None => "thumb taken back",
    };
    turn.tell(tx, event, "")
}
