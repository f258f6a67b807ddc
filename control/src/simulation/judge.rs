//! Compares what control promised with what the store has at the end.

use super::{
    agent::reply,
    history::{Accepted, History},
};
use crate::{
    frame::{Body, Frame, Outcome, Transcript},
    ids::{ConversationId, TurnId},
    jid::FolderName,
    names,
    store::{Found, Partition, Read, Store as _, model::Model},
};
use std::collections::BTreeSet;

/// Returns the frames of a conversation, with their seqs.
async fn frames(model: &Model, partition: Partition, conversation: &str) -> Vec<(u64, Frame)> {
    let log = names::log(&ConversationId::from(conversation.to_owned()));
    let read = Read::Log { log, after: 0, limit: u32::MAX };
    let found = model.load(partition, &[read]).await.expect("the model answers").pop();
    let Some(Found::Log(entries)) = found else { panic!("a log is a log") };
    let parse = |(seq, entry): (u64, bytes::Bytes)| Some((seq, Frame::parse(&entry).ok()?));
    entries.into_iter().map(|entry| parse(entry).expect("a frame is a frame")).collect()
}

/// Whether every message that was taken has been answered, and every reader has had all frames.
pub(super) async fn is_settled(model: &Model, partitions: Partition, history: &History) -> bool {
    for accepted in history.accepted() {
        let frames = frames(model, partition(partitions), &accepted.conversation).await;
        let turn = TurnId::from(accepted.turn.clone());
        let is_over = |(_, frame): &(u64, Frame)| {
            frame.turn == turn && matches!(frame.body, Body::TurnDone(_))
        };
        let last = frames.last().map_or(0, |(seq, _)| *seq);
        let read = history.seqs(&accepted.conversation);
        let is_read = read.iter().all(|read| read.last() == Some(&last));
        if !frames.iter().any(is_over) || !is_read && history.revoked(&accepted.token).is_none() {
            return false;
        }
    }
    true
}

/// Notes every broken promise in the history.
pub(super) async fn judge(model: &Model, partitions: Partition, history: &History) {
    let accepted = history.accepted();
    let conversations: BTreeSet<_> =
        accepted.iter().map(|accepted| accepted.conversation.clone()).collect();
    for conversation in conversations {
        let frames = frames(model, partition(partitions), &conversation).await;
        let messages: Vec<_> =
            accepted.iter().filter(|accepted| accepted.conversation == conversation).collect();
        check_log(history, &conversation, &frames, &messages);
        for message in messages {
            check_turn(history, &frames, message);
        }
    }
}

fn partition(partitions: Partition) -> Partition {
    FolderName::parse("acme").expect("a folder").partition(partitions)
}

/// Checks that the log has no gaps, that the reader had the same, and that the messages are in the
/// order in which the visitor sent them, each once.
fn check_log(
    history: &History,
    conversation: &str,
    frames: &[(u64, Frame)],
    messages: &[&Accepted],
) {
    let seqs: Vec<u64> = frames.iter().map(|(seq, _)| *seq).collect();
    if !seqs.iter().copied().eq(1..=seqs.len() as u64) {
        history.breach(&format!("the log of {conversation} has gaps: {seqs:?}"));
    }
    let is_revoked = history.revoked(&messages[0].token).is_some();
    for read in history.seqs(conversation) {
        let has_all = if is_revoked { seqs.starts_with(&read) } else { seqs == read };
        if !has_all {
            history.breach(&format!("a reader of {conversation} had {read:?} of {seqs:?}"));
        }
    }
    let said = frames.iter().filter_map(|(_, frame)| match &frame.body {
        Body::User { content, .. } => Some(content.as_str()),
        _ => None,
    });
    let said: Vec<_> = said.collect();
    // The last message may have been taken without an answer that the visitor got.
    let sent: Vec<_> = messages.iter().map(|message| message.text.as_str()).collect();
    if said.get(..sent.len()) != Some(&sent) || said.len() > sent.len() + 1 {
        history.breach(&format!("{conversation} has the messages {said:?}, not {sent:?}"));
    }
    let mut open = None;
    for (seq, frame) in frames {
        match frame.body {
            Body::User { .. } => {}
            Body::TurnDone(_) => open = None,
            // A turn is answered once the one before it has ended.
            _ if open.get_or_insert(&frame.turn) != &&frame.turn => {
                history.breach(&format!("frame {seq} of {conversation} is out of turn"));
            }
            _ => {}
        }
    }
}

/// Checks that a turn has one last frame, and that its reply is whole.
fn check_turn(history: &History, frames: &[(u64, Frame)], message: &Accepted) {
    let turn = TurnId::from(message.turn.clone());
    let of_turn: Vec<_> =
        frames.iter().map(|(_, frame)| frame).filter(|frame| frame.turn == turn).collect();
    let mut transcript = Transcript::default();
    of_turn.iter().for_each(|frame| transcript.add((*frame).clone()));
    let ends = of_turn.iter().filter(|frame| matches!(frame.body, Body::TurnDone(_))).count();
    let ends_last = of_turn.last().is_some_and(|frame| matches!(frame.body, Body::TurnDone(_)));
    if ends != 1 || !ends_last {
        history.breach(&format!("{message:?} has {ends} last frames"));
    }
    let revoked = history.revoked(&message.token);
    let may_be_cancelled = revoked.is_some() || history.may_be_cancelled(&message.turn);
    match transcript.end.map(|end| end.outcome) {
        Some(Outcome::Done) => {
            let said: Vec<_> =
                transcript.messages.iter().map(|message| message.content.clone()).collect();
            if said != [reply(&message.text)] {
                history.breach(&format!("the reply to {message:?} is {said:?}"));
            }
        }
        Some(Outcome::Cancelled) if may_be_cancelled => {}
        outcome => history.breach(&format!("{message:?} ended as {outcome:?}")),
    }
    // A repeat of a message that was taken before is answered, as long as the link lives.
    if revoked.is_some_and(|revoked| revoked < message.sent) {
        history.breach(&format!("{message:?} was taken after the revocation had returned"));
    }
}
