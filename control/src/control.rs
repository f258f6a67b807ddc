//! `Control`: what all services share.

use crate::{
    audit::in_view,
    config::{Options, StoreOptions, default_name},
    conversation::Conversation,
    ids::{KeyId, TokenId},
    jid::{self, FolderName},
    key::{self, Caller, Key, Role, settings},
    key_uses::KeyUses,
    ledger::{Error, Ledger, random},
    limits::Limits,
    long_answers::LongAnswers,
    metrics::Metrics,
    names::{self, InFolder, Set},
    queue::Backlog,
    refusal::Refusal,
    refused::Refused,
    route,
    schema::{self, Expected},
    seal::Sealer,
    secret::Secret,
    session::Session,
    store::{
        Partition, Store,
        measured::Measured,
        redis::{Redis, Source},
        sqlite::Sqlite,
        waiting::Waiting,
    },
    time::Time,
    token::{self, Kind, Token},
    transaction::{Record, Tx},
    turn::{Turn, texts::INDEXED},
};
use arizuko_proto::telemetry::sampler::Sampler;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

/// The ledger, the settings, and the look-ups that more than one service makes.
pub(crate) struct Control {
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) partitions: Partition,
    /// The number of partitions and the deployment that the store's layout must name.
    pub(crate) expected: Expected,
    pub(crate) public_url: String,
    /// Seals the secrets of webhooks' senders, the keys that check visitors' JWTs, and the secrets
    /// that sign events. `None`: the operator has set no key for this.
    pub(crate) sealer: Option<Sealer>,
    pub(crate) started_at: Time,
    /// Cancelled when control drains.
    pub(crate) draining: CancellationToken,
    /// Permits to have a page of a log in memory: many readers may wake at once.
    pub(crate) pages: Semaphore,
    /// Permits to have a page of tokens, or the texts of a group of turns, in memory for a reader:
    /// texts can be long.
    pub(crate) texts: Semaphore,
    pub(crate) long_answers: LongAnswers,
    /// Chooses the calls with a wrong key that are logged.
    pub(crate) wrong_keys: Sampler,
    /// Chooses the refused calls that are noted in the audit log.
    pub(crate) refusals: Sampler,
    /// Chooses which streams of agents that broke the contract are logged.
    pub(crate) broken: Sampler,
    pub(crate) key_uses: KeyUses,
    pub(crate) refused: Refused,
    /// The last measurement of the queues, and when it was made.
    pub(crate) waiting: Mutex<Option<(Time, Arc<[Backlog]>)>>,
}

/// How many pages of logs are in memory at a time, at most.
const PAGES: usize = 4;
/// How many pages of tokens, and groups of turns with their texts, are in memory at a time, at
/// most.
const TEXTS: usize = 2;
/// How many tokens are in memory at a time while a partition's tokens are searched, at most.
const TOKENS_READ: usize = 200;

impl Control {
    /// Opens the store. Waits for a store that is out of reach.
    ///
    /// # Errors
    /// The store refuses a command, belongs to another deployment, has a newer schema or is used by
    /// an older arizuko; or no key works for operators or for gateways.
    pub(crate) async fn open(
        options: Options,
        metrics: Metrics,
        waiting: &Waiting,
    ) -> anyhow::Result<Self> {
        let store = Self::open_store(&options, waiting).await?;
        Self::on(store, options, metrics, waiting).await
    }

    async fn open_store(options: &Options, waiting: &Waiting) -> anyhow::Result<Arc<dyn Store>> {
        Ok(match (&options.store.redis, &options.data_dir) {
            (Some(url), _) => {
                let StoreOptions { redis_prefix, durability, redis_may_evict, .. } = &options.store;
                let source = Source::parse(url, options.store.redis_plaintext)?;
                let replicas = durability.replicas();
                let store = Redis::open(source, redis_prefix, replicas, waiting).await?;
                if !redis_may_evict {
                    store.must_not_evict().await?;
                }
                Arc::new(store)
            }
            (None, Some(folder)) => Arc::new(Sqlite::open(folder, INDEXED)?),
            (None, None) => anyhow::bail!("no store was named"),
        })
    }

