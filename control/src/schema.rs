//! The schema of the store: the form of all its records.
//!
//! [`open`] refuses a store of a newer schema and upgrades a store of an older one. The *layout*, a
//! record in partition 0, says which schema the store has; a [`fence`](crate::fence) in each
//! partition keeps programs of another schema from writing.

use crate::{
    fence::SCHEMA,
    ledger,
    names::{FENCE, LAYOUT},
    store::{
        Batch, Commit, Found, Guard, Partition, Read, Record, Store, StoreError, Version, Write,
    },
};
use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::timeout;

mod to_3;
mod to_4;
mod to_5;
mod upgrade;

use upgrade::upgrade;

/// The oldest schema that can be upgraded.
const OLDEST: u32 = 2;
/// The first schema whose programs guard the fence, and stop when the layout changes.
const FENCED: u32 = 3;

/// How often the layout is read even if no change is published.
const RECHECK: Duration = Duration::from_secs(5);
/// How many commits are under way at a time. The embedded store makes one fsync for all of them.
const AT_ONCE: usize = 64;

/// The layout record: the store's schema and partitions, and the deployment that it belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Layout {
    #[serde(rename = "format")]
    schema: u32,
    /// The schema that some records may still have, while an upgrade is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upgrading_from: Option<u32>,
    /// How many partitions there are; fixed when the store is first used.
    partitions: Partition,
    /// The deployment that the store belongs to, if others could use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deployment: Option<String>,
}

impl Layout {
    /// Refuses the store of another deployment.
    fn check(&self, expected: &Expected) -> anyhow::Result<()> {
        if let (Some(theirs), Some(ours)) = (&self.deployment, &expected.deployment) {
            ensure!(
                theirs == ours,
                "the store belongs to the deployment {theirs}, and this is {ours}: give each \
                 deployment a --redis-prefix of its own, or say --deployment {theirs} if both are one"
            );
        }
        Ok(())
    }
}

/// What the settings say of the store.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// How many partitions a new store gets.
    pub(crate) partitions: Partition,
    /// The deployment's name, if others could use the store.
    pub(crate) deployment: Option<String>,
}

/// Takes a record's name and body. Returns the writes that upgrade the record, or add it to sets;
/// `None` if there is nothing to do.
type Upgrade = fn(&str, &str) -> Result<Option<Vec<Change>>, serde_json::Error>;

/// The upgrade from one schema to the next.
struct Step {
    from: u32,
    /// The kinds of the records that it changes.
    kinds: &'static [&'static str],
    upgrade: Upgrade,
    /// The sets that it deletes.
    obsolete: &'static [&'static str],
}

/// A write of an upgrade. A record that it puts gets what is left of the upgraded record's
/// lifetime.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Put { name: String, body: String },
    Delete { name: String },
    Add { set: String, member: String, score: u64 },
}

/// The steps up to schema 5. Later schemas change nothing that is stored. They keep older programs
/// out: 6 and 7 those that can't read the frames `rated` and `title`, 8 those that would write no
/// events, 9 those that would delete messages that a tenant keeps for longer.
const STEPS: [Step; 3] = [to_3::STEP, to_4::STEP, to_5::STEP];

/// Brings the store to this program's schema. Returns the store's number of partitions, which is
/// the expected one if the store is new.
///
/// # Errors
/// The store fails, its schema is newer or too old, an older program uses it, or it belongs to
/// another deployment. Except where the store fails, the error is a sentence for the operator.
pub(crate) async fn open(store: &dyn Store, expected: &Expected) -> anyhow::Result<Partition> {
    let partitions = expected.partitions;
    loop {
        let found = record(store, 0, LAYOUT).await?;
        let mut layout: Layout = match &found {
            Some(found) => serde_json::from_str(&found.body).context("the layout record")?,
            None => Layout {
                schema: SCHEMA,
                upgrading_from: Some(SCHEMA),
                partitions,
                deployment: expected.deployment.clone(),
            },
        };
        layout.check(expected)?;
        if layout.partitions != partitions {
            let kept = layout.partitions;
            tracing::warn!(kept, asked = partitions, "partitions are fixed at first use");
        }
        ensure!(layout.schema <= SCHEMA, newer(layout.schema));
        let is_unnamed = layout.deployment.is_none() && expected.deployment.is_some();
        layout.deployment = layout.deployment.or_else(|| expected.deployment.clone());
        let unfenced = unfenced(store, layout.partitions).await?;
        let from = match layout.upgrading_from {
            Some(from) => from,
            None if layout.schema < SCHEMA => layout.schema,
            None if is_unnamed => {
                put_layout(store, found.map(|found| found.version), &layout).await?;
                continue;
            }
            None if unfenced.is_empty() => return Ok(layout.partitions),
            // An upgrade was completed, but a failover lost a part of it.
            None => OLDEST,
        };
        ensure!(from >= OLDEST, "the store has schema {from}, which is too old for this arizuko");
        if layout.schema < FENCED && store.is_watched().await? {
            bail!(
                "the store has schema {from}, and an arizuko of that schema still uses it: stop \
                 every older arizuko-control and start this one again, which upgrades the store \
                 to schema {SCHEMA}"
            );
        }
        let upgrading = Layout { schema: SCHEMA, upgrading_from: Some(from), ..layout.clone() };
        let mut version = found.as_ref().map(|found| found.version);
        if layout.schema < SCHEMA || layout.upgrading_from.is_none() || found.is_none() {
            version = match put_layout(store, version, &upgrading).await? {
                Some(version) => Some(version),
                None => continue,
            };
        }
        fence(store, unfenced).await?;
        upgrade(store, layout.partitions, from).await?;
        // On a conflict another control has completed the same upgrade.
        put_layout(store, version, &Layout { upgrading_from: None, ..upgrading }).await?;
    }
}

