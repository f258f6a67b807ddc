//! AdminService.

use super::{Service, status, wire};
use crate::{
    audit::{self, Entry, Event, in_view},
    jid::Folder,
    key::Caller,
    ledger::Error,
    server::KeyWatch,
    session::{self, SESSIONS, Session},
    store::{Partition, Wake},
    token::TOKENS,
    turn::{self, DROPPED, Dropped},
};
use arizuko_proto::v1;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

const DEFAULT_ENTRIES: u32 = 100;
const MAX_ENTRIES: u32 = 1_000;
/// How many events wait for one tail. It is a view: what doesn't fit is left out.
const BACKLOG: usize = 1_024;

#[tonic::async_trait]
impl v1::admin_service_server::AdminService for Service {
    type TailStream = ReceiverStream<Result<v1::TailResponse, Status>>;

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        self.operator(&request).await?;
        self.status().await.map(Response::new).map_err(status::from)
    }

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        self.operator(&request).await?;
        let entries = self.audit(request.into_inner()).await.map_err(status::from)?;
        Ok(Response::new(v1::ListAuditResponse { entries }))
    }

    async fn tail(
        &self,
        request: Request<v1::TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let caller = self.operator(&request).await?;
        let folder = request.into_inner().folder;
        let stream = self.follow(&caller, &folder).await.map_err(status::from)?;
        Ok(Response::new(stream))
    }
}

impl Service {
    async fn status(&self) -> Result<v1::GetStatusResponse, Error> {
        let (control, ledger) = (&self.0, &self.0.ledger);
        let mut ids: BTreeMap<Partition, Vec<String>> = BTreeMap::new();
        for (partition, member) in
            ledger.gather(SESSIONS, control.partitions, u64::MAX, u32::MAX).await?
        {
            ids.entry(partition).or_default().push(member.name);
        }
        let mut sessions = Vec::new();
        for (partition, ids) in ids {
            let records = ids.iter().map(|id| session::record(id));
            for session in
                ledger.records::<Session>(partition, records).await?.into_iter().flatten()
            {
                if session.expires_at <= ledger.now() {
                    continue;
                }
                let held = ledger
                    .members(partition, session::held(&session.id), (0, u64::MAX), u32::MAX)
                    .await?;
                sessions.push(wire_session(session, held.len()));
            }
        }
        let tokens = ledger.gather(TOKENS, control.partitions, u64::MAX, u32::MAX).await?;
        Ok(v1::GetStatusResponse {
            dropped: self.dropped().await?,
            store_remarks: ledger.remarks().await,
            now: Some(wire::timestamp(ledger.now())),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: ledger.describe(),
            public_url: control.public_url.clone(),
            partitions: control.partitions.into(),
            sessions,
            live_tokens: tokens.len() as u64,
            started_at: Some(wire::timestamp(control.started_at)),
        })
    }

    /// How many messages were dropped, by JID.
    async fn dropped(&self) -> Result<Vec<v1::DroppedMessages>, Error> {
        let (control, ledger) = (&self.0, &self.0.ledger);
        let mut jids: BTreeMap<Partition, Vec<String>> = BTreeMap::new();
        for (partition, member) in
            ledger.gather(DROPPED, control.partitions, u64::MAX, u32::MAX).await?
        {
            jids.entry(partition).or_default().push(member.name);
        }
        let mut dropped = Vec::new();
        for (partition, jids) in jids {
            let records = jids.iter().map(|jid| turn::dropped(jid));
            let counts = ledger.records::<Dropped>(partition, records).await?;
            let counted = jids.into_iter().zip(counts);
            // A count is forgotten a while after its last message.
            dropped.extend(counted.filter_map(|(jid, count)| {
                let messages = count?.messages;
                Some(v1::DroppedMessages { jid, messages })
            }));
        }
        Ok(dropped)
    }

