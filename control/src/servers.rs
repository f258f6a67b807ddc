//! The controls and gateways that run, for operators. Each reports itself every 15 s.

use crate::{
    control::Control,
    ledger::Error,
    limits::Limits,
    names,
    refusal::Refusal,
    time::Time,
    transaction::{Decision, Record, Tx},
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// How often a control reports that it runs.
const BEAT: Duration = Duration::from_secs(15);
/// How long a server is listed after it was last seen, unless it said that it stops.
const LISTED: Duration = Duration::from_secs(600);
/// How many servers are listed, at most.
const MOST: u32 = 1_000;
/// How many characters a name or a version has, at most.
const MAX_TEXT: usize = 200;

/// Whether a server is a control or a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Control,
    Gateway,
}

/// A control or a gateway that runs, or did lately.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) kind: Kind,
    /// Its machine and address. A server that starts there again replaces the one before.
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) started_at: Time,
    pub(crate) seen_at: Time,
    /// When its TLS certificate expires, if it serves with one.
    pub(crate) certificate_ends_at: Option<Time>,
}

impl Record for Running {
    type Id = str;

    fn name(id: &str) -> String {
        names::server(id)
    }

    fn lifetime(&self, _: &Limits) -> Option<Duration> {
        Some(LISTED)
    }
}

impl Running {
    fn id(&self) -> String {
        match self.kind {
            Kind::Control => format!("control {}", self.name),
            Kind::Gateway => format!("gateway {}", self.name),
        }
    }

    /// Notes that the server runs.
    pub(crate) fn tell(&self, tx: &mut Tx<'_>) -> Decision<()> {
        if self.name.chars().count() > MAX_TEXT || self.version.chars().count() > MAX_TEXT {
            let why = format!("a server's name and version have at most {MAX_TEXT} characters");
            return Err(Refusal::Invalid(why).into());
        }
        let (id, set) = (self.id(), names::servers());
        if tx.get::<Self>(&id)?.is_none() {
            let full = Refusal::LimitReached(format!("{MOST} servers run already"));
            tx.limit_members(&set, 0_u64, MOST, full);
        }
        tx.put(id.as_str(), self)?;
        tx.add(&set, &id, self.seen_at);
        Ok(())
    }

    /// Notes that the server has stopped.
    pub(crate) fn forget(&self, tx: &mut Tx<'_>) {
        forget(tx, &self.id());
    }
}

fn forget(tx: &mut Tx<'_>, id: &String) {
    tx.delete::<Running>(id);
    tx.remove(&names::servers(), id);
}

/// What this control reports about itself.
pub(crate) struct Own<'a> {
    pub(crate) control: &'a Control,
    pub(crate) name: String,
    pub(crate) certificate_end: &'a (dyn Fn() -> Option<SystemTime> + Sync),
}

impl Own<'_> {
    /// Reports every [`BEAT`] that this control runs. Never returns.
    pub(crate) async fn tell(&self) {
        loop {
            if let Err(error) = self.tell_once().await {
                tracing::debug!(%error, "cannot report that this control runs");
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    async fn tell_once(&self) -> Result<(), Error> {
        let ledger = &self.control.ledger;
        let running = self.running();
        // Forgets the servers that have been silent for long.
        let silent = 0..=begin_of_list(ledger.now()).saturating_sub(1);
        let silent = ledger.members(0, &names::servers(), silent, MOST).await?;
        let telling = |tx: &mut Tx<'_>| {
            silent.iter().for_each(|(id, _)| forget(tx, id));
            running.tell(tx)
        };
        ledger.transact(0, &[], telling).await
    }

    /// Reports that this control has stopped.
    pub(crate) async fn stop(&self) {
        let running = self.running();
        let stopping = |tx: &mut Tx<'_>| {
            running.forget(tx);
            Ok(())
        };
        if let Err(error) = self.control.ledger.transact(0, &[], stopping).await {
            tracing::debug!(%error, "cannot report that this control stops");
        }
    }

    fn running(&self) -> Running {
        let since_1970 = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).ok();
        let end = (self.certificate_end)().and_then(since_1970);
        Running {
            kind: Kind::Control,
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.control.started_at,
            seen_at: self.control.ledger.now(),
            certificate_ends_at: end.map(|end| Time::default() + end),
        }
    }
}

/// Returns the servers that were seen in the last ten minutes and have not said that they stop.
pub(crate) async fn list(control: &Control) -> Result<Vec<Running>, Error> {
    let ledger = &control.ledger;
    let listed = begin_of_list(ledger.now())..=u64::MAX;
    let ids = ledger.members(0, &names::servers(), listed, MOST).await?;
    let ids = ids.iter().map(|(id, _): &(String, u64)| id.as_str());
    let mut running: Vec<Running> =
        ledger.records::<Running>(0, ids).await?.into_iter().flatten().collect();
    running.sort_by_key(Running::id);
    Ok(running)
}

fn begin_of_list(now: Time) -> u64 {
    now.as_millis().saturating_sub(LISTED.as_millis() as u64)
}
