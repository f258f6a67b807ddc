//! The metrics of one control, in a registry of its own. `docs/operations.md` says what the names
//! mean. No label has a value that a visitor chooses.

use crate::{jid::FolderName, queue::Backlog, store::measured::StoreMetrics, time::Time};
use arizuko_proto::{
    telemetry::metrics::{Latencies, Registry, latencies},
    v1::ErrorReason,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};
use std::{
    collections::HashSet,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};
use tonic::Code;

/// The metrics of one control. All clones count together.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) registry: Arc<Registry>,
    pub(crate) calls: Family<Call, Counter>,
    pub(crate) call_times: Latencies<Method>,
    refusals: Family<Reason, Counter>,
    pub(crate) gateways: Gauge,
    pub(crate) subscriptions: Gauge,
    agents: Family<Tenant, Gauge>,
    credit: Family<Tenant, Gauge>,
    running: Family<Tenant, Gauge>,
    /// The tenants that the three metrics above have a series for.
    tenants: Arc<Mutex<HashSet<String>>>,
    waiting: Gauge,
    longest_wait: Gauge,
    folder_waiting: Family<Folder, Gauge>,
    folder_longest_wait: Family<Folder, Gauge>,
    /// The folders that the two metrics above have a series for.
    folders: Arc<Mutex<HashSet<Folder>>>,
    pub(crate) first_frame: Histogram,
    events: Family<Outcome, Counter>,
    pub(crate) oldest_event: Gauge,
    pub(crate) store: StoreMetrics,
}

/// An RPC, for example `GatewayService/PostMessage`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Method {
    pub(crate) method: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) code: CodeLabel,
}

/// A folder, and its tenant.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Folder {
    tenant: String,
    folder: String,
}

/// How many folders have series of their own, at most: those that have waited longest.
const FOLDERS: usize = 100;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Tenant {
    tenant: String,
}

/// How many tenants have series of their own, at most: those whose agents came first. The others
/// share a series, whose label is empty.
const TENANTS: usize = 1_000;

/// The metrics of one tenant's agents at this control.
pub(crate) struct AgentGauges {
    pub(crate) agents: Gauge,
    /// Turns that the agents would take now.
    pub(crate) credit: Gauge,
    /// Turns that the agents work on.
    pub(crate) running: Gauge,
}

/// A gRPC status code, encoded as its name.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) struct CodeLabel(pub(crate) Code);

impl EncodeLabelValue for CodeLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        write!(encoder, "{:?}", self.0)
    }
}