    /// Prepares a store that is open: checks or upgrades its schema, and stores the first keys.
    pub(crate) async fn on(
        store: Arc<dyn Store>,
        options: Options,
        metrics: Metrics,
        waiting: &Waiting,
    ) -> anyhow::Result<Self> {
        let public_url = options.public_url.trim_end_matches('/').to_owned();
        let deployment = match options.store.redis {
            Some(_) => options.store.deployment.clone().or_else(|| default_name(&public_url)),
            // Only one process can use an embedded store.
            None => None,
        };
        let mut expected = Expected { partitions: options.store.partitions, deployment };
        let opening = async || schema::open(&*store, &expected).await;
        let partitions = waiting.until(opening).await?;
        expected.partitions = partitions;
        let ledger = Ledger::new(
            Arc::new(Measured::new(store, metrics.store.clone())),
            options.limits.clone(),
        );
        waiting.until(async || store_keys(&ledger, partitions, &options).await).await?;
        Ok(Self {
            sealer: options.seal.seal_key.as_deref().map(Sealer::new).transpose()?,
            started_at: ledger.now(),
            ledger,
            metrics,
            limits: options.limits,
            partitions,
            expected,
            public_url,
            draining: CancellationToken::new(),
            pages: Semaphore::new(PAGES),
            texts: Semaphore::new(TEXTS),
            long_answers: LongAnswers::default(),
            wrong_keys: Sampler::default(),
            refusals: Sampler::default(),
            broken: Sampler::default(),
            key_uses: KeyUses::default(),
            refused: Refused::default(),
            waiting: Mutex::default(),
        })
    }

    pub(crate) fn partition(&self, folder: &FolderName) -> Partition {
        folder.partition(self.partitions)
    }

    /// Returns the beginning of the URLs of a tenant's links.
    pub(crate) fn url_of_tenant(&self, root: &str) -> String {
        self.public_url.replace("{root}", root)
    }

    /// Seals the secrets with which signatures of deliveries, or of visitors' JWTs, are checked.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if the operator has set no key that seals.
    pub(crate) fn seal(&self, secrets: &[String], token: &TokenId) -> Result<Vec<String>, Error> {
        let sealer = self.sealer.as_ref().ok_or_else(|| {
            Refusal::invalid("to check signatures, control needs a key that seals their secrets: --seal-key-file")
        })?;
        let fault = || Error::Internal("cannot seal a secret".to_owned());
        let seal =
            |secret: &String| sealer.seal(secret, token.as_str(), random()?).ok_or_else(fault);
        secrets.iter().map(seal).collect()
    }

    /// Returns the URL of a turn's webhook, with the token's id in place of the secret.
    pub(crate) fn hook_url(&self, turn: &Turn) -> String {
        // Every turn's JID has a root.
        let root = jid::root(&turn.origin.jid).unwrap_or_default();
        format!("{}/hook/{}", self.url_of_tenant(root), turn.origin.token)
    }

    /// Refuses a tenant's name with capitals if each tenant has a host: hosts have no case, so two
    /// tenants could share one.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for such a name.
    pub(crate) fn check_host(&self, folder: &FolderName) -> Result<(), Refusal> {
        let root = folder.root();
        if !self.public_url.contains("{root}") || root == root.to_ascii_lowercase() {
            return Ok(());
        }
        Err(Refusal::invalid(format!(
            "{root} can't be a tenant's name here: it is a part of the host in {}, and hosts have no \
             capitals. Write {}",
            self.public_url,
            root.to_ascii_lowercase()
        )))
    }