/// Returns once the store is no longer as this program expects it: a newer program has upgraded it,
/// or it was emptied. Writes the layout of an emptied store again, with as many partitions as
/// before. The error says why to stop.
pub(crate) async fn superseded(store: &dyn Store, expected: &Expected) -> anyhow::Error {
    let mut wakes = None;
    loop {
        if wakes.is_none() {
            // A store that is out of reach is asked again after a while.
            wakes = store.watch(0, LAYOUT).await.ok();
        }
        match record(store, 0, LAYOUT).await {
            Ok(Some(found)) => {
                if let Err(reason) = is_as_expected(&found, expected) {
                    return reason;
                }
            }
            Ok(None) => {
                // The callers' keys are gone as well. Control stores those from its settings only
                // when it starts.
                if open(store, expected).await.is_ok_and(|kept| kept == expected.partitions) {
                    return anyhow::anyhow!(
                        "the store was emptied and set up again: start control again"
                    );
                }
            }
            Err(_) => {}
        }
        match &mut wakes {
            Some(wakes) => drop(timeout(RECHECK, wakes.next()).await),
            None => tokio::time::sleep(RECHECK).await,
        }
    }
}

fn is_as_expected(found: &Record, expected: &Expected) -> anyhow::Result<()> {
    let Ok(layout) = serde_json::from_str::<Layout>(&found.body) else { return Ok(()) };
    ensure!(layout.schema <= SCHEMA, newer(layout.schema));
    layout.check(expected)?;
    let (theirs, ours) = (layout.partitions, expected.partitions);
    ensure!(
        theirs == ours,
        "the store was emptied and begun anew with {theirs} partitions, and this control has \
         {ours}: start it again"
    );
    Ok(())
}

fn newer(schema: u32) -> String {
    let program = env!("CARGO_PKG_VERSION");
    format!(
        "the store has schema {schema}, and this arizuko ({program}) knows schemas up to {SCHEMA}: \
         start the newer arizuko that upgraded the store, or use a backup from before the upgrade"
    )
}

async fn record(
    store: &dyn Store,
    partition: Partition,
    name: &str,
) -> Result<Option<Record>, StoreError> {
    let found = store.load(partition, &[Read::Record(name.to_owned())]).await?.pop();
    Ok(match found {
        Some(Found::Record(record)) => record,
        _ => None,
    })
}

/// Replaces the layout that has this version. Returns the new layout's version; `None` if another
/// control has changed the layout.
async fn put_layout(
    store: &dyn Store,
    version: Option<Version>,
    layout: &Layout,
) -> anyhow::Result<Option<Version>> {
    let new = u64::from_le_bytes(ledger::random()?);
    let body = serde_json::to_string(layout)?.into();
    let publish = Write::Publish { topic: LAYOUT.to_owned(), payload: Bytes::new() };
    let batch = Batch {
        partition: 0,
        version: new,
        now: store.now(),
        guards: vec![Guard::Version { record: LAYOUT.to_owned(), version }],
        writes: vec![Write::Put { record: LAYOUT.to_owned(), body, lifetime: None }, publish],
    };
    Ok((store.commit(&batch).await? == Commit::Applied).then_some(new))
}

/// Returns the partitions whose fence has another schema or is missing, each with its fence's
/// version.
async fn unfenced(
    store: &dyn Store,
    partitions: Partition,
) -> anyhow::Result<Vec<(Partition, Option<Version>)>> {
    let fences = stream::iter(0..partitions)
        .map(|partition| async move {
            let fence = record(store, partition, FENCE).await?.map(|fence| fence.version);
            Ok::<_, StoreError>((partition, fence))
        })
        .buffer_unordered(AT_ONCE);
    let others =
        fences.try_filter(|(_, fence)| std::future::ready(*fence != Some(u64::from(SCHEMA))));
    Ok(others.try_collect().await?)
}

/// Writes this schema's fence into partitions that have another one or none. Each comes with the
/// version of its present fence.
///
/// # Errors
/// A fence is of a newer schema, or the store failed.
async fn fence(store: &dyn Store, others: Vec<(Partition, Option<Version>)>) -> anyhow::Result<()> {
    let fence = |(partition, version): (Partition, Option<Version>)| async move {
        if let Some(schema) = version.and_then(|version| u32::try_from(version).ok()) {
            ensure!(schema < SCHEMA, newer(schema));
        }
        let put = Write::Put {
            record: FENCE.to_owned(),
            body: format!("{{\"schema\":{SCHEMA}}}").into(),
            lifetime: None,
        };
        let batch = Batch {
            partition,
            version: u64::from(SCHEMA),
            now: store.now(),
            guards: vec![Guard::Version { record: FENCE.to_owned(), version }],
            writes: vec![put],
        };
        // A conflict is not an error: another control has put the same fence, or a newer control
        // has put its own. A newer fence makes this program's commits fail.
        store.commit(&batch).await?;
        Ok(())
    };
    stream::iter(others).map(fence).buffer_unordered(AT_ONCE).try_collect().await
}
