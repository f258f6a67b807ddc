//! Reads turns: their messages, their frames, and when they end.

use crate::{
    control::Control,
    conversation::{self, Conversation},
    frame::{Body, Frame, Transcript},
    grpc::{access::Access, wire},
    ids::TurnId,
    ledger::Error,
    names,
    refusal::Refusal,
    store::{Partition, Wake},
    token::Kind,
    turn::{Turn, input::Input, response::HttpResponse},
};
use arizuko_proto::v1;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How many frames of a reply one answer carries, at most.
const FRAMES_PER_ANSWER: usize = 2_000;
/// How many frames of a log are read at a time.
const PAGE: u32 = 128;
const MAX_WAIT: Duration = Duration::from_secs(50);

/// Returns the turn once it has ended, or as it is when the wait is over or control drains. With
/// `or_response`, also returns it once its agent has answered the webhook's sender.
pub(super) async fn wait_for_end(
    control: &Control,
    access: &Access,
    id: &TurnId,
    wait: Duration,
    or_response: bool,
) -> Result<Turn, Error> {
    let until = Instant::now() + wait.min(MAX_WAIT);
    let (ledger, partition) = (&control.ledger, access.partition());
    // A turn never changes its conversation, so a hint saves a read.
    let turn = match ledger.hint::<Turn>(partition, id) {
        Some(hint) if hint.is_open() => hint,
        _ => access.turn(control, id).await?.1,
    };
    if !turn.is_open() {
        return Ok(turn);
    }
    let mut wakes = ledger.watch(partition, &names::conversation_topic(&turn.conversation)).await?;
    loop {
        let (_, current) = access.turn(control, id).await?;
        if !current.is_open() || Instant::now() >= until {
            return Ok(current);
        }
        let response = async || ledger.record::<HttpResponse>(partition, id).await;
        if or_response && response().await?.is_some() {
            return Ok(current);
        }
        loop {
            // Reads again after a while, in case a wake-up was lost.
            let recheck = until.min(Instant::now() + control.limits.recheck);
            let wake = tokio::select! {
                wake = timeout_at(recheck, wakes.next()) => wake,
                () = control.draining.cancelled() => return Ok(current),
            };
            match wake {
                Ok(Wake::Published(payload)) if !may_end(&payload, id) => {}
                _ => break,
            }
        }
    }
}

/// Whether a conversation's wake-up may be the end of the turn.
fn may_end(payload: &Bytes, turn: &TurnId) -> bool {
    let Some((_, Some(entry))) = conversation::woken(payload) else {
        return true;
    };
    let frame = Frame::parse(&entry);
    frame.is_ok_and(|frame| frame.turn == *turn && matches!(frame.body, Body::TurnDone(_)))
}

/// Returns the turn's frames after number `after`, as many as fit one answer.
///
/// # Errors
/// [`Refusal::PastRetention`] if they are no longer kept.
pub(super) async fn frames(
    control: &Control,
    partition: Partition,
    turn: &Turn,
    after: u32,
) -> Result<Vec<v1::Frame>, Error> {
    if let Some(end) = turn.end() {
        let conversation = control.ledger.record(partition, &turn.conversation).await?;
        if conversation.is_none_or(|c: Conversation| c.trimmed >= end.last_seq) {
            return Err(Refusal::PastRetention.into());
        }
    }
    let log = names::log(&turn.conversation);
    // The log goes on with the frames of later turns, which must not be read.
    let last = turn.end().map_or(u64::MAX, |end| end.last_seq);
    let (mut frames, mut read) = (Vec::new(), turn.before_reply());
    while read < last {
        let limit = u32::try_from(last - read).unwrap_or(PAGE).min(PAGE);
        let _permit = control.pages.acquire().await;
        let page = control.ledger.entries(partition, log.clone(), read, limit).await?;
        if page.is_empty() {
            break;
        }
        for (seq, entry) in page {
            let frame = Frame::parse(&entry)?;
            if frame.turn == turn.id && frame.n > after {
                frames.push(wire::frame(seq, frame));
            }
            read = seq;
            if frames.len() == FRAMES_PER_ANSWER {
                return Ok(frames);
            }
        }
    }
    Ok(frames)
}

/// Returns the transcript of a turn's frames up to seq `through`.
pub(in crate::grpc) async fn transcript(
    control: &Control,
    partition: Partition,
    turn: &Turn,
    through: u64,
) -> Result<Transcript, Error> {
    transcript_within(control, partition, turn, through, usize::MAX).await
}

/// Returns the transcript of a turn's frames up to seq `through`.
///
/// # Errors
/// [`Refusal::TooLarge`] if its messages take more than `most` bytes in memory. Then the rest of
/// the log is not read.
pub(super) async fn transcript_within(
    control: &Control,
    partition: Partition,
    turn: &Turn,
    through: u64,
    most: usize,
) -> Result<Transcript, Error> {
    let must_fit = |transcript: Transcript| match transcript.bytes_in_memory() {
        bytes if bytes > most => Err(Refusal::TooLarge { limit: most }),
        _ => Ok(transcript),
    };
    if turn.end().is_some_and(|end| end.last_seq <= through) {
        let reply = control.ledger.record(partition, &turn.id).await?;
        return Ok(must_fit(reply.unwrap_or_default())?);
    }
    let log = names::log(&turn.conversation);
    let (mut transcript, mut read) = (Transcript::default(), turn.before_reply());
    loop {
        let _permit = control.pages.acquire().await;
        let page = control.ledger.entries(partition, log.clone(), read, PAGE).await?;
        let entries = page.iter().filter(|(seq, _)| *seq <= through);
        transcript.add_those_of(&turn.id, entries)?;
        transcript = must_fit(transcript)?;
        match page.last() {
            Some((last, _)) if *last < through && page.len() == PAGE as usize => read = *last,
            _ => return Ok(transcript),
        }
    }
}

/// Returns turns as a page of history shows them, up to the frame with seq `through`. Once they
/// have more than `bytes` of messages, leaves out the turns that follow, and also returns the
/// `first_seq` of the first turn left out.
pub(super) async fn page(
    control: &Control,
    partition: Partition,
    turns: &[Turn],
    through: u64,
    bytes: usize,
) -> Result<(Vec<v1::ConversationTurn>, Option<u64>), Error> {
    let (mut page, mut taken) = (Vec::new(), 0);
    for (turn, content) in turns.iter().zip(contents(control, partition, turns).await?) {
        if taken > bytes {
            return Ok((page, Some(turn.first_seq)));
        }
        let transcript = transcript(control, partition, turn, through).await?;
        let replies = transcript.messages.iter().map(|message| message.content.len());
        taken += content.len() + replies.sum::<usize>();
        page.push(wire::turn(turn, content, transcript));
    }
    Ok((page, None))
}

/// Returns the visitor's message of each turn; an empty text for the turn of a webhook.
pub(super) async fn contents(
    control: &Control,
    partition: Partition,
    turns: &[Turn],
) -> Result<Vec<String>, Error> {
    let ids = turns.iter().map(|turn| &turn.id);
    let inputs = control.ledger.records::<Input>(partition, ids).await?;
    let texts = turns.iter().zip(inputs).map(|(turn, input)| match (turn.origin.kind, input) {
        (Kind::Chat, Some(input)) => input.content.into_text(),
        _ => String::new(),
    });
    Ok(texts.collect())
}