    /// Returns the holder of a key. Reads the key afresh, so that a revoked key is refused at once.
    ///
    /// # Errors
    /// [`Refusal::KeyInvalid`] for a key that is unknown, expired or revoked.
    pub(crate) async fn caller(&self, secret: &str) -> Result<Caller, Error> {
        let secret = settings::parse_secret(secret, self.partitions);
        let secret = secret.ok_or(Refusal::KeyInvalid)?;
        // The time that it takes to compare hashes tells nothing about the key.
        self.holder(KeyId::of(&secret), secret.hash()).await
    }

    /// Returns the holder of the key that the secret with this hash opens, as `caller` does.
    pub(crate) async fn holder(&self, id: KeyId, hash: String) -> Result<Caller, Error> {
        let partition = id.partition(self.partitions).ok_or(Refusal::KeyInvalid)?;
        let found: Option<Key> = self.ledger.record(partition, &id).await?;
        let now = self.ledger.now();
        let found = found.filter(|key| key.opens_with(&hash, now));
        let found = found.ok_or(Refusal::KeyInvalid)?;
        self.key_uses.note(&found, now);
        Ok(Caller { key_id: found.id, hash, role: found.role })
    }

    /// Returns the token that the secret in a URL opens. Reads the token afresh.
    ///
    /// # Errors
    /// [`Refusal::TokenInvalid`] for a token that is unknown, revoked or expired;
    /// [`Refusal::WrongKind`] for a chat link's secret in a webhook's URL, or the reverse.
    pub(crate) async fn admit(&self, secret: &Secret, kind: Kind) -> Result<Token, Error> {
        let found = self.ledger.record(secret.partition, &TokenId::of(secret)).await?;
        Ok(token::admit(found, secret, kind, self.ledger.now())?)
    }

    /// Whether an agent is attached to the folder that would answer the token's next message, or
    /// the next message in `conversation` if one is given.
    pub(crate) async fn would_answer(
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
                let resolved = self.ledger.view(partition, resolving).await;
                let target = resolved.ok().and_then(|resolved| resolved.route.target);
                target.unwrap_or_else(|| token.folder.clone())
            }
        };
        self.agent_attached(&folder).await
    }

    /// Returns the names of the agents that are attached to a folder, at any control.
    pub(crate) async fn attached_agents(&self, folder: &FolderName) -> Result<Vec<String>, Error> {
        let (partition, alive) = (self.partition(folder), self.ledger.now().into()..=u64::MAX);
        let present = names::present(folder);
        let members = self.ledger.members(partition, &present, alive, u32::MAX).await?;
        let ids = members.iter().map(|(id, _)| id);
        let sessions = self.ledger.records::<Session>(partition, ids).await?;
        Ok(sessions.into_iter().flatten().map(|s| s.name).collect())
    }

    /// Whether an agent of the folder is attached, at any control. `false` if the store fails, so
    /// that no call fails for this alone.
    pub(crate) async fn agent_attached(&self, folder: &FolderName) -> bool {
        let (partition, present) = (self.partition(folder), names::present(folder));
        // The read doesn't depend on the time, so that all who ask at the same moment share it.
        let last = self.ledger.last_members(partition, &present, u64::MAX, 1).await;
        let now = self.ledger.now().into();
        last.is_ok_and(|last| last.iter().any(|(_, lease_ends): &(_, u64)| *lease_ends >= now))
    }

    /// Loads the records that the members of `set` name: all of them, or those of the folder `view`
    /// and the folders below it.
    pub(crate) async fn listed<T: Record<Id: From<String> + Sized>>(
        &self,
        set: &Set<InFolder>,
        view: Option<&FolderName>,
    ) -> Result<Vec<T>, Error> {
        let members = match view {
            Some(view) => {
                let partition = self.partition(view);
                BTreeMap::from([(partition, self.ledger.all_members(partition, set).await?)])
            }
            None => self.gathered(set).await?,
        };
        let mut listed = Vec::new();
        for (partition, members) in members {
            let seen = members.into_iter().filter(|member| in_view(&member.folder, view));
            let ids: Vec<T::Id> = seen.map(|member| member.id.into()).collect();
            listed.extend(self.ledger.records(partition, &ids).await?.into_iter().flatten());
        }
        Ok(listed)
    }

    /// Returns the live tokens that a key has issued, by partition.
    pub(crate) async fn issued_by(
        &self,
        key: &KeyId,
    ) -> Result<Vec<(Partition, Vec<TokenId>)>, Error> {
        let mut issued = Vec::new();
        for partition in 0..self.partitions {
            let by_key = |token: &Token| token.created_by == *key;
            let tokens = self.live_tokens(partition, |_| true, by_key).await?;
            issued.extend((!tokens.is_empty()).then_some((partition, tokens)));
        }
        Ok(issued)
    }

    /// Returns the live tokens of a partition that pass both tests. Reads the records in chunks, so
    /// that memory stays bounded.
    pub(crate) async fn live_tokens(
        &self,
        partition: Partition,
        is_likely: impl Fn(&InFolder) -> bool,
        is_wanted: impl Fn(&Token) -> bool,
    ) -> Result<Vec<TokenId>, Error> {
        let members = self.ledger.all_members(partition, &names::tokens()).await?;
        let likely = members.into_iter().filter(is_likely);
        let ids: Vec<TokenId> = likely.map(|member| member.id.into()).collect();
        let mut wanted = Vec::new();
        for ids in ids.chunks(TOKENS_READ) {
            let tokens = self.ledger.records::<Token>(partition, ids).await?;
            let tokens = tokens.into_iter().flatten().filter(&is_wanted);
            wanted.extend(tokens.map(|token| token.id));
        }
        Ok(wanted)
    }

    pub(crate) fn all_partitions(&self) -> Vec<Partition> {
        (0..self.partitions).collect()
    }

    /// Loads all members of the set in every partition.
    pub(crate) async fn gathered<M: From<String>>(
        &self,
        set: &Set<M>,
    ) -> Result<BTreeMap<Partition, Vec<M>>, Error> {
        let all = self.all_partitions();
        let members = self.ledger.gather(set, &all, 0..=u64::MAX, u32::MAX).await?;
        let mut by_partition = BTreeMap::<_, Vec<_>>::new();
        for (partition, (member, _)) in members {
            by_partition.entry(partition).or_default().push(member);
        }
        Ok(by_partition)
    }
}

