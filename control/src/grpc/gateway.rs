//! GatewayService.

use super::{Service, status, watch, wire};
use crate::{
    conversation::{self, Conversation},
    credential::{Credential, is_random_id},
    frame::{Frame, Transcript},
    ledger::Error,
    server::Control,
    store::{Millis, Partition, Wake},
    token::{self, Kind, Token},
    transaction::Refusal,
    turn::{self, Post, Turn, post::Input},
};
use arizuko_proto::v1::{self, TokenKind};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status, Streaming};

/// How much of a reply's frames one answer carries.
const FRAMES_PER_ANSWER: u32 = 2_000;
/// How many bytes of messages one page carries, give or take its last turn.
const PAGE_BYTES: usize = 4 << 20;
const MAX_WAIT: Duration = Duration::from_secs(50);

#[tonic::async_trait]
impl v1::gateway_service_server::GatewayService for Service {
    type WatchStream = watch::Events;

    async fn resolve_token(
        &self,
        request: Request<v1::ResolveTokenRequest>,
    ) -> Result<Response<v1::ResolveTokenResponse>, Status> {
        self.gateway(&request).await?;
        let resolved = self.resolve(request.into_inner().access).await;
        resolved.map(Response::new).map_err(status::from)
    }

    async fn post_message(
        &self,
        request: Request<v1::PostMessageRequest>,
    ) -> Result<Response<v1::PostMessageResponse>, Status> {
        self.gateway(&request).await?;
        let posted = self.post(request.into_inner()).await;
        posted.map(Response::new).map_err(status::from)
    }

    async fn get_turn(
        &self,
        request: Request<v1::GetTurnRequest>,
    ) -> Result<Response<v1::GetTurnResponse>, Status> {
        self.gateway(&request).await?;
        let turn = self.turn(request.into_inner()).await;
        turn.map(Response::new).map_err(status::from)
    }

    async fn get_conversation(
        &self,
        request: Request<v1::GetConversationRequest>,
    ) -> Result<Response<v1::GetConversationResponse>, Status> {
        self.gateway(&request).await?;
        let page = self.page(request.into_inner()).await;
        page.map(Response::new).map_err(status::from)
    }

    async fn cancel_turn(
        &self,
        request: Request<v1::CancelTurnRequest>,
    ) -> Result<Response<v1::CancelTurnResponse>, Status> {
        self.gateway(&request).await?;
        let status = self
            .cancel(request.into_inner())
            .await
            .map_err(status::from)?;
        Ok(Response::new(v1::CancelTurnResponse {
            status: wire::status(status).into(),
        }))
    }

    async fn delete_conversation(
        &self,
        request: Request<v1::DeleteConversationRequest>,
    ) -> Result<Response<v1::DeleteConversationResponse>, Status> {
        self.gateway(&request).await?;
        self.delete(request.into_inner())
            .await
            .map_err(status::from)?;
        Ok(Response::new(v1::DeleteConversationResponse {}))
    }

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = self.gateway(&request).await?;
        let events = watch::serve(self.0.clone(), &caller, request.into_inner()).await;
        events.map(Response::new).map_err(status::from)
    }
}

/// A visitor's credential, read but not yet checked.
pub(super) struct Access {
    pub(super) credential: Credential,
    pub(super) kind: Kind,
}

impl Access {
    pub(super) fn read(access: Option<v1::Access>, partitions: Partition) -> Result<Self, Refusal> {
        let access = access.unwrap_or_default();
        let kind = match access.kind() {
            TokenKind::Chat => Kind::Chat,
            TokenKind::Hook => Kind::Hook,
            TokenKind::Unspecified => return Err(Refusal::invalid("say which surface")),
        };
        let credential = Credential::parse("", &access.token, partitions);
        Ok(Self {
            credential: credential.ok_or(Refusal::TokenInvalid)?,
            kind,
        })
    }

    /// Checks it at the store.
    pub(super) async fn admit(&self, control: &Control) -> Result<Token, Error> {
        control.admit(&self.credential, self.kind).await
    }

    pub(super) fn token_id(&self) -> String {
        self.credential.id(token::ID)
    }

    pub(super) fn partition(&self) -> Partition {
        self.credential.partition
    }
}

impl Service {
    fn access(&self, access: Option<v1::Access>) -> Result<Access, Refusal> {
        Access::read(access, self.0.partitions)
    }

