//! Turns and conversations, read.

use super::{Access, parse};
use crate::{
    conversation::{self, Conversation},
    credential::is_random_id,
    frame::{Body, Transcript},
    grpc::{Service, wire},
    ledger::Error,
    store::{Millis, Partition, Wake},
    token::Kind,
    transaction::Refusal,
    turn::{self, Turn, post::Input},
};
use arizuko_proto::v1;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tracing::Span;

/// How many of a reply's frames one answer carries.
const FRAMES_PER_ANSWER: usize = 2_000;
/// How many bytes of messages one page carries, give or take its last turn.
const PAGE_BYTES: usize = 4 << 20;
const MAX_WAIT: Duration = Duration::from_secs(50);

impl Service {
    /// The turn, if it is this token's.
    pub(super) async fn owned_turn(&self, access: &Access, id: &str) -> Result<Turn, Error> {
        if !is_random_id(id) {
            return Err(Refusal::invalid("that is not a turn's id").into());
        }
        let token = access.admit(&self.0).await?;
        let turn: Option<Turn> = self.0.ledger.record(access.partition(), turn::record(id)).await?;
        let mine = turn.filter(|turn| turn.token == token.id);
        mine.ok_or(Refusal::NotFound("turn").into())
    }

    pub(super) async fn turn(
        &self,
        request: v1::GetTurnRequest,
    ) -> Result<v1::GetTurnResponse, Error> {
        let access = self.access(request.access)?;
        let partition = access.partition();
        Span::current().record("turn", &request.turn_id);
        let mut turn = self.owned_turn(&access, &request.turn_id).await?;
        let wait = request.wait.as_ref().map(wire::millis).transpose()?.unwrap_or(0);
        if wait > 0 && turn.status.is_open() {
            turn = self.wait_for_end(&access, turn, wait).await?;
        }

        let mut frames = Vec::new();
        if request.frames {
            let conversation = conversation::record(&turn.conversation);
            let conversation: Option<Conversation> =
                self.0.ledger.record(partition, conversation).await?;
            let trimmed = conversation.is_none_or(|c| c.trimmed >= turn.last_seq);
            if trimmed && !turn.status.is_open() {
                return Err(Refusal::PastRetention.into());
            }
            let log = conversation::log(&turn.conversation);
            for (seq, entry) in
                self.0.ledger.entries(partition, log, turn.before_reply(), u32::MAX).await?
            {
                let frame = parse(&entry)?;
                if frame.turn == turn.id && frame.n > request.after {
                    frames.push(wire::frame(seq, frame));
                }
                if frames.len() == FRAMES_PER_ANSWER {
                    break;
                }
            }
        }
        let input =
            self.inputs(partition, std::slice::from_ref(&turn)).await?.pop().unwrap_or_default();
        let transcript = self.transcript(partition, &turn, u64::MAX).await?;
        Ok(v1::GetTurnResponse {
            agent_attached: self.0.seems_attended(&turn.folder).await,
            conversation: turn.conversation.clone(),
            turn: Some(wire::turn(&turn, input, transcript)),
            frames,
        })
    }

    /// The turn once it has ended, or as it is when the wait is over.
    async fn wait_for_end(&self, access: &Access, turn: Turn, wait: Millis) -> Result<Turn, Error> {
        let until = Instant::now() + Duration::from_millis(wait).min(MAX_WAIT);
        let topic = conversation::topic(&turn.conversation);
        let mut wakes = self.0.ledger.watch(access.partition(), &topic).await?;
        loop {
            let current = self.owned_turn(access, &turn.id).await?;
            if !current.status.is_open() {
                return Ok(current);
            }
            loop {
                // Looked at again now and then, should the wake-up have been lost.
                let again = until.min(Instant::now() + self.0.limits.recheck);
                let wake = tokio::select! {
                    wake = timeout_at(again, wakes.next()) => wake,
                    () = self.0.draining.cancelled() => return Ok(current),
                };
                match wake {
                    Err(_) if again == until => return self.owned_turn(access, &turn.id).await,
                    Ok(Wake::Published(payload)) if !may_end(&payload, &turn.id) => {}
                    _ => break,
                }
            }
        }
    }