/// Stores the keys from the settings.
///
/// # Errors
/// Neither the settings nor the store has a key that works for operators, or for gateways.
async fn store_keys(
    ledger: &Ledger,
    partitions: Partition,
    options: &Options,
) -> anyhow::Result<()> {
    let mut keys = Vec::new();
    for (text, role, variable) in [
        (&options.operator_key, Role::Operator, "ARIZUKO_OPERATOR_KEY"),
        (&options.gateway_key, Role::Gateway, "ARIZUKO_GATEWAY_KEY"),
    ] {
        match text.as_deref().and_then(|text| settings::parse_secret(text, partitions)) {
            Some(secret) => keys.push((secret, role, variable)),
            None => require_key(ledger, &role, variable).await?,
        }
    }
    for (secret, role, variable) in keys {
        let storing = |tx: &mut Tx<'_>| settings::store(tx, &secret, &role);
        if !ledger.transact(secret.partition, &[], storing).await.map_err(cause)? {
            require_key(ledger, &role, variable).await?;
            let id = KeyId::of(&secret).to_string();
            tracing::warn!(key = id, "the key in {variable} was revoked or has expired");
        }
    }
    Ok(())
}

/// Unwraps the store's own error, by which [`Waiting`] tells whether a failure may pass.
fn cause(error: Error) -> anyhow::Error {
    match error {
        Error::Store(error) => error.into(),
        error => error.into(),
    }
}

/// Refuses a store that has no live key of this role.
async fn require_key(ledger: &Ledger, role: &Role, variable: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        ledger.view(0, |tx| key::has_live(tx, role, None)).await.map_err(cause)?,
        "no key of this role works: set {variable} to a new one, at least 32 random characters"
    );
    Ok(())
}
