//! AdminService.

use super::{Service, access, key_watch::KeyWatch, wire};
use crate::{
    audit::{Entry, Event, in_view},
    due::queues,
    fence,
    jid::FolderName,
    key::Caller,
    ledger::Error,
    names,
    servers::{self, Running},
    session::Session,
    store::{Subscription, Wake},
    turn::observe::Dropped,
};
use arizuko_proto::v1;
use std::{cmp::Reverse, collections::BTreeMap};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

mod audit_log;

/// How many folders GetStatus returns, at most.
const FOLDERS: usize = 1_000;
const DEFAULT_ENTRIES: u32 = 100;
const MAX_ENTRIES: u32 = 1_000;
/// How many events may wait for one reader of Tail. While that many wait, further events are left
/// out.
const BACKLOG: usize = 1_024;

#[tonic::async_trait]
impl v1::admin_service_server::AdminService for Service {
    type TailStream = ReceiverStream<Result<v1::TailResponse, Status>>;

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        self.authenticate_overseer(request)?;
        let (control, ledger) = (&self.control, &self.control.ledger);
        let sessions = self.sessions().await?;
        let all = control.all_partitions();
        let tokens = ledger.gather(&names::tokens(), &all, 0..=u64::MAX, u32::MAX).await?;
        Ok(Response::new(v1::GetStatusResponse {
            folders: self.folders(&sessions).await?,
            sessions,
            dropped: self.dropped().await?,
            live_tokens: tokens.len() as u64,
            store: ledger.describe(),
            store_remarks: ledger.remarks().await,
            partitions: control.partitions.into(),
            public_url: control.public_url.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema: fence::SCHEMA,
            started_at: Some(wire::timestamp(control.started_at)),
            now: Some(wire::timestamp(ledger.now())),
            servers: servers::list(control).await?.into_iter().map(wire_server).collect(),
        }))
    }

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let (caller, request) = self.authenticate_overseer(request)?;
        let view = access::view(&caller, &request.folder)?;
        let limit = match request.limit {
            0 => DEFAULT_ENTRIES,
            limit => limit.min(MAX_ENTRIES),
        };
        let before = match request.page_token.as_str() {
            "" => None,
            token => Some(token.parse()?),
        };
        let limit = limit as usize;
        let (entries, next) = audit_log::page(&self.control, view.as_ref(), before, limit).await?;
        Ok(Response::new(v1::ListAuditResponse {
            entries: entries.into_iter().map(wire_entry).collect(),
            next_page_token: next.map(|place| place.to_string()).unwrap_or_default(),
        }))
    }

    async fn tail(
        &self,
        request: Request<v1::TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let (caller, request) = self.authenticate_overseer(request)?;
        let view = access::view(&caller, &request.folder)?;
        let partitions = match &view {
            Some(folder) => {
                let partition = self.control.partition(folder);
                partition..partition + 1
            }
            None => 0..self.control.partitions,
        };
        let (events, stream) = mpsc::channel(BACKLOG);
        let ended = self.end_of_tail(&caller, events.clone()).await?;
        for partition in partitions {
            let wakes = self.control.ledger.watch(partition, names::TAIL).await?;
            tokio::spawn(forward(wakes, view.clone(), events.clone(), ended.clone()));
        }
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl Service {
    async fn sessions(&self) -> Result<Vec<v1::AgentSession>, Error> {
        let ledger = &self.control.ledger;
        let mut sessions = Vec::new();
        for (partition, ids) in self.control.gathered(&names::sessions()).await? {
            let sessions_there = ledger.records::<Session>(partition, &ids).await?;
            for session in sessions_there.into_iter().flatten() {
                if session.expires_at <= ledger.now() {
                    continue;
                }
                let held = ledger.all_members(partition, &names::held(&session.id)).await?;
                sessions.push(wire_session(session, held.len()));
            }
        }
        Ok(sessions)
    }

    /// Returns the status of the folders that have a session or a waiting turn, at most
    /// [`FOLDERS`]. Those where turns wait and nobody is attached come first.
    async fn folders(&self, sessions: &[v1::AgentSession]) -> Result<Vec<v1::FolderStatus>, Error> {
        let mut folders = BTreeMap::<String, v1::FolderStatus>::new();
        for session in sessions {
            let status = folders.entry(session.folder.clone()).or_default();
            status.running += session.held;
            if session.person {
                status.people += 1;
            } else {
                status.agents += 1;
                status.credit = status.credit.saturating_add(session.credit);
                status.credit_used += session.held;
            }
        }
        let now = self.control.ledger.now();
        for waiting in queues::waiting(&self.control).await?.iter() {
            let status = folders.entry(waiting.folder.to_string()).or_default();
            status.queued = u32::try_from(waiting.turns).unwrap_or(u32::MAX);
            status.oldest_wait = wire::duration(now - waiting.since);
        }
        let named = |(folder, status)| v1::FolderStatus { folder, ..status };
        let mut folders: Vec<_> = folders.into_iter().map(named).collect();
        folders.sort_by_key(|status| {
            let is_alone = status.queued > 0 && status.agents + status.people == 0;
            let wait = status.oldest_wait.map(|wait| (wait.seconds, wait.nanos));
            Reverse((is_alone, wait))
        });
        folders.truncate(FOLDERS);
        Ok(folders)
    }

    /// Returns for each JID how many of its messages were dropped.
    async fn dropped(&self) -> Result<Vec<v1::DroppedMessages>, Error> {
        let mut dropped = Vec::new();
        for (partition, jids) in self.control.gathered(&names::dropped_jids()).await? {
            let ids = jids.iter().map(String::as_str);
            let counts = self.control.ledger.records::<Dropped>(partition, ids).await?;
            // A count expires some time after its JID's last dropped message, but the JID stays in
            // the set.
            dropped.extend(jids.into_iter().zip(counts).filter_map(|(jid, count)| {
                let messages = count?.messages;
                Some(v1::DroppedMessages { jid, messages })
            }));
        }
        Ok(dropped)
    }

    /// Returns a [`CancellationToken`] that is cancelled when the reader leaves, its key is
    /// revoked, or control drains.
    async fn end_of_tail<T: Send + 'static>(
        &self,
        caller: &Caller,
        events: mpsc::Sender<T>,
    ) -> Result<CancellationToken, Error> {
        let key = KeyWatch::start(&self.control, caller).await?;
        let (control, ended) = (self.control.clone(), CancellationToken::new());
        let guard = ended.clone().drop_guard();
        tokio::spawn(async move {
            let _guard = guard;
            tokio::select! {
                () = events.closed() => {}
                () = key.revoked() => {}
                () = control.draining.cancelled() => {}
            }
        });
        Ok(ended)
    }
}

