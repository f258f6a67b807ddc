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
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let ledger = &control.ledger;
    let before = (0, turn.first_seq.saturating_sub(1));
    let turns = ledger
        .members(
            partition,
            conversation::turns(&turn.conversation),
            before,
            u32::MAX,
        )
        .await?;
    // Each turn has at least the visitor's message, so this many turns are enough.
    let turns: Vec<String> = turns
        .into_iter()
        .rev()
        .take(wanted)
        .rev()
        .map(|member| member.name)
        .collect();
    let records = ledger
        .records::<Turn>(partition, turns.iter().map(|id| turn::record(id)))
        .await?;
    let inputs = ledger
        .records::<Input>(partition, turns.iter().map(|id| turn::input(id)))
        .await?;
    let replies = ledger
        .records::<Transcript>(partition, turns.iter().map(|id| turn::reply(id)))
        .await?;

    let mut messages = Vec::new();
    for ((turn, input), reply) in records.into_iter().zip(inputs).zip(replies) {
        let (Some(turn), Some(input)) = (turn, input) else {
            continue;
        };
        let text = String::from_utf8(input.content.into_bytes()).unwrap_or_default();
        messages.push(wire::user_message(&turn, text));
        let reply = reply.unwrap_or_default().messages.into_iter();
        messages.extend(reply.map(|message| wire::reply_message(&turn.id, message)));
    }
    let surplus = messages.len().saturating_sub(wanted);
    Ok(messages.split_off(surplus))
}
