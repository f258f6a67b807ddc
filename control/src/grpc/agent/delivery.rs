//! Builds the message that delivers a turn to an agent.

use super::history::{self, AROUND, Wanted, fit};
use crate::{
    control::Control,
    grpc::{gateway::read::transcript, wire},
    ids::TurnId,
    ledger::Error,
    store::Partition,
    token::Token,
    transaction::{Record as _, Tx},
    turn::{Turn, input::Input},
};
use arizuko_proto::v1;
use tokio::try_join;

/// How many bytes the messages in a Turn's `said` have together, at most: what earlier agents and
/// people wrote. `docs/agents.md` says how large a Turn can be.
const SAID_BYTES: usize = 768 << 10;
/// How many bytes of observed messages a Turn has at most. If the newest message alone is larger,
/// the Turn has only that one.
const OBSERVED_BYTES: usize = 1 << 20;

/// Builds the message that delivers a turn. Returns `None` if this attempt no longer holds the
/// turn.
pub(super) async fn read(
    control: &Control,
    partition: Partition,
    turn: &Turn,
    history: usize,
) -> Result<Option<v1::Turn>, Error> {
    let Turn { origin, place, .. } = turn;
    let reading = |tx: &mut Tx<'_>| {
        tx.expect([Turn::name(&turn.id), Input::name(&turn.id), Token::name(&origin.token)])?;
        Ok((tx.get::<Turn>(&turn.id)?, tx.get(&turn.id)?, tx.get(&origin.token)?))
    };
    let (current, input, token): (Option<Turn>, Option<Input>, Option<Token>) =
        control.ledger.view(partition, reading).await?;
    let holder = |turn: &Turn| turn.hold().map(|hold| (hold.session.clone(), turn.attempt));
    if current.as_ref().and_then(holder) != holder(turn) {
        return Ok(None);
    }
    let said = read_said(control, partition, turn).await?;
    let Input { content, headers, request, identity, page, plan, context } =
        input.unwrap_or_default();
    let observed = context.turns(turn);
    let earlier = Wanted {
        conversation: &turn.conversation,
        before: turn.first_seq,
        // The Turn carries these in its `observed`.
        without: &observed,
        count: history,
    };
    let (history, observed) = try_join!(
        history::read(control, partition, &earlier),
        read_observed(control, partition, &observed),
    )?;
    Ok(Some(v1::Turn {
        turn_id: turn.id.to_string(),
        attempt: turn.attempt,
        jid: origin.jid.clone(),
        folder: place.folder.to_string(),
        conversation: turn.conversation.to_string(),
        topic: plan.topic,
        persona: plan.persona,
        context: token.map(|token| token.options.context).unwrap_or_default(),
        sender: origin.sender.clone(),
        content: content.into_bytes().into(),
        headers: wire::headers(headers),
        request: request.map(|request| wire::hook::request(request, &control.hook_url(turn))),
        identity: identity.map(wire::identity),
        page: page.map(wire::page),
        history,
        created_at: Some(wire::timestamp(origin.created_at)),
        traceparent: origin.traceparent.clone(),
        said,
        observed,
        handed: place.handoff.as_ref().map(|handoff| v1::Handed {
            folder: handoff.from.to_string(),
            note: handoff.note.clone(),
            escalated: handoff.escalated,
        }),
        supersedes: wire::id_or_empty(turn.supersedes.as_ref()),
    }))
}

/// Reads what earlier agents and people wrote in this turn, as far as the visitor still sees it.
async fn read_said(
    control: &Control,
    partition: Partition,
    turn: &Turn,
) -> Result<Vec<v1::Message>, Error> {
    // Before a first attempt, somebody can have written only if the turn was handed off or
    // escalated.
    if turn.attempt == 1 && turn.place.handoff.is_none() {
        return Ok(Vec::new());
    }
    let transcript = transcript(control, partition, turn, u64::MAX).await?;
    let messages = transcript.messages.into_iter();
    let newest_first = messages.rev().map(|message| wire::reply_message(&turn.id, message));
    Ok(fit(newest_first, SAID_BYTES))
}

/// Reads the messages that were kept as context for this turn, without those past retention.
async fn read_observed(
    control: &Control,
    partition: Partition,
    turns: &[TurnId],
) -> Result<Vec<v1::Observed>, Error> {
    let ledger = &control.ledger;
    let (found, inputs) = try_join!(
        ledger.records::<Turn>(partition, turns),
        ledger.records::<Input>(partition, turns),
    )?;
    let observed = found.into_iter().zip(inputs).filter_map(|(turn, input)| {
        let (turn, input) = (turn?, input?);
        let url = control.hook_url(&turn);
        Some(v1::Observed {
            request: input.request.map(|request| wire::hook::request(request, &url)),
            jid: turn.origin.jid,
            sender: turn.origin.sender,
            content: input.content.into_bytes().into(),
            headers: wire::headers(input.headers),
            created_at: Some(wire::timestamp(turn.origin.created_at)),
        })
    });
    let mut observed: Vec<_> = observed.collect();
    // Leaves out the oldest messages: the newest matter most.
    let mut bytes: usize = observed.iter().map(size).sum();
    while bytes > OBSERVED_BYTES && observed.len() > 1 {
        bytes -= size(&observed.remove(0));
    }
    Ok(observed)
}

fn size(observed: &v1::Observed) -> usize {
    let headers = observed.headers.iter();
    let headers = headers.map(|header| header.name.len() + header.value.len());
    let request = observed.request.as_ref().map_or(0, |request| {
        request.url.len() + request.path.len() + request.query.len() + request.encoded_content.len()
    });
    observed.content.len() + headers.sum::<usize>() + request + AROUND
}
