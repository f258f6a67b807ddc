//! Handles an agent's messages about one turn.

use super::{
    milestone::Milestones,
    responses::Responses,
    said::{Said, is_handoff},
};
use crate::{
    control::Control,
    frame::Body,
    grpc::{conversation::seen::excerpt, wire},
    jid::FolderName,
    ledger::Error,
    refusal::Refusal,
    store::{Cover, Partition, StoreError},
    transaction::{Decision, Tx},
    turn::{
        handoff::{self, HandoffOrder},
        reply::{self, Ack, AgentFrame, Attempt, Finish},
    },
};
use arizuko_proto::v1::{
    self, agent_frame::Body as AgentBody, attach_request::Message,
    attach_response::Message as Answer,
};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesOrdered};
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::Instrument as _;

/// How many commits of an attempt may wait for replicas, at most.
const UNCOVERED: usize = 64;

#[derive(Clone)]
pub(super) struct Worker {
    pub(super) control: Arc<Control>,
    pub(super) partition: Partition,
    pub(super) responses: Responses,
}

impl Worker {
    /// Handles the messages about one attempt until it is over, or the stream ends. Returns whether
    /// its Finish was acknowledged.
    ///
    /// Doesn't wait until replicas have one commit before it makes the next: only the answers wait.
    pub(super) async fn run(
        self,
        attempt: &Attempt,
        mut messages: mpsc::Receiver<Message>,
    ) -> Result<bool, Error> {
        let (mut next, mut uncovered) = (None, FuturesOrdered::new());
        loop {
            let message = tokio::select! {
                biased;
                Some(covered) = uncovered.next() => {
                    self.answer(attempt, covered?).await;
                    continue;
                }
                message = following(&mut next, &mut messages), if uncovered.len() < UNCOVERED => message,
            };
            let Some(message) = message else {
                self.answer_all(attempt, uncovered).await?;
                return Ok(false);
            };
            let (ack, cover) = match message {
                Message::Reject(reject) => self.reject(attempt, reject).await?,
                message => {
                    let (said, after) = Said::gather(message, &mut messages).await;
                    next = after;
                    self.store(attempt, said).await?
                }
            };
            let finished = match ack {
                Ack::Stored { finished, .. } => Some(finished),
                Ack::Ended | Ack::Lost(_) | Ack::HandedOff { .. } => None,
            };
            uncovered.push_back(cover.map(|covered| covered.map(|()| ack)));
            if finished != Some(false) {
                // A new worker handles what the agent sends after this answer.
                messages.close();
                self.answer_all(attempt, uncovered).await?;
                return Ok(finished.is_some());
            }
        }
    }

    /// Gives the answers that wait for replicas.
    async fn answer_all(
        &self,
        attempt: &Attempt,
        mut uncovered: FuturesOrdered<impl Future<Output = Result<Ack, StoreError>>>,
    ) -> Result<(), Error> {
        while let Some(covered) = uncovered.next().await {
            self.answer(attempt, covered?).await;
        }
        Ok(())
    }

    /// Stores what the agent says, in one commit; a handoff takes another.
    async fn store(&self, attempt: &Attempt, said: Said) -> Result<(Ack, Cover), Error> {
        let milestones = Milestones::of(&self.control, self.partition, attempt, &said).await;
        let storing = self.transact_all(attempt, said).instrument(milestones.span());
        let (ack, cover) = storing.await?;
        milestones.reached(&self.control, &ack);
        Ok((ack, cover))
    }