    async fn resolve(&self, access: Option<v1::Access>) -> Result<v1::ResolveTokenResponse, Error> {
        let token = self.access(access)?.admit(&self.0).await?;
        let agent_attached = self.0.is_attended(&token.folder).await?;
        let name = match token.options.name.as_str() {
            "" => token.folder.name(),
            name => name,
        };
        let limits = &self.0.limits;
        let bytes = if token.kind == Kind::Chat {
            limits.chat_bytes
        } else {
            limits.hook_bytes
        };
        Ok(v1::ResolveTokenResponse {
            name: name.to_owned(),
            token_id: token.id,
            jid: token.jid,
            folder: token.folder.into(),
            greeting: token.options.greeting,
            allowed_origins: token.options.allowed_origins,
            agent_attached,
            max_content_bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        })
    }

    async fn post(
        &self,
        request: v1::PostMessageRequest,
    ) -> Result<v1::PostMessageResponse, Error> {
        let access = self.access(request.access)?;
        let headers = request
            .headers
            .into_iter()
            .map(|header| (header.name, header.value.to_vec()));
        let post = Post {
            conversation: request.conversation,
            content: request.content.to_vec(),
            headers: headers.collect(),
            idempotency_key: request.idempotency_key,
            client_address: request.client_address,
            traceparent: request.traceparent,
        };
        let record = token::record(&access.token_id());
        let mut expected = vec![record.clone()];
        if !post.conversation.is_empty() {
            expected.push(conversation::record(&post.conversation));
        }
        let posted = self
            .0
            .ledger
            .transact(access.partition(), &expected, |tx| {
                let token = tx.get::<Token>(&record)?;
                let token = token::admit(token, &access.credential, access.kind, tx.now)?;
                turn::post(tx, &self.0.limits, &token, &post)
            })
            .await?;
        let agent_attached = self.0.is_attended(&posted.turn.folder).await?;
        Ok(v1::PostMessageResponse {
            turn_id: posted.turn.id.clone(),
            conversation: posted.turn.conversation.clone(),
            status: wire::status(posted.turn.status).into(),
            user: Some(wire::user_message(&posted.turn, posted.content)),
            agent_attached,
        })
    }

    /// The turn, if it is this token's.
    async fn owned_turn(&self, access: &Access, id: &str) -> Result<Turn, Error> {
        if !is_random_id(id) {
            return Err(Refusal::invalid("that is not a turn's id").into());
        }
        let token = access.admit(&self.0).await?;
        let turn: Option<Turn> = self
            .0
            .ledger
            .record(access.partition(), turn::record(id))
            .await?;
        let mine = turn.filter(|turn| turn.token == token.id);
        mine.ok_or(Refusal::NotFound("turn").into())
    }

