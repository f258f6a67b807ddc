//! A turn as the agent gets it.

use crate::{
    conversation,
    frame::{Status, Transcript},
    grpc::wire,
    ledger::Error,
    server::Control,
    store::Partition,
    token::{self, Token},
    turn::{self, Input, Turn, post::Blob},
};
use arizuko_proto::v1;

/// How many turns of history are read at a time.
const TURNS: u32 = 8;
/// How much one Turn carries of what is around its message, so that with a message of 1 MiB it
/// stays within gRPC's usual 4 MiB.
const HISTORY_BYTES: usize = 512 << 10;
const SAID_BYTES: usize = 768 << 10;
const OBSERVED_BYTES: usize = 1 << 20;
/// What is around a message's text.
const AROUND: usize = 128;

/// Makes the message that hands a turn out.
pub(super) async fn turn(
    control: &Control,
    partition: Partition,
    turn: &Turn,
    history: u32,
) -> Result<v1::Turn, Error> {
    let input: Option<Input> = control.ledger.record(partition, turn::input(&turn.id)).await?;
    let token: Option<Token> = control.ledger.record(partition, token::record(&turn.token)).await?;
    // What a conversation's own turn was kept from is context, and not history as well.
    let (content, headers, route, aside) = input
        .map(|input| {
            let aside = input.context.turns();
            (input.content.into_bytes(), input.headers, input.route, aside)
        })
        .unwrap_or_default();
    let history = earlier(control, partition, (turn, &aside), history as usize).await?;
    let said = match turn.handed {
        Some(_) => said_so_far(control, partition, turn).await?,
        None => Vec::new(),
    };
    Ok(v1::Turn {
        turn_id: turn.id.clone(),
        attempt: turn.attempt,
        jid: turn.jid.clone(),
        folder: turn.folder.to_string(),
        conversation: turn.conversation.clone(),
        topic: route.topic,
        persona: route.persona,
        context: token.map(|token| token.options.context).unwrap_or_default(),
        sender: turn.sender.clone(),
        content: content.into(),
        headers: wire_headers(headers),
        history,
        created_at: Some(wire::timestamp(turn.created_at)),
        traceparent: turn.traceparent.clone(),
        said,
        observed: observed(control, partition, &aside).await?,
        handed: turn.handed.as_ref().map(|handed| v1::Handed {
            folder: handed.folder.to_string(),
            note: handed.note.clone(),
            escalated: handed.escalated,
        }),
    })
}

fn wire_headers(headers: Vec<(String, Blob)>) -> Vec<v1::Header> {
    let headers = headers
        .into_iter()
        .map(|(name, value)| v1::Header { name, value: value.into_bytes().into() });
    headers.collect()
}

/// What the visitor has read in this turn already, and keeps.
async fn said_so_far(
    control: &Control,
    partition: Partition,
    turn: &Turn,
) -> Result<Vec<v1::Message>, Error> {
    let log = conversation::log(&turn.conversation);
    let after = turn.before_reply();
    let entries = control.ledger.entries(partition, log, after, u32::MAX);
    let transcript = turn::transcript(&entries.await?, &turn.id)?;
    let newest_first = transcript.messages.into_iter().rev();
    let newest_first = newest_first.map(|message| wire::reply_message(&turn.id, message));
    Ok(fitting(newest_first, SAID_BYTES))
}