    async fn audit(&self, request: v1::ListAuditRequest) -> Result<Vec<v1::AuditEntry>, Error> {
        let view = view(&request.folder)?;
        let (control, ledger) = (&self.0, &self.0.ledger);
        let limit =
            if request.limit == 0 { DEFAULT_ENTRIES } else { request.limit.min(MAX_ENTRIES) };
        let members = match &view {
            Some(folder) => {
                let partition = control.partition(folder);
                ledger.members(partition, audit::AUDIT.to_owned(), (0, u64::MAX), u32::MAX).await?
            }
            None => {
                let members =
                    ledger.gather(audit::AUDIT, control.partitions, u64::MAX, u32::MAX).await?;
                members.into_iter().map(|(_, member)| member).collect()
            }
        };
        let entries =
            members.iter().filter_map(|member| serde_json::from_str::<Entry>(&member.name).ok());
        let mut entries: Vec<Entry> =
            entries.filter(|entry| in_view(&entry.folder, view.as_ref())).collect();
        entries.sort_by_key(|entry| entry.at);
        let surplus = entries.len().saturating_sub(limit as usize);
        Ok(entries.drain(surplus..).map(wire_entry).collect())
    }

    async fn follow(
        &self,
        caller: &Caller,
        folder: &str,
    ) -> Result<ReceiverStream<Result<v1::TailResponse, Status>>, Error> {
        let view = view(folder)?;
        let partitions = match &view {
            Some(folder) => {
                let partition = self.0.partition(folder);
                partition..partition + 1
            }
            None => 0..self.0.partitions,
        };
        let (events, stream) = mpsc::channel(BACKLOG);
        let ended = self.end_of_tail(caller, events.clone()).await?;
        for partition in partitions {
            let mut wakes = self.0.ledger.watch(partition, audit::TAIL).await?;
            let (events, view) = (events.clone(), view.clone());
            let ended = ended.clone();
            tokio::spawn(async move {
                loop {
                    let wake = tokio::select! {
                        wake = wakes.next() => wake,
                        () = ended.cancelled() => return,
                    };
                    if let Wake::Published(line) = wake
                        && let Ok(event) = serde_json::from_slice::<Event>(&line)
                        && in_view(&event.folder, view.as_ref())
                    {
                        // A full backlog: the view leaves this one out.
                        let _ = events.try_send(Ok(wire_event(event)));
                    }
                }
            });
        }
        Ok(ReceiverStream::new(stream))
    }

    /// Is cancelled when the reader leaves, its key is revoked, or control drains.
    async fn end_of_tail<T: Send + 'static>(
        &self,
        caller: &Caller,
        events: mpsc::Sender<T>,
    ) -> Result<CancellationToken, Error> {
        let key = KeyWatch::start(&self.0, caller).await?;
        let (control, ended) = (self.0.clone(), CancellationToken::new());
        let guard = ended.clone().drop_guard();
        tokio::spawn(async move {
            let _guard = guard;
            tokio::select! {
                () = events.closed() => {}
                () = key.ended() => {}
                () = control.draining.cancelled() => {}
            }
        });
        Ok(ended)
    }
}

fn view(folder: &str) -> Result<Option<Folder>, Error> {
    Ok((!folder.is_empty()).then(|| Folder::parse(folder)).transpose()?)
}

fn wire_session(session: Session, held: usize) -> v1::AgentSession {
    v1::AgentSession {
        folder: session.folder.into(),
        name: session.name,
        person: session.person,
        key_id: session.key,
        held: u32::try_from(held).unwrap_or(u32::MAX),
        attached_at: Some(wire::timestamp(session.attached_at)),
        expires_at: Some(wire::timestamp(session.expires_at)),
    }
}

fn wire_entry(entry: Entry) -> v1::AuditEntry {
    v1::AuditEntry {
        at: Some(wire::timestamp(entry.at)),
        actor: entry.actor,
        action: entry.action,
        folder: entry.folder,
        subject: entry.subject,
        detail: entry.detail,
    }
}

fn wire_event(event: Event) -> v1::TailResponse {
    v1::TailResponse {
        at: Some(wire::timestamp(event.at)),
        event: event.event,
        folder: event.folder,
        jid: event.jid,
        conversation: event.conversation,
        turn_id: event.turn,
        detail: event.detail,
    }
}
