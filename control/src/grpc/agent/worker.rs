//! Handles an agent's messages about one turn.

use super::{milestone::Milestone, responses::Responses};
use crate::{
    control::Control,
    frame::Body,
    grpc::wire,
    jid::FolderName,
    ledger::Error,
    refusal::Refusal,
    store::Partition,
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
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::Instrument as _;

/// After how many frames a commit takes no further Append.
const FRAMES_PER_COMMIT: usize = 256;

#[derive(Clone)]
pub(super) struct Worker {
    pub(super) control: Arc<Control>,
    pub(super) partition: Partition,
    pub(super) responses: Responses,
}

impl Worker {
    /// Handles the messages about one attempt until it is over, or the stream ends. Returns the
    /// attempt if its Finish was acknowledged.
    pub(super) async fn run(
        self,
        attempt: Attempt,
        mut messages: mpsc::Receiver<Message>,
    ) -> Result<Option<Attempt>, Error> {
        let mut next = None;
        loop {
            let message = match next.take() {
                Some(message) => message,
                None => match messages.recv().await {
                    Some(message) => message,
                    None => return Ok(None),
                },
            };
            let milestone = Milestone::of(&self.control, self.partition, &message).await;
            let handling = async {
                match message {
                    Message::Append(mut append) => {
                        next = gather(&mut append, &mut messages);
                        self.append(&attempt, append).await
                    }
                    Message::Finish(finish) => self.finish(&attempt, finish).await,
                    Message::Reject(reject) => self.reject(&attempt, reject).await,
                    _ => self.accept(&attempt).await,
                }
            };
            let ack = handling.instrument(milestone.span.clone()).await?;
            milestone.reached(&self.control, &ack);
            let finished = match ack {
                Ack::Stored { finished, .. } => Some(finished),
                Ack::Ended | Ack::Lost(_) | Ack::HandedOff { .. } => None,
            };
            if finished != Some(false) {
                // A new worker handles what the agent sends after this answer.
                messages.close();
            }
            self.answer(&attempt, ack).await;
            match finished {
                Some(false) => {}
                Some(true) => return Ok(Some(attempt)),
                None => return Ok(None),
            }
        }
    }

    async fn accept(&self, attempt: &Attempt) -> Result<Ack, Error> {
        self.transact(|tx| reply::accept(tx, attempt)).await
    }

    async fn append(&self, attempt: &Attempt, append: v1::Append) -> Result<Ack, Error> {
        let v1::Append { seq, mut frames, .. } = append;
        let handoff = frames.pop_if(|frame| matches!(frame.body, Some(AgentBody::Handoff(_))));
        let frames = frames.into_iter().map(|frame| read_frame(frame, attempt));
        let frames: Vec<AgentFrame> = frames.collect::<Result<_, _>>()?;
        let ack = self.transact(|tx| reply::append_frames(tx, attempt, seq, &frames)).await?;
        match handoff.and_then(|frame| frame.body) {
            Some(AgentBody::Handoff(handoff)) if matches!(ack, Ack::Stored { .. }) => {
                let seq = seq + frames.len() as u64;
                let order = handoff_order(handoff)?;
                self.transact(|tx| handoff::hand_off(tx, attempt, seq, &order)).await
            }
            _ => Ok(ack),
        }
    }

    async fn finish(&self, attempt: &Attempt, finish: v1::Finish) -> Result<Ack, Error> {
        let v1::Finish { seq, failed, error, detail, usage, .. } = finish;
        let tokens = usage.map(|used| used.input_tokens.saturating_add(used.output_tokens));
        let finish = Finish { seq, failed, error, detail, tokens };
        self.transact(|tx| reply::finish(tx, attempt, &finish)).await
    }

    async fn reject(&self, attempt: &Attempt, reject: v1::Reject) -> Result<Ack, Error> {
        let v1::Reject { detail, retry_after, .. } = reject;
        let retry_after = wire::parse_duration(retry_after)?;
        self.transact(|tx| reply::reject(tx, attempt, &detail, retry_after)).await
    }

    async fn transact(
        &self,
        decide: impl FnMut(&mut Tx<'_>) -> Decision<Ack>,
    ) -> Result<Ack, Error> {
        self.control.ledger.transact(self.partition, &[], decide).await
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

fn handoff_order(handoff: v1::Handoff) -> Result<HandoffOrder, Refusal> {
    let v1::Handoff { folder, note, conversation } = handoff;
    let to = match folder.as_str() {
        "" => None,
        folder => Some(FolderName::parse(folder)?),
    };
    Ok(HandoffOrder { to, note, conversation })
}

/// Adds to an Append the waiting Appends that continue it, so that one commit stores them all.
/// Returns the first message that does not continue it.
fn gather(append: &mut v1::Append, messages: &mut mpsc::Receiver<Message>) -> Option<Message> {
    let is_last = |frame: &v1::AgentFrame| matches!(frame.body, Some(AgentBody::Handoff(_)));
    while append.frames.len() < FRAMES_PER_COMMIT && !append.frames.last().is_some_and(is_last) {
        match messages.try_recv().ok()? {
            Message::Append(next)
                if append.seq.checked_add(append.frames.len() as u64) == Some(next.seq) =>
            {
                append.frames.extend(next.frames);
            }
            other => return Some(other),
        }
    }
    None
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
        Some(AgentBody::Handoff(_)) => {
            return Err(Refusal::invalid("a handoff must be the last frame"));
        }
        Some(AgentBody::Response(response)) => {
            return Ok(AgentFrame::Response(wire::hook::parse_response(response)));
        }
        None => return Ok(AgentFrame::Unknown),
    }))
}