/// As many of the messages as fit, and the end of the one that doesn't; the oldest first.
fn fitting(newest_first: impl Iterator<Item = v1::Message>, bytes: usize) -> Vec<v1::Message> {
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

/// The messages that were kept as context for this turn; those past retention are left out.
async fn observed(
    control: &Control,
    partition: Partition,
    turns: &[String],
) -> Result<Vec<v1::Observed>, Error> {
    let records = turns.iter().map(|id| turn::record(id));
    let records = control.ledger.records::<Turn>(partition, records).await?;
    let inputs = turns.iter().map(|id| turn::input(id));
    let inputs = control.ledger.records::<Input>(partition, inputs).await?;
    let kept = records.into_iter().zip(inputs);
    let observed = kept.filter_map(|(turn, input)| {
        let (turn, input) = (turn?, input?);
        Some(v1::Observed {
            jid: turn.jid,
            sender: turn.sender,
            content: input.content.into_bytes().into(),
            headers: wire_headers(input.headers),
            created_at: Some(wire::timestamp(turn.created_at)),
        })
    });
    let mut observed: Vec<_> = observed.collect();
    // The newest say most.
    let mut bytes: usize = observed.iter().map(size).sum();
    while bytes > OBSERVED_BYTES && observed.len() > 1 {
        bytes -= size(&observed.remove(0));
    }
    Ok(observed)
}

fn size(observed: &v1::Observed) -> usize {
    let headers = observed.headers.iter();
    let headers = headers.map(|header| header.name.len() + header.value.len());
    observed.content.len() + headers.sum::<usize>() + AROUND
}

/// The last `wanted` messages before this turn, the oldest first.
async fn earlier(
    control: &Control,
    partition: Partition,
    (turn, aside): (&Turn, &[String]),
    wanted: usize,
) -> Result<Vec<v1::Message>, Error> {
    let before = turn.first_seq;
    newest(control, partition, (&turn.conversation, aside), before, wanted).await
}

/// The last `wanted` messages of a conversation before a seq, the oldest first; without those of
/// the turns in `aside`.
pub(super) async fn newest(
    control: &Control,
    partition: Partition,
    (conversation, aside): (&str, &[String]),
    mut before: u64,
    wanted: usize,
) -> Result<Vec<v1::Message>, Error> {
    let mut newest_first = Vec::new();
    let mut bytes = 0;
    // A few turns at a time: how many are needed shows as they come.
    while newest_first.len() < wanted && bytes < HISTORY_BYTES {
        let set = conversation::turns(conversation);
        let last = control.ledger.last_members(partition, set, before.saturating_sub(1), TURNS);
        let last = last.await?;
        let Some(lowest) = last.last() else {
            break;
        };
        before = lowest.score;
        let turns = last.iter().map(|member| &member.name);
        let turns = turns.filter(|turn| !aside.contains(turn));
        for messages in said(control, partition, turns).await? {
            bytes += messages.iter().map(|message| message.content.len()).sum::<usize>();
            newest_first.extend(messages.into_iter().rev());
        }
    }
    newest_first.truncate(wanted);
    Ok(fitting(newest_first.into_iter(), HISTORY_BYTES))
}

/// The messages of each of some turns.
async fn said<'a>(
    control: &Control,
    partition: Partition,
    turns: impl Iterator<Item = &'a String> + Clone,
) -> Result<Vec<Vec<v1::Message>>, Error> {
    let ledger = &control.ledger;
    let records =
        ledger.records::<Turn>(partition, turns.clone().map(|id| turn::record(id))).await?;
    let inputs =
        ledger.records::<Input>(partition, turns.clone().map(|id| turn::input(id))).await?;
    let replies = ledger.records::<Transcript>(partition, turns.map(|id| turn::reply(id))).await?;
    let kept = records.into_iter().zip(inputs).zip(replies);
    let messages = kept.filter_map(|((turn, input), reply)| {
        let (turn, input) = (turn?, input);
        // No agent ever sees what its route dropped.
        if turn.status == Status::Dropped {
            return None;
        }
        let asked = input.filter(|_| !turn.unasked).map(|input| {
            let text = String::from_utf8(input.content.into_bytes()).unwrap_or_default();
            wire::user_message(&turn, text)
        });
        let replies = reply.unwrap_or_default().messages.into_iter();
        let replies = replies.map(|message| wire::reply_message(&turn.id, message));
        Some(asked.into_iter().chain(replies).collect())
    });
    Ok(messages.collect())
}