/// The outcome of an attempt to deliver an event, or of the event.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("arizuko_control");
        let seconds = || Unit::Seconds;
        let calls = Family::default();
        registry.register("calls", "RPCs answered", calls.clone());
        let call_times = latencies();
        let help = "Time to answer an RPC; for a stream, to its response headers";
        registry.register_with_unit("call_duration", help, seconds(), call_times.clone());
        // Creates every series at the start: Prometheus's `rate` misses the first value of a series
        // that appears later.
        let refusals = Family::default();
        for reason in (1..).map_while(|number| ErrorReason::try_from(number).ok()) {
            drop(refusals.get_or_create(&Reason { reason: reason.word() }));
        }
        let help = "Refusals of calls, subscriptions and agents' streams";
        registry.register("refusals", help, refusals.clone());

        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let gateways =
            gauge(&mut registry, "watch_streams", "Watch streams of gateways to this control");
        let help = "Subscriptions to turns and conversations at this control";
        let subscriptions = gauge(&mut registry, "subscriptions", help);
        let agents = Family::default();
        let help = "Agents attached to this control, people included";
        registry.register("agents", help, agents.clone());
        let credit = Family::default();
        let help = "Turns that the agents attached to this control would take now";
        registry.register("agent_credit", help, credit.clone());
        let running = Family::default();
        let help = "Turns that the agents attached to this control work on";
        registry.register("running_turns", help, running.clone());
        let help = "Turns that wait for an agent, in the whole store, up to 1,000 of each folder";
        let waiting = gauge(&mut registry, "waiting_turns", help);
        let longest_wait = Gauge::default();
        let help =
            "How long the turn that is next in its folder's queue has waited, the longest of all";
        registry.register_with_unit("longest_wait", help, seconds(), longest_wait.clone());
        let folder_waiting = Family::default();
        let help = "Turns that wait in a folder, up to 1,000; of the 100 folders that wait longest";
        registry.register("folder_waiting_turns", help, folder_waiting.clone());
        let folder_longest_wait = Family::default();
        let help = "How long the turn that is next in a folder's queue has waited";
        let unit = seconds();
        registry.register_with_unit("folder_longest_wait", help, unit, folder_longest_wait.clone());
        let first_frame =
            Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0]);
        let help = "Time from storing a message to storing the first frame of its reply";
        registry.register_with_unit("first_frame", help, seconds(), first_frame.clone());

        let events = Family::default();
        for outcome in ["delivered", "failed", "parked"] {
            drop(events.get_or_create(&Outcome { outcome }));
        }
        let help = "Events delivered and parked, and attempts to deliver one that failed";
        registry.register("events", help, events.clone());
        let oldest_event = Gauge::default();
        let help = "How long the oldest event that is to be delivered has waited";
        registry.register_with_unit("oldest_event", help, seconds(), oldest_event.clone());

        let store = StoreMetrics::register(&mut registry);
        Self {
            registry: Arc::new(registry),
            calls,
            call_times,
            refusals,
            gateways,
            subscriptions,
            agents,
            credit,
            running,
            tenants: Arc::default(),
            waiting,
            longest_wait,
            folder_waiting,
            folder_longest_wait,
            folders: Arc::default(),
            first_frame,
            events,
            oldest_event,
            store,
        }
    }

    /// Sets the metrics of the turns that wait at `now`. The first folder in `waiting` has waited
    /// longest.
    pub(crate) fn set_waiting(&self, waiting: &[Backlog], now: Time) {
        let wait = |since: Time| (now - since).as_secs() as i64;
        self.waiting.set(waiting.iter().map(|waiting| waiting.turns as i64).sum());
        self.longest_wait.set(waiting.first().map_or(0, |first| wait(first.since)));
        let mut shown = HashSet::new();
        for waiting in waiting.iter().take(FOLDERS) {
            let (tenant, folder) = (waiting.folder.root().to_owned(), waiting.folder.to_string());
            let labels = Folder { tenant, folder };
            self.folder_waiting.get_or_create(&labels).set(waiting.turns as i64);
            self.folder_longest_wait.get_or_create(&labels).set(wait(waiting.since));
            shown.insert(labels);
        }
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in folders.difference(&shown) {
            self.folder_waiting.remove(gone);
            self.folder_longest_wait.remove(gone);
        }
        *folders = shown;
    }

    /// Returns the metrics of the agents of the folder's tenant.
    pub(crate) fn agents(&self, folder: &FolderName) -> AgentGauges {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tenant = folder.root().to_owned();
        if tenants.len() < TENANTS {
            tenants.insert(tenant.clone());
        } else if !tenants.contains(&tenant) {
            tenant.clear();
        }
        let labels = Tenant { tenant };
        let gauge = |of: &Family<Tenant, Gauge>| of.get_or_create(&labels).clone();
        AgentGauges {
            agents: gauge(&self.agents),
            credit: gauge(&self.credit),
            running: gauge(&self.running),
        }
    }

    /// Returns the counter of `delivered`, `failed` or `parked` events.
    pub(crate) fn events(&self, outcome: &'static str) -> Counter {
        self.events.get_or_create(&Outcome { outcome }).clone()
    }

    pub(crate) fn refused(&self, reason: ErrorReason) {
        self.refusals.get_or_create(&Reason { reason: reason.word() }).inc();
    }
}
