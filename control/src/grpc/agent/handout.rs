//! A turn as the agent gets it.

use crate::{
    conversation,
    frame::Transcript,
    grpc::wire,
    ledger::Error,
    server::Control,
    store::Partition,
    token::{self, Token},
    turn::{self, Turn, post::Input},
};
use arizuko_proto::v1;

/// How many turns of history are read at a time.
const TURNS: u32 = 8;
/// About how much history one Turn carries: well within gRPC's usual 4 MiB, with what else is in
/// it. It ends with the turn that passes this.
const HISTORY_BYTES: usize = 512 << 10;

/// Makes the message that hands a turn out.
pub(super) async fn turn(
    control: &Control,
    partition: Partition,
    turn: &Turn,
    history: u32,
) -> Result<v1::Turn, Error> {
    let input: Option<Input> = control
        .ledger
        .record(partition, turn::input(&turn.id))
        .await?;
    let token: Option<Token> = control
        .ledger
        .record(partition, token::record(&turn.token))
        .await?;
    let history = earlier(control, partition, turn, history as usize).await?;
    let (content, headers) = input
        .map(|input| (input.content.into_bytes(), input.headers))
        .unwrap_or_default();
    let headers = headers.into_iter().map(|(name, value)| v1::Header {
        name,
        value: value.into_bytes().into(),
    });
    Ok(v1::Turn {
        turn_id: turn.id.clone(),
        attempt: turn.attempt,
        jid: turn.jid.clone(),
        folder: turn.folder.to_string(),
        conversation: turn.conversation.clone(),
        topic: String::new(),
        persona: String::new(),
        context: token.map(|token| token.options.context).unwrap_or_default(),
        sender: turn.sender.clone(),
        content: content.into(),
        headers: headers.collect(),
        history,
        created_at: Some(wire::timestamp(turn.created_at)),
        traceparent: turn.traceparent.clone(),
    })
}

/// The last `wanted` messages before this turn, the oldest first.
async fn earlier(
    control: &Control,
    partition: Partition,
    turn: &Turn,
    wanted: usize,
) -> Result<Vec<v1::Message>, Error> {
    let mut newest_first = Vec::new();
    let mut bytes = 0;
    let mut before = turn.first_seq;
    // A few turns at a time: how many are needed shows as they come.
    while newest_first.len() < wanted && bytes < HISTORY_BYTES {
        let set = conversation::turns(&turn.conversation);
        let last = control
            .ledger
            .last_members(partition, set, before.saturating_sub(1), TURNS);
        let last = last.await?;
        let Some(lowest) = last.last() else {
            break;
        };
        before = lowest.score;
        for messages in said(control, partition, last.iter().map(|member| &member.name)).await? {
            bytes += messages
                .iter()
                .map(|message| message.content.len())
                .sum::<usize>();
            newest_first.extend(messages.into_iter().rev());
        }
    }
    newest_first.truncate(wanted);
    newest_first.reverse();
    Ok(newest_first)
}

/// The messages of each of some turns.
async fn said<'a>(
    control: &Control,
    partition: Partition,
    turns: impl Iterator<Item = &'a String> + Clone,
) -> Result<Vec<Vec<v1::Message>>, Error> {
    let ledger = &control.ledger;
    let records = ledger
        .records::<Turn>(partition, turns.clone().map(|id| turn::record(id)))
        .await?;
    let inputs = ledger
        .records::<Input>(partition, turns.clone().map(|id| turn::input(id)))
        .await?;
    let replies = ledger
        .records::<Transcript>(partition, turns.map(|id| turn::reply(id)))
        .await?;
    let kept = records.into_iter().zip(inputs).zip(replies);
    let messages = kept.filter_map(|((turn, input), reply)| {
        let (turn, input) = (turn?, input?);
        let text = String::from_utf8(input.content.into_bytes()).unwrap_or_default();
        let replies = reply.unwrap_or_default().messages.into_iter();
        let replies = replies.map(|message| wire::reply_message(&turn.id, message));
        Some(
            [wire::user_message(&turn, text)]
                .into_iter()
                .chain(replies)
                .collect(),
        )
    });
    Ok(messages.collect())
}
