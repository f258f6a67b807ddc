//! Compares what control promised with what the store has at the end.

use super::{
    agent::{HOME, reply},
    history::{Accepted, History},
    linear::{self, Call, Did, Link},
};
use crate::{
    frame::{Body, Frame, Outcome, Transcript},
    ids::{ConversationId, TokenId, TurnId},
    jid::FolderName,
    names,
    store::{Found, Partition, Read, Store as _, model::Model},
    turn::Turn,
};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the frames of a conversation, with their seqs.
async fn frames(model: &Model, partition: Partition, conversation: &str) -> Vec<(u64, Frame)> {
    let log = names::log(&ConversationId::from(conversation.to_owned()));
    let read = Read::Log { log, after: 0, limit: u32::MAX };
    let found = model.load(partition, &[read]).await.expect("the model answers").pop();
    let Some(Found::Log(entries)) = found else { panic!("a log is a log") };
    let parse = |(seq, entry): (u64, bytes::Bytes)| Some((seq, Frame::parse(&entry).ok()?));
    entries.into_iter().map(|entry| parse(entry).expect("a frame is a frame")).collect()
}

/// Returns the messages of the conversations whose deletion nobody has asked for.
fn kept(history: &History) -> Vec<Accepted> {
    let accepted = history.accepted().into_iter();
    let deleted = history.state().deleted.clone();
    accepted.filter(|accepted| !deleted.contains(&accepted.conversation)).collect()
}

/// Whether every message that was taken has been answered, and every reader has had all frames,
/// except those of revoked links.
pub(super) async fn is_settled(model: &Model, partitions: Partition, history: &History) -> bool {
    for accepted in kept(history) {
        let frames = frames(model, partition(partitions), &accepted.conversation).await;
        let turn = TurnId::from(accepted.turn.clone());
        let is_over = |(_, frame): &(u64, Frame)| {
            frame.turn == turn && matches!(frame.body, Body::TurnDone(_))
        };
        let last = frames.last().map_or(0, |(seq, _)| *seq);
        let may_miss_some = history.is_revoked(&accepted.token) || !accepted.delivery.is_empty();
        let read = history.state().read.get(&accepted.conversation).cloned();
        let read = read.unwrap_or_default();
        let is_read = read.iter().all(|read| read.last() == Some(&last));
        if !frames.iter().any(is_over) || !is_read && !may_miss_some {
            return false;
        }
    }
    true
}

/// Notes every broken promise in the history. `budgets` has each link with a budget: its token, the
/// token's id, and how many turns the link takes in a day.
pub(super) async fn judge(
    model: &Model,
    partitions: Partition,
    history: &History,
    budgets: &[(String, TokenId, usize)],
) {
    let accepted = kept(history);
    let mut conversations = BTreeMap::<_, Vec<_>>::new();
    for message in &accepted {
        conversations.entry(message.conversation.clone()).or_default().push(message);
    }
    for (conversation, messages) in conversations {
        let frames = frames(model, partition(partitions), &conversation).await;
        check_log(history, &conversation, &frames, &messages);
        for message in messages {
            check_turn(history, &frames, message);
        }
    }
    check_deliveries(history, model);
    check_folders(history);
    for (token, id, most) in budgets {
        check_budget(history, model, token, id, *most);
    }
    for conversation in &history.state().gone.clone() {
        let left = model.names(conversation);
        if !left.is_empty() {
            history.breach(&format!("{conversation} was deleted, but there is {left:?}"));
        }
    }
    let calls = history.state().calls.clone();
    for (token, calls) in calls {
        if !linear::is_linearizable(&calls) {
            history.breach(&format!("no order explains the calls of {token}: {calls:?}"));
        }
    }
}

fn partition(partitions: Partition) -> Partition {
    FolderName::parse(HOME).expect("a folder").partition(partitions)
}

