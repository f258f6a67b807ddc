//! What all services share: the ledger, the settings, and who is calling.

use crate::{
    audit::in_view,
    config::Options,
    conversation::Conversation,
    credential::{Credential, hash, partition_of_id},
    jid::Folder,
    key::{self, Caller, Key, Role},
    ledger::{Error, Ledger},
    limits::Limits,
    metrics::Metrics,
    route,
    session::{self, Session},
    store::{
        Millis, Partition, Store, Subscription, Wake, measured::Measured, redis::Redis,
        sqlite::Sqlite,
    },
    token::{self, Kind, Token},
    transaction::{Refusal, Tx},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// See the module.
pub(crate) struct Control {
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) partitions: Partition,
    pub(crate) public_url: String,
    pub(crate) started_at: Millis,
    /// Cancelled when control drains.
    pub(crate) draining: CancellationToken,
    /// Held by whoever has a page of a log in memory: many readers wake at once.
    pub(crate) pages: Semaphore,
    /// The first keys, which come from the settings: their hashes and what they are.
    first_keys: Vec<(String, Caller)>,
}

/// What was fixed when the store was first used.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Layout {
    format: u32,
    partitions: Partition,
}

/// How long to wait before a store that was out of reach is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// Pages of logs in memory at a time.
const PAGES: usize = 4;
const FORMAT: u32 = 2;
const LAYOUT: &str = "layout";

impl Control {
    pub(crate) async fn open(options: Options) -> anyhow::Result<Self> {
        options.check()?;
        let store: Arc<dyn Store> = match (&options.redis, &options.data_dir) {
            (Some(url), _) => {
                let (prefix, replicas) = (&options.redis_prefix, options.durability.replicas());
                Arc::new(Redis::open(url, prefix, replicas).await?)
            }
            (None, Some(folder)) => Arc::new(Sqlite::open(folder)?),
            (None, None) => anyhow::bail!("no store was named"),
        };
        let metrics = Metrics::new();
        let ledger = Ledger::new(Arc::new(Measured::new(store, metrics.clone())));
        let layout = layout(&ledger, options.partitions).await?;
        let mut first_keys = Vec::new();
        for (secret, role, id) in [
            (options.operator_key, Role::Operator, "key_first_operator"),
            (options.gateway_key, Role::Gateway, "key_first_gateway"),
        ] {
            if let Some(secret) = secret {
                first_keys.push((hash(secret), Caller { key_id: id.to_owned(), role }));
            }
        }
        Ok(Self {
            started_at: ledger.now(),
            ledger,
            metrics,
            limits: options.limits,
            partitions: layout.partitions,
            public_url: options.public_url.trim_end_matches('/').to_owned(),
            draining: CancellationToken::new(),
            pages: Semaphore::new(PAGES),
            first_keys,
        })
    }

    pub(crate) fn partition(&self, folder: &Folder) -> Partition {
        folder.partition(self.partitions)
    }

    /// Who holds this key; looked up afresh, so that a revoked one is refused at once.
    pub(crate) async fn caller(&self, secret: &str) -> Result<Caller, Error> {
        let hash = hash(secret);
        // Of hashes, a timing difference tells nothing that leads back to a key.
        if let Some((_, caller)) = self.first_keys.iter().find(|(known, _)| *known == hash) {
            return Ok(caller.clone());
        }
        let credential = Credential::parse(key::SECRET, secret, self.partitions);
        let credential = credential.ok_or(Refusal::KeyInvalid)?;
        let record = key::record(&credential.id(key::ID));
        let found: Option<Key> = self.ledger.record(credential.partition, record).await?;
        let found = found.filter(|key| key.hash == hash).ok_or(Refusal::KeyInvalid)?;
        Ok(Caller { key_id: found.id, role: found.role })
    }

    /// The token that a visitor shows, looked up afresh.
    pub(crate) async fn admit(&self, credential: &Credential, kind: Kind) -> Result<Token, Error> {
        let record = token::record(&credential.id(token::ID));
        let found = self.ledger.record(credential.partition, record).await?;
        Ok(token::admit(found, credential, kind, self.ledger.now())?)
    }

    /// Whether somebody would answer a message to the token's link, or in this conversation of it.
    pub(crate) async fn seems_answered(
        &self,
        token: &Token,
        conversation: Option<&Conversation>,
    ) -> bool {
        let partition = self.partition(&token.folder);
        let assigned = conversation.and_then(|conversation| conversation.assigned.clone());
        let folder = match assigned {
            Some(folder) => folder,
            None => {
                let resolving = |tx: &mut Tx<'_>| route::resolve(tx, &token.jid, &token.folder);
                let resolved = self.ledger.transact(partition, &[], resolving).await;
                let target = resolved.ok().and_then(|resolved| resolved.route.target);
                target.unwrap_or_else(|| token.folder.clone())
            }
        };
        self.seems_attended(&folder).await
    }