    async fn turn(&self, request: v1::GetTurnRequest) -> Result<v1::GetTurnResponse, Error> {
        let access = self.access(request.access)?;
        let partition = access.partition();
        let mut turn = self.owned_turn(&access, &request.turn_id).await?;
        let wait = request
            .wait
            .as_ref()
            .map(wire::millis)
            .transpose()?
            .unwrap_or(0);
        if wait > 0 && turn.status.is_open() {
            turn = self.wait_for_end(&access, turn, wait).await?;
        }

        let mut frames = Vec::new();
        if request.frames {
            let conversation = conversation::record(&turn.conversation);
            let conversation: Option<Conversation> =
                self.0.ledger.record(partition, conversation).await?;
            if conversation.is_none_or(|c| c.trimmed >= turn.last_seq) {
                return Err(Refusal::PastRetention.into());
            }
            let log = conversation::log(&turn.conversation);
            for (seq, entry) in self
                .0
                .ledger
                .entries(partition, log, turn.first_seq, u32::MAX)
                .await?
            {
                let frame = parse(&entry)?;
                if frame.turn == turn.id && frame.n > request.after {
                    frames.push(wire::frame(seq, frame));
                }
                if frames.len() == FRAMES_PER_ANSWER as usize {
                    break;
                }
            }
        }
        let input = self
            .inputs(partition, std::slice::from_ref(&turn))
            .await?
            .pop()
            .unwrap_or_default();
        let transcript = self.transcript(partition, &turn, u64::MAX).await?;
        Ok(v1::GetTurnResponse {
            agent_attached: self.0.is_attended(&turn.folder).await?,
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
                match timeout_at(again, wakes.next()).await {
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
            let reply = self
                .0
                .ledger
                .record(partition, turn::reply(&turn.id))
                .await?;
            return Ok(reply.unwrap_or_default());
        }
        let log = conversation::log(&turn.conversation);
        let mut entries = self
            .0
            .ledger
            .entries(partition, log, turn.first_seq, u32::MAX)
            .await?;
        entries.retain(|(seq, _)| *seq <= through);
        Ok(turn::transcript(&entries, &turn.id)?)
    }

    /// The visitor's messages of some turns; a webhook's are empty.
    async fn inputs(&self, partition: Partition, turns: &[Turn]) -> Result<Vec<String>, Error> {
        let records = turns.iter().map(|turn| turn::input(&turn.id));
        let inputs = self.0.ledger.records::<Input>(partition, records).await?;
        let texts = turns
            .iter()
            .zip(inputs)
            .map(|(turn, input)| match (turn.kind, input) {
                (Kind::Chat, Some(input)) => {
                    String::from_utf8(input.content.into_bytes()).unwrap_or_default()
                }
                _ => String::new(),
            });
        Ok(texts.collect())
    }

    /// A page of history as of the moment that its cursor names: the conversation's record is
    /// read first, and nothing after its head is shown.
    async fn page(
        &self,
        request: v1::GetConversationRequest,
    ) -> Result<v1::GetConversationResponse, Error> {
        let access = self.access(request.access)?;
        let partition = access.partition();
        if !is_random_id(&request.conversation) {
            return Err(Refusal::invalid("that is not a conversation's id").into());
        }
        let token = access.admit(&self.0).await?;
        let conversation = self
            .0
            .ledger
            .record(partition, conversation::record(&request.conversation))
            .await?;
        let conversation = conversation::of_token(conversation, &token)?;
        let size = if request.page_size == 0 {
            50
        } else {
            request.page_size.min(200)
        };
        let range = (request.after.saturating_add(1), conversation.head);
        let set = conversation::turns(&conversation.id);
        let members = self
            .0
            .ledger
            .members(partition, set, range, size + 1)
            .await?;
        let records = members
            .iter()
            .take(size as usize)
            .map(|member| turn::record(&member.name));
        let turns: Vec<Turn> = self
            .0
            .ledger
            .records(partition, records)
            .await?
            .into_iter()
            .flatten()
            .collect();
        let inputs = self.inputs(partition, &turns).await?;

        let mut more = members.len() > size as usize;
        let (mut shown, mut last, mut bytes) = (Vec::new(), request.after, 0);
        for (turn, input) in turns.iter().zip(inputs) {
            if bytes > PAGE_BYTES {
                more = true;
                break;
            }
            let transcript = self.transcript(partition, turn, conversation.head).await?;
            bytes += input.len()
                + transcript
                    .messages
                    .iter()
                    .map(|m| m.content.len())
                    .sum::<usize>();
            shown.push(wire::turn(turn, input, transcript));
            last = turn.first_seq;
        }
        Ok(v1::GetConversationResponse {
            turns: shown,
            next: if more { last } else { 0 },
            cursor: Some(v1::Cursor {
                seq: conversation.head,
                tag: conversation.tag,
            }),
            agent_attached: self.0.is_attended(&token.folder).await?,
        })
    }

    async fn cancel(&self, request: v1::CancelTurnRequest) -> Result<turn::Status, Error> {
        let access = self.access(request.access)?;
        let turn = self.owned_turn(&access, &request.turn_id).await?;
        let expected = [
            turn::record(&turn.id),
            conversation::record(&turn.conversation),
        ];
        let cancelled = self.0.ledger.transact(access.partition(), &expected, |tx| {
            turn::cancel(tx, &self.0.limits, &turn.id, "the visitor stopped it")
        });
        Ok(cancelled.await?.ok_or(Refusal::NotFound("turn"))?.status)
    }

    async fn delete(&self, request: v1::DeleteConversationRequest) -> Result<(), Error> {
        let access = self.access(request.access)?;
        if !is_random_id(&request.conversation) {
            return Err(Refusal::invalid("that is not a conversation's id").into());
        }
        let record = token::record(&access.token_id());
        let deleted =
            self.0
                .ledger
                .transact(access.partition(), std::slice::from_ref(&record), |tx| {
                    let token = tx.get::<Token>(&record)?;
                    let token = token::admit(token, &access.credential, access.kind, tx.now)?;
                    conversation::delete(tx, &token, &request.conversation)
                });
        deleted.await
    }
}

pub(super) fn parse(entry: &[u8]) -> Result<Frame, Error> {
    serde_json::from_slice(entry).map_err(|error| Error::Internal(format!("a frame: {error}")))
}

/// Whether a conversation's wake-up could be the turn's end.
fn may_end(payload: &bytes::Bytes, turn: &str) -> bool {
    let Some((_, Some(entry))) = conversation::woken(payload) else {
        return true;
    };
    let frame = parse(&entry);
    frame.is_ok_and(|frame| {
        frame.turn == turn && matches!(frame.body, crate::frame::Body::TurnDone { .. })
    })
}