/// Checks that the log has no gaps, that the readers had all of it, and that the messages are in
/// the order in which the visitor sent them, each once.
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
    let first = messages[0];
    let read = history.state().read.get(conversation).cloned().unwrap_or_default();
    for read in read.into_iter().filter(|_| first.delivery.is_empty()) {
        let is_revoked = history.is_revoked(&first.token);
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
    let sent: Vec<_> = match first.delivery.as_str() {
        "" => messages.iter().map(|message| message.text.as_str()).collect(),
        // The log doesn't have the content of a webhook's delivery, and each delivery is one
        // message.
        _ => vec![""],
    };
    // The last message may have been taken even if its answer did not reach the visitor.
    if said.get(..sent.len()) != Some(&sent) || said.len() > sent.len() + 1 {
        history.breach(&format!("{conversation} has the messages {said:?}, not {sent:?}"));
    }
    if said.len() > sent.len() {
        let last = messages.iter().map(|message| message.sent).max().unwrap_or_default();
        let call = Call { did: Did::Saw(Link::Open), begun: last, returned: u64::MAX };
        history.state().calls.entry(first.token.clone()).or_default().push(call);
    }
    let mut open = None;
    for (seq, frame) in frames {
        match frame.body {
            Body::User { .. } | Body::Rated { .. } | Body::Title { .. } => {}
            Body::TurnDone(_) => open = None,
            // A turn is answered only after the one before it has ended.
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
    let may_be_cancelled =
        history.is_revoked(&message.token) || history.state().cancelled.contains(&message.turn);
    match transcript.end.as_ref().map(|end| end.outcome) {
        Some(Outcome::Done) => check_reply(history, message, &of_turn, &transcript),
        Some(Outcome::Cancelled) if may_be_cancelled => {}
        outcome => history.breach(&format!("{message:?} ended as {outcome:?}")),
    }
}

/// Checks that the last message is the whole reply, and that those before it are the beginnings of
/// replies that a handoff, or the loss of a person, has kept.
fn check_reply(history: &History, message: &Accepted, frames: &[&Frame], reply_: &Transcript) {
    let said: Vec<_> = reply_.messages.iter().map(|message| message.content.as_str()).collect();
    let keeps = frames.iter().filter(|f| matches!(f.body, Body::Restart { keep: true, .. }));
    let whole = reply(&message.text);
    let is_whole = said.last() == Some(&whole.as_str());
    if !is_whole || said.len() > 1 + keeps.count() || !said.iter().all(|s| whole.starts_with(s)) {
        history.breach(&format!("the reply to {message:?} is {said:?}"));
    }
}

/// Checks that each delivery of the webhook has made one turn, which every answer named.
fn check_deliveries(history: &History, model: &Model) {
    let mut answers = BTreeMap::<_, Vec<_>>::new();
    for message in history.accepted().into_iter().filter(|message| !message.delivery.is_empty()) {
        answers.entry(message.delivery).or_default().push((message.turn, message.repeated));
    }
    let turns = model.all::<Turn>("turn");
    for (delivery, answers) in answers {
        let named: BTreeSet<_> = answers.iter().map(|(turn, _)| turn).collect();
        let first = answers.iter().filter(|(_, repeated)| !repeated).count();
        let made = turns.iter().filter(|turn| turn.origin.delivery == delivery).count();
        if named.len() != 1 || made != 1 || first > 1 {
            let what = format!("{delivery} has made {made} turns, and was answered {answers:?}");
            history.breach(&what);
        }
    }
}

/// Checks that a turn that was handed off, or whose conversation was assigned before its message
/// was sent, was delivered only in the folder that it was given to.
fn check_folders(history: &History) {
    let (handed_off, delivered, assigned) = {
        let state = history.state();
        (state.handed_off.clone(), state.delivered.clone(), state.assigned.clone())
    };
    for ((turn, attempt), to) in handed_off {
        let next = delivered.get(&(turn.clone(), attempt + 1));
        if next.is_some_and(|next| next.folder != to) {
            history.breach(&format!("{turn} was handed off to {to}, but went to {next:?}"));
        }
    }
    // Each delivery of a webhook is a conversation of its own.
    for message in history.accepted().iter().filter(|message| message.delivery.is_empty()) {
        let Some((folder, since)) = assigned.get(&message.conversation) else { continue };
        for ((_, attempt), to) in delivered.iter().filter(|((turn, _), _)| *turn == message.turn) {
            if message.sent > *since && to.folder != *folder {
                let what = format!("attempt {attempt} of {message:?} went to {to:?}");
                history.breach(&format!("{what}, not to {folder}"));
            }
        }
    }
}

/// Checks that a link took as many turns in a day as its budget allows before it refused one, and
/// no more.
fn check_budget(history: &History, model: &Model, token: &str, id: &TokenId, most: usize) {
    let mut days = BTreeMap::<_, usize>::new();
    for turn in model.all::<Turn>("turn").iter().filter(|turn| turn.origin.token == *id) {
        *days.entry(turn.origin.created_at.day()).or_default() += 1;
    }
    if days.values().any(|turns| *turns > most) {
        history.breach(&format!("{token} takes {most} turns a day, but took {days:?}"));
    }
    let last = days.last_key_value().map_or(0, |(_, turns)| *turns);
    if history.state().spent.contains(token) && last < most {
        history.breach(&format!("{token} has refused a message, but took only {days:?}"));
    }
}