/// Forwards one partition's events until the tail ends.
async fn forward(
    mut wakes: Subscription,
    view: Option<FolderName>,
    events: mpsc::Sender<Result<v1::TailResponse, Status>>,
    ended: CancellationToken,
) {
    loop {
        let wake = tokio::select! {
            wake = wakes.next() => wake,
            () = ended.cancelled() => return,
        };
        if let Wake::Published(line) = wake
            && let Ok(event) = serde_json::from_slice::<Event>(&line)
            && in_view(&event.folder, view.as_ref())
        {
            // If the backlog is full, the reader misses the event.
            let _ = events.try_send(Ok(wire_event(event)));
        }
    }
}

fn wire_session(session: Session, held: usize) -> v1::AgentSession {
    v1::AgentSession {
        folder: session.folder.into(),
        name: session.name,
        person: session.person,
        credit: session.credit,
        key_id: session.key.to_string(),
        held: u32::try_from(held).unwrap_or(u32::MAX),
        attached_at: Some(wire::timestamp(session.attached_at)),
        expires_at: Some(wire::timestamp(session.expires_at)),
    }
}

fn wire_server(running: Running) -> v1::ServerStatus {
    let kind = match running.kind {
        servers::Kind::Control => v1::ServerKind::Control,
        servers::Kind::Gateway => v1::ServerKind::Gateway,
    };
    v1::ServerStatus {
        kind: kind.into(),
        name: running.name,
        version: running.version,
        started_at: Some(wire::timestamp(running.started_at)),
        seen_at: Some(wire::timestamp(running.seen_at)),
        certificate_ends_at: running.certificate_ends_at.map(wire::timestamp),
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
