//! GatewayService.

use super::{
    Service,
    access::{Access, conversation_id, turn_id},
    watch, wire,
};
use crate::{
    conversation::{Conversation, Head},
    ids::TokenId,
    looks::Logo,
    names,
    refusal::Refusal,
    route,
    servers::{self, Running},
    time::Time,
    token::{self, Kind, Token},
    transaction::{Record as _, Tx},
    turn::{
        Turn, caps, end,
        post::{self, Posted},
        rating,
        response::HttpResponse,
        retention,
    },
};
use arizuko_proto::{public_id, v1};
use attached::meanwhile;
use signed::Delivery;
use std::{mem, time::Duration};
use tonic::{Request, Response, Status, Streaming};
use tracing::Span;

mod attached;
mod calls;
mod message;
mod proven;
pub(super) mod read;
mod signed;
mod visitor;

/// How many bytes of messages one page of history carries at most, not counting its last turn.
const PAGE_BYTES: usize = 4 << 20;
const DEFAULT_PAGE_SIZE: u32 = 50;
const MAX_PAGE_SIZE: u32 = 200;

#[tonic::async_trait]
impl v1::gateway_service_server::GatewayService for Service {
    type WatchStream = watch::Responses;
    type CallStream = calls::Responses;

    async fn resolve_token(
        &self,
        request: Request<v1::ResolveTokenRequest>,
    ) -> Result<Response<v1::ResolveTokenResponse>, Status> {
        let (_, request) = self.authenticate_gateway(request)?;
        let (control, access) = (&self.control, self.access(request.access)?);
        let (partition, id) = (access.partition(), access.token_id());
        let hint = control.ledger.hint::<Token>(partition, &id);
        let expected = expected(&id, hint.as_ref());
        let reading = |tx: &mut Tx<'_>| {
            tx.expect(expected.iter().cloned())?;
            let token = token::admit(tx.get(&id)?, &access.secret, access.kind, tx.now)?;
            let target = route::resolve(tx, &token.jid, &token.folder)?.route.target;
            Ok((target.unwrap_or_else(|| token.folder.clone()), token))
        };
        let reading = control.ledger.view(partition, reading);
        let (read, likely) = meanwhile(control, partition, hint.as_ref(), reading).await;
        let (folder, token) = read?;
        let agent_attached = likely.is_attached_to(&folder).await;
        let name = match token.options.name.as_str() {
            "" => token.folder.name(),
            name => name,
        };
        let limits = &control.limits;
        let bytes = if token.kind == Kind::Chat { limits.chat_bytes } else { limits.hook_bytes };
        Ok(Response::new(v1::ResolveTokenResponse {
            name: name.to_owned(),
            token_id: token.id.to_string(),
            jid: token.jid,
            folder: token.folder.into(),
            greeting: token.options.greeting,
            allowed_origins: token.options.allowed_origins,
            agent_attached,
            max_content_bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            messages_per_minute: caps::rate_of_link(limits, token.kind, &token.options.limits)
                .a_minute(),
            away_until: token.options.looks.away_until(control.ledger.now()).map(wire::timestamp),
            looks: wire::looks::looks(token.options.looks),
            paused: token.options.paused,
        }))
    }

    async fn get_logo(
        &self,
        request: Request<v1::GetLogoRequest>,
    ) -> Result<Response<v1::GetLogoResponse>, Status> {
        let (_, request) = self.authenticate_gateway(request)?;
        let access = self.access(request.access)?;
        let token = access.admit(&self.control).await?;
        let logo = self.control.ledger.record::<Logo>(access.partition(), &token.id).await?;
        let logo = logo.map(|Logo { info, content }| v1::GetLogoResponse {
            media_type: info.picture.media_type().to_owned(),
            content: content.into_bytes().into(),
        });
        Ok(Response::new(logo.unwrap_or_default()))
    }

    async fn post_message(
        &self,
        request: Request<v1::PostMessageRequest>,
    ) -> Result<Response<v1::PostMessageResponse>, Status> {
        let (_, mut request) = self.authenticate_gateway(request)?;
        let (control, access) = (&self.control, self.access(request.access.take())?);
        let partition = access.partition();
        let jwt = mem::take(&mut request.visitor_jwt);
        let (post, token) = (message::read(request)?, access.token_id());
        let hint = control.ledger.hint::<Token>(partition, &token);
        let mut expected = expected(&token, hint.as_ref());
        if let Some(id) = &post.conversation {
            expected.extend([Conversation::name(id), Head::name(id)]);
        }
        let (mut proof_key, mut wait) = (None, None);
        let posting = control.ledger.transact(partition, &expected, |tx| {
            let token = tx.get::<Token>(&token)?;
            let token = token::admit(token, &access.secret, access.kind, tx.now)?;
            proof_key.clone_from(&token.proof_key);
            wait = token.options.hook.wait;
            if let Some(answer) = control.without_turn(&token, &access.secret, &post, tx.now)? {
                return Ok(Delivery::Ignored(answer.into()));
            }
            let identity = control.identify(&token, &jwt, tx.now)?;
            let posted = post::post(tx, &token, &post, identity.as_ref())?;
            Ok(Delivery::Posted(posted.into()))
        });
        let (posted, likely) = meanwhile(control, partition, hint.as_ref(), posting).await;
        let posted = posted.map_err(|error| {
            control.refused.note(&token, control.ledger.now().day(), &error);
            control.explain(error, proof_key.as_ref())
        });
        let Posted { turn, content, repeated } = match posted? {
            Delivery::Posted(posted) => *posted,
            Delivery::Ignored(answer) => return Ok(Response::new(*answer)),
        };
        Span::current()
            .record("turn", public_id::turn(turn.id.as_str()))
            .record("conversation", public_id::conversation(turn.conversation.as_str()));
        let agent_attached = likely.is_attached_to(&turn.place.folder).await;
        Ok(Response::new(v1::PostMessageResponse {
            turn_id: turn.id.to_string(),
            conversation: turn.conversation.to_string(),
            status: wire::status(&turn).into(),
            user: Some(wire::user_message(&turn, content)),
            agent_attached,
            repeated,
            filtered: false,
            handshake: String::new(),
            wait: wait.and_then(wire::duration),
        }))
    }

    async fn get_turn(
        &self,
        request: Request<v1::GetTurnRequest>,
    ) -> Result<Response<v1::GetTurnResponse>, Status> {
        let (_, request) = self.authenticate_gateway(request)?;
        let (control, access) = (&self.control, self.access(request.access)?);
        let id = turn_id(&request.turn_id)?;
        let partition = access.partition();
        let turn = match wire::parse_duration(request.wait)?.unwrap_or_default() {
            Duration::ZERO => access.turn(control, &id).await?.1,
            wait => read::wait_for_end(control, &access, &id, wait, request.response).await?,
        };
        let response = match request.response {
            true => control.ledger.record::<HttpResponse>(partition, &id).await?,
            false => None,
        };
        let frames = if request.frames {
            read::frames(control, partition, &turn, request.after).await?
        } else {
            Vec::new()
        };
        let most = match request.max_message_bytes {
            0 => usize::MAX,
            most => most as usize,
        };
        let (contents, transcript, agent_attached) = tokio::join!(
            read::contents(control, partition, std::slice::from_ref(&turn)),
            read::transcript_within(control, partition, &turn, u64::MAX, most),
            control.agent_attached(&turn.place.folder),
        );
        let content = contents?.pop().unwrap_or_default();
        let transcript = transcript?;
        let bytes = transcript.bytes_in_memory() + content.len();
        let mut shown = wire::turn(&turn, content, transcript);
        if request.without_messages && bytes > request.short_bytes as usize {
            shown.user = None;
            shown.assistant.clear();
        }
        Ok(Response::new(v1::GetTurnResponse {
            agent_attached,
            turn: Some(shown),
            conversation: turn.conversation.to_string(),
            frames,
            response: response.map(wire::hook::response),
        }))
    }

    /// Returns the conversation as of the cursor in the answer: reads the end of the log first, and
    /// leaves out everything that comes after it.
    async fn get_conversation(
        &self,
        request: Request<v1::GetConversationRequest>,
    ) -> Result<Response<v1::GetConversationResponse>, Status> {
        let (_, request) = self.authenticate_gateway(request)?;
        let (control, access) = (&self.control, self.access(request.access)?);
        let id = conversation_id(&request.conversation)?;
        let (token, conversation, head) = access.conversation(control, &id).await?;
        let size = match request.page_size {
            0 => DEFAULT_PAGE_SIZE,
            size => size.min(MAX_PAGE_SIZE),
        } as usize;
        let partition = access.partition();
        let bytes = match request.page_bytes {
            0 => PAGE_BYTES,
            bytes => PAGE_BYTES.min(bytes as usize),
        };
        let backwards = request.before > 0;
        // Reads one turn more than the page holds: the next page begins with that turn or, if the
        // caller reads backwards, the earlier page ends with it.
        let limit = size as u32 + 1;
        let (ledger, set) = (&control.ledger, &names::turns(&id));
        let members = if backwards {
            let newest = (request.before - 1).min(head.seq);
            ledger.last_members(partition, set, newest, limit).await?
        } else {
            let range = request.after.saturating_add(1)..=head.seq;
            ledger.members(partition, set, range, limit).await?
        };
        let ids = members.iter().take(size).map(|(id, _)| id);
        let kept = ledger.records::<Turn>(partition, ids).await?;
        let kept: Vec<Turn> = kept.into_iter().flatten().collect();
        let (mut turns, cut) = read::page(control, partition, &kept, head.seq, bytes).await?;
        let rest = cut.or_else(|| members.get(size).map(|(_, first_seq)| *first_seq));
        let (next, previous) = match rest {
            None => (0, 0),
            // The earlier page ends with the turn for which this one had no room.
            Some(first_seq) if backwards => (0, first_seq + 1),
            Some(first_seq) => (first_seq - 1, 0),
        };
        if backwards {
            turns.reverse();
        }
        Ok(Response::new(v1::GetConversationResponse {
            turns,
            next,
            previous,
            cursor: Some(v1::Cursor { seq: head.seq, tag: head.tag }),
            agent_attached: control.would_answer(&token, Some(&conversation)).await,
            title: conversation.title.unwrap_or_default(),
        }))
    }

    async fn cancel_turn(
        &self,
        request: Request<v1::CancelTurnRequest>,
    ) -> Result<Response<v1::CancelTurnResponse>, Status> {
        let (_, request) = self.authenticate_gateway(request)?;
        let (control, access) = (&self.control, self.access(request.access)?);
        let id = turn_id(&request.turn_id)?;
        let (_, turn) = access.turn(control, &id).await?;
        let expected = [Turn::name(&id), Conversation::name(&turn.conversation)];
        let cancelling = |tx: &mut Tx<'_>| end::cancel(tx, &id, "the visitor stopped it");
        let cancelled = control.ledger.transact(access.partition(), &expected, cancelling).await?;
        let turn = cancelled.ok_or(Refusal::NotFound("turn"))?;
        Ok(Response::new(v1::CancelTurnResponse { status: wire::status(&turn).into() }))
    }

    async fn rate_turn(
        &self,
        request: Request<v1::RateTurnRequest>,
    ) -> Result<Response<v1::RateTurnResponse>, Status> {
        let (_, request) = self.authenticate_gateway(request)?;
        let (control, access) = (&self.control, self.access(request.access)?);
        let (id, thumb) = (turn_id(&request.turn_id)?, wire::parse_thumb(request.thumb)?);
        let (_, turn) = access.turn(control, &id).await?;
        let expected = [Turn::name(&id), Head::name(&turn.conversation)];
        let rating = |tx: &mut Tx<'_>| rating::rate(tx, &id, thumb, &request.comment);
        control.ledger.transact(access.partition(), &expected, rating).await?;
        Ok(Response::new(v1::RateTurnResponse { thumb: wire::thumb(thumb).into() }))
    }

    async fn list_visitor_conversations(
        &self,
        request: Request<v1::ListVisitorConversationsRequest>,
    ) -> Result<Response<v1::ListVisitorConversationsResponse>, Status> {
        let (_, request) = self.authenticate_gateway(request)?;
        let access = self.access(request.access)?;
        let listing = self.control.conversations_of_visitor(&access, &request.visitor_jwt);
        Ok(Response::new(listing.await?))
    }

    async fn delete_conversation(
        &self,
        request: Request<v1::DeleteConversationRequest>,
    ) -> Result<Response<v1::DeleteConversationResponse>, Status> {
        let (_, request) = self.authenticate_gateway(request)?;
        let (control, access) = (&self.control, self.access(request.access)?);
        let id = conversation_id(&request.conversation)?;
        let deleting = |tx: &mut Tx<'_>| {
            let token = tx.get::<Token>(&access.token_id())?;
            let token = token::admit(token, &access.secret, access.kind, tx.now)?;
            retention::delete(tx, &token, &id)
        };
        let expected = [Token::name(&access.token_id())];
        control.ledger.transact(access.partition(), &expected, deleting).await?;
        Ok(Response::new(v1::DeleteConversationResponse {}))
    }

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (caller, requests) = self.authenticate_gateway(request)?;
        let responses = watch::serve(self.control.clone(), &caller, requests).await?;
        Ok(Response::new(responses))
    }

    async fn call(
        &self,
        request: Request<Streaming<v1::CallRequest>>,
    ) -> Result<Response<Self::CallStream>, Status> {
        let (caller, requests) = self.authenticate_gateway(request)?;
        Ok(Response::new(calls::serve(self.clone(), caller, requests)))
    }

    async fn report_gateway(
        &self,
        request: Request<v1::ReportGatewayRequest>,
    ) -> Result<Response<v1::ReportGatewayResponse>, Status> {
        let (_, request) = self.authenticate_gateway(request)?;
        let uptime = wire::parse_duration(request.uptime)?.unwrap_or_default();
        let now = self.control.ledger.now();
        let running = Running {
            kind: servers::Kind::Gateway,
            name: request.name,
            version: request.version,
            started_at: Time::default() + (now - Time::default()).saturating_sub(uptime),
            seen_at: now,
            certificate_ends_at: wire::parse_timestamp(request.certificate_ends_at)?,
        };
        let telling = |tx: &mut Tx<'_>| match request.stopping {
            true => {
                running.forget(tx);
                Ok(())
            }
            false => running.tell(tx),
        };
        self.control.ledger.transact(0, &[], telling).await?;
        Ok(Response::new(v1::ReportGatewayResponse {}))
    }
}

impl Service {
    fn access(&self, access: Option<v1::Access>) -> Result<Access, Refusal> {
        Access::parse(access, self.control.partitions)
    }
}

/// Names the records that a call about a token reads, as far as they are known.
fn expected(id: &TokenId, hint: Option<&Token>) -> Vec<String> {
    let index = hint.map(|token| route::Index::name(token.folder.root()));
    [Token::name(id)].into_iter().chain(index).collect()
}