    /// What a turn's frames up to `through` add up to.
    async fn transcript(
        &self,
        partition: Partition,
        turn: &Turn,
        through: u64,
    ) -> Result<Transcript, Error> {
        if !turn.status.is_open() && turn.last_seq <= through {
            let reply = self.0.ledger.record(partition, turn::reply(&turn.id)).await?;
            return Ok(reply.unwrap_or_default());
        }
        let log = conversation::log(&turn.conversation);
        let mut entries =
            self.0.ledger.entries(partition, log, turn.before_reply(), u32::MAX).await?;
        entries.retain(|(seq, _)| *seq <= through);
        Ok(turn::transcript(&entries, &turn.id)?)
    }

    /// The visitor's messages of some turns; a webhook's are empty.
    async fn inputs(&self, partition: Partition, turns: &[Turn]) -> Result<Vec<String>, Error> {
        let records = turns.iter().map(|turn| turn::input(&turn.id));
        let inputs = self.0.ledger.records::<Input>(partition, records).await?;
        let texts = turns.iter().zip(inputs).map(|(turn, input)| match (turn.kind, input) {
            (Kind::Chat, Some(input)) => {
                String::from_utf8(input.content.into_bytes()).unwrap_or_default()
            }
            _ => String::new(),
        });
        Ok(texts.collect())
    }

    /// A page of history as of the moment that its cursor names: the conversation's record is
    /// read first, and nothing after its head is shown.
    pub(super) async fn page(
        &self,
        request: v1::GetConversationRequest,
    ) -> Result<v1::GetConversationResponse, Error> {
        let access = self.access(request.access)?;
        let partition = access.partition();
        if !is_random_id(&request.conversation) {
            return Err(Refusal::invalid("that is not a conversation's id").into());
        }
        Span::current().record("conversation", &request.conversation);
        let token = access.admit(&self.0).await?;
        let conversation =
            self.0.ledger.record(partition, conversation::record(&request.conversation)).await?;
        let conversation = conversation::of_token(conversation, &token)?;
        let size = if request.page_size == 0 { 50 } else { request.page_size.min(200) };
        let range = (request.after.saturating_add(1), conversation.head);
        let set = conversation::turns(&conversation.id);
        let members = self.0.ledger.members(partition, set, range, size + 1).await?;
        let shown = members.iter().take(size as usize);
        let records = shown.map(|member| turn::record(&member.name));
        let turns: Vec<Option<Turn>> = self.0.ledger.records(partition, records).await?;
        let kept: Vec<Turn> = turns.into_iter().flatten().collect();
        let inputs = self.inputs(partition, &kept).await?;

        // Where the next page begins, if there is one.
        let mut next = match members.get(size as usize) {
            Some(more) => more.score - 1,
            None => 0,
        };
        let (mut turns, mut bytes) = (Vec::new(), 0);
        for (turn, input) in kept.iter().zip(inputs) {
            if bytes > PAGE_BYTES {
                next = turn.first_seq - 1;
                break;
            }
            let transcript = self.transcript(partition, turn, conversation.head).await?;
            let replies = transcript.messages.iter().map(|message| message.content.len());
            bytes += input.len() + replies.sum::<usize>();
            turns.push(wire::turn(turn, input, transcript));
        }
        Ok(v1::GetConversationResponse {
            turns,
            next,
            cursor: Some(v1::Cursor { seq: conversation.head, tag: conversation.tag }),
            agent_attached: self.0.seems_answered(&token, Some(&conversation)).await,
        })
    }
}

/// Whether a conversation's wake-up could be the turn's end.
fn may_end(payload: &bytes::Bytes, turn: &str) -> bool {
    let Some((_, Some(entry))) = conversation::woken(payload) else {
        return true;
    };
    let frame = parse(&entry);
    frame.is_ok_and(|frame| frame.turn == turn && matches!(frame.body, Body::TurnDone { .. }))
}
