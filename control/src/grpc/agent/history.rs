//! Reads the messages of a conversation for an agent.

use crate::{
    control::Control,
    frame::{Outcome, Transcript},
    grpc::wire,
    ids::{ConversationId, TurnId},
    ledger::Error,
    names,
    store::Partition,
    turn::{Turn, input::Input},
};
use arizuko_proto::v1;
use tokio::try_join;

/// How many messages of a conversation one Turn, one answer of ReadConversation, or the first
/// answer of FollowConversation carries, at most.
pub(super) const MAX_MESSAGES: u32 = 200;
/// How many bytes these messages have together, at most.
const MAX_BYTES: usize = 512 << 10;
/// About how many bytes a message takes besides its text.
pub(super) const AROUND: usize = 128;
/// How many turns are read at a time.
const TURNS: u32 = 8;

/// Which messages are wanted.
pub(super) struct Wanted<'a> {
    pub(super) conversation: &'a ConversationId,
    /// Only messages before this seq.
    pub(super) before: u64,
    /// Messages of these turns are left out.
    pub(super) without: &'a [TurnId],
    pub(super) count: usize,
}

/// Reads the newest of the wanted messages, and returns them with the oldest first.
pub(super) async fn read(
    control: &Control,
    partition: Partition,
    wanted: &Wanted<'_>,
) -> Result<Vec<v1::Message>, Error> {
    let mut before = wanted.before;
    let mut newest_first = Vec::new();
    let mut bytes = 0;
    // Reads a few turns at a time, since turns differ in how many messages they have.
    while newest_first.len() < wanted.count && bytes < MAX_BYTES {
        let set = names::turns(wanted.conversation);
        let max = before.saturating_sub(1);
        let last = control.ledger.last_members(partition, &set, max, TURNS).await?;
        let Some((_, lowest)) = last.last() else {
            break;
        };
        before = *lowest;
        let turns = last.iter().map(|(turn, _)| turn);
        let turns = turns.filter(|turn| !wanted.without.contains(turn));
        for messages in read_turns(control, partition, turns).await? {
            bytes += messages.iter().map(|message| message.content.len()).sum::<usize>();
            newest_first.extend(messages.into_iter().rev());
        }
    }
    newest_first.truncate(wanted.count);
    Ok(fit(newest_first.into_iter(), MAX_BYTES))
}

/// Reads the messages of each turn.
async fn read_turns<'a>(
    control: &Control,
    partition: Partition,
    turns: impl Iterator<Item = &'a TurnId> + Clone,
) -> Result<Vec<Vec<v1::Message>>, Error> {
    let ledger = &control.ledger;
    let (found, inputs, replies) = try_join!(
        ledger.records::<Turn>(partition, turns.clone()),
        ledger.records::<Input>(partition, turns.clone()),
        ledger.records::<Transcript>(partition, turns),
    )?;
    let kept = found.into_iter().zip(inputs).zip(replies);
    let messages = kept.filter_map(|((turn, input), reply)| {
        // No agent ever sees a message that its route dropped, or one that the visitor has
        // replaced.
        let was_dropped =
            |turn: &Turn| turn.end().is_some_and(|end| end.outcome == Outcome::Dropped);
        let turn = turn.filter(|turn| !was_dropped(turn) && turn.superseded_by.is_none())?;
        let asked = input.filter(|_| !turn.origin.unasked);
        let asked = asked.map(|input| wire::user_message(&turn, input.content.into_text()));
        let replies = reply.unwrap_or_default().messages.into_iter();
        let replies = replies.map(|message| wire::reply_message(&turn.id, message));
        Some(asked.into_iter().chain(replies).collect())
    });
    Ok(messages.collect())
}

/// Returns the newest messages that fit into `bytes`, the oldest first. If the oldest of them fits
/// only in part, its beginning is cut off.
pub(super) fn fit(
    newest_first: impl Iterator<Item = v1::Message>,
    bytes: usize,
) -> Vec<v1::Message> {
    let (mut left, mut fitting) = (bytes, Vec::new());
    for mut message in newest_first {
        let over = message.content.len().saturating_sub(left);
        if over > 0 {
            message.content.drain(..message.content.ceil_char_boundary(over));
        }
        left = left.saturating_sub(message.content.len() + AROUND);
        fitting.push(message);
        if left == 0 {
            break;
        }
    }
    fitting.reverse();
    fitting
}