    async fn transact_all(&self, attempt: &Attempt, said: Said) -> Result<(Ack, Cover), Error> {
        let Said { append, finish, .. } = said;
        let (mut append, mut handoff) = (append, None);
        if let Some(append) = &mut append {
            handoff = append.frames.pop_if(|frame| is_handoff(frame));
        }
        let append = append.map(|append| read_append(append, attempt)).transpose()?;
        let finish = finish.map(read_finish);
        let storing = |tx: &mut Tx<'_>| {
            let mut ack = None;
            if let Some((seq, frames)) = &append {
                ack = Some(reply::append_frames(tx, attempt, *seq, frames)?);
            }
            match (ack, &finish) {
                (None | Some(Ack::Stored { .. }), Some(finish)) => {
                    reply::finish(tx, attempt, finish)
                }
                (Some(ack), _) => Ok(ack),
                (None, None) => reply::accept(tx, attempt),
            }
        };
        let (ack, cover) = self.transact(storing).await?;
        match (handoff.and_then(|frame| frame.body), append) {
            (Some(AgentBody::Handoff(handoff)), Some((seq, frames)))
                if matches!(ack, Ack::Stored { .. }) =>
            {
                let seq = seq + frames.len() as u64;
                let order = handoff_order(handoff)?;
                self.transact(|tx| handoff::hand_off(tx, attempt, seq, &order)).await
            }
            _ => Ok((ack, cover)),
        }
    }

    async fn reject(&self, attempt: &Attempt, reject: v1::Reject) -> Result<(Ack, Cover), Error> {
        let v1::Reject { detail, retry_after, .. } = reject;
        let retry_after = wire::parse_duration(retry_after)?;
        self.transact(|tx| reply::reject(tx, attempt, &detail, retry_after)).await
    }

    async fn transact(
        &self,
        decide: impl FnMut(&mut Tx<'_>) -> Decision<Ack> + Send,
    ) -> Result<(Ack, Cover), Error> {
        self.control.ledger.transact_early(self.partition, decide).await
    }

    /// Tells the agent how far its attempt got, or that the attempt is over.
    pub(super) async fn answer(&self, attempt: &Attempt, ack: Ack) {
        let (turn_id, attempt) = (attempt.turn.to_string(), attempt.number);
        let answer = match ack {
            Ack::Stored { next_seq, finished } => {
                Answer::Appended(v1::Appended { turn_id, attempt, next_seq, finished })
            }
            Ack::Ended => Answer::Cancel(v1::Cancel { turn_id, attempt }),
            Ack::Lost(why) => {
                let (detail, unattended) = (why.to_owned(), String::new());
                Answer::Lost(v1::Lost { turn_id, attempt, detail, unattended })
            }
            Ack::HandedOff { unattended } => {
                let detail = "it was handed off".to_owned();
                let unattended = unattended.map(String::from).unwrap_or_default();
                Answer::Lost(v1::Lost { turn_id, attempt, detail, unattended })
            }
        };
        self.responses.send(answer).await;
    }
}

/// Returns the message that was left over, or else the next one.
async fn following(
    left: &mut Option<Message>,
    messages: &mut mpsc::Receiver<Message>,
) -> Option<Message> {
    match left.take() {
        Some(message) => Some(message),
        None => messages.recv().await,
    }
}

fn handoff_order(handoff: v1::Handoff) -> Result<HandoffOrder, Refusal> {
    let v1::Handoff { folder, note, conversation } = handoff;
    let to = match folder.as_str() {
        "" => None,
        folder => Some(FolderName::parse(folder)?),
    };
    Ok(HandoffOrder { to, note, conversation })
}

/// Reads an Append without its handoff: the number of its first frame, and the frames.
fn read_append(append: v1::Append, attempt: &Attempt) -> Result<(u64, Vec<AgentFrame>), Refusal> {
    let frames = append.frames.into_iter().map(|frame| read_frame(frame, attempt));
    Ok((append.seq, frames.collect::<Result<_, _>>()?))
}

fn read_finish(finish: v1::Finish) -> Finish {
    let v1::Finish { seq, failed, error, detail, usage, .. } = finish;
    let tokens = usage.map(|used| used.input_tokens.saturating_add(used.output_tokens));
    Finish { seq, failed, error, detail, tokens }
}

/// Reads an agent's frame, and makes its message's id unique in the conversation.
pub(crate) fn read_frame(frame: v1::AgentFrame, attempt: &Attempt) -> Result<AgentFrame, Refusal> {
    let id = |id: String| match id.chars().count() {
        1..=64 => Ok(format!("{}.{}.{id}", attempt.turn, attempt.number)),
        _ => Err(Refusal::invalid("a message's id must have 1 to 64 characters")),
    };
    Ok(AgentFrame::Said(match frame.body {
        Some(AgentBody::Message(message)) => {
            Body::Message { id: id(message.id)?, content: message.content, by: None }
        }
        Some(AgentBody::Delta(delta)) => Body::Delta { id: id(delta.id)?, text: delta.text },
        Some(AgentBody::Status(text)) => Body::Status { text },
        Some(AgentBody::Title(text)) => Body::Title { text: excerpt(&text) },
        Some(AgentBody::Handoff(_)) => {
            return Err(Refusal::invalid("a handoff must be the last frame"));
        }
        Some(AgentBody::Response(response)) => {
            return Ok(AgentFrame::Response(wire::hook::parse_response(response)));
        }
        None => return Ok(AgentFrame::Unknown),
    }))
}