    /// The folder that most likely answers the token's messages, by what is remembered.
    pub(crate) fn likely_target(&self, partition: Partition, token: &Token) -> Folder {
        let target = route::likely_target(&token.jid, |record| self.ledger.hint(partition, record));
        target.unwrap_or_else(|| token.folder.clone())
    }

    /// The names of the agents that are attached to a folder, at any control.
    pub(crate) async fn attached(&self, folder: &Folder) -> Result<Vec<String>, Error> {
        let (partition, alive) = (self.partition(folder), (self.ledger.now(), u64::MAX));
        let present = session::present(folder);
        let members = self.ledger.members(partition, present, alive, u32::MAX).await?;
        let records = members.iter().map(|member| session::record(&member.name));
        let sessions = self.ledger.records::<Session>(partition, records).await?;
        Ok(sessions.into_iter().flatten().map(|s| s.name).collect())
    }

    /// Whether an agent of the folder is attached, to any control; if that can't be told, no. It
    /// never fails what it is told beside.
    pub(crate) async fn seems_attended(&self, folder: &Folder) -> bool {
        let alive = (self.ledger.now(), u64::MAX);
        let present = session::present(folder);
        let sessions = self.ledger.members(self.partition(folder), present, alive, 1).await;
        sessions.is_ok_and(|sessions| !sessions.is_empty())
    }
}

/// Reads what was fixed at first use, or fixes it.
async fn layout(ledger: &Ledger, partitions: Partition) -> anyhow::Result<Layout> {
    let found = ledger.transact(0, &[], |tx| match tx.get::<Layout>(LAYOUT)? {
        Some(layout) => Ok(layout),
        None => {
            let layout = Layout { format: FORMAT, partitions };
            tx.put(LAYOUT, &layout, None)?;
            Ok(layout)
        }
    });
    let layout = found.await?;
    if layout.partitions != partitions {
        let kept = layout.partitions;
        tracing::warn!(kept, asked = partitions, "the number of partitions was fixed at first use");
    }
    anyhow::ensure!(
        layout.format == FORMAT,
        "the store has format {}, and this arizuko writes {FORMAT}",
        layout.format
    );
    Ok(layout)
}

impl Control {
    /// The ids in a listing set whose members are `<folder> <id>`, by partition.
    pub(crate) async fn listed(
        &self,
        set: &str,
        view: Option<&Folder>,
    ) -> Result<Vec<(Partition, Vec<String>)>, Error> {
        let members = match view {
            Some(view) => {
                let partition = self.partition(view);
                let members =
                    self.ledger.members(partition, set.to_owned(), (0, u64::MAX), u32::MAX).await?;
                members.into_iter().map(|member| (partition, member)).collect()
            }
            None => self.ledger.gather(set, self.partitions, u64::MAX, u32::MAX).await?,
        };
        let mut listed: BTreeMap<Partition, Vec<String>> = BTreeMap::new();
        for (partition, member) in members {
            if let Some((folder, id)) = member.name.split_once(' ')
                && in_view(folder, view)
            {
                listed.entry(partition).or_default().push(id.to_owned());
            }
        }
        Ok(listed.into_iter().collect())
    }
}

/// Tells a stream that the key it was opened with is revoked.
pub(crate) struct KeyWatch {
    revoked: CancellationToken,
    _task: Option<AbortOnDropHandle<()>>,
}

impl KeyWatch {
    /// Refuses a key that is revoked by now.
    pub(crate) async fn start(control: &Arc<Control>, caller: &Caller) -> Result<Self, Error> {
        let revoked = CancellationToken::new();
        // A first key lives as long as the process.
        let Some(partition) = partition_of_id(key::ID, &caller.key_id, control.partitions) else {
            return Ok(Self { revoked, _task: None });
        };
        // Watched before it is read: a revocation is seen by one or the other.
        let wakes = control.ledger.watch(partition, &key::topic(&caller.key_id)).await?;
        let record = key::record(&caller.key_id);
        if control.ledger.record::<Key>(partition, record.clone()).await?.is_none() {
            return Err(Refusal::KeyInvalid.into());
        }
        let watching = watch_key(control.clone(), partition, record, wakes);
        let told = revoked.clone();
        let task = tokio::spawn(async move {
            watching.await;
            told.cancel();
        });
        Ok(Self { revoked, _task: Some(AbortOnDropHandle::new(task)) })
    }

    /// Returns once the key is revoked.
    pub(crate) async fn ended(&self) {
        self.revoked.cancelled().await;
    }
}

/// Returns once the key's record is gone.
async fn watch_key(
    control: Arc<Control>,
    partition: Partition,
    record: String,
    mut wakes: Subscription,
) {
    loop {
        if let Ok(Wake::Published(_)) = timeout(control.limits.recheck, wakes.next()).await {
            return;
        }
        match control.ledger.record::<Key>(partition, record.clone()).await {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(_) => sleep(RETRY).await,
        }
    }
}
