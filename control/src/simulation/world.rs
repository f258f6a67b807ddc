//! The controls of a run, and their clients.

use super::{
    PARTITIONS,
    history::History,
    network::{Line, Network},
    redis::{PREFIX, Servers},
};
use crate::{
    config::Options,
    control::Control,
    due, grpc,
    listener::{Listener, Peer},
    metrics::Metrics,
    readiness::Readiness,
    store::{
        redis::{
            Redis, Source,
            connection::{LINK, Link},
        },
        steady::BEGUN,
    },
};
use arizuko_proto::{
    client::{Bearer, Channel, endpoint},
    connections::Connections,
    tls::ClientFiles,
    v1::{
        agent_service_client::AgentServiceClient, gateway_service_client::GatewayServiceClient,
        token_service_client::TokenServiceClient,
    },
};
use clap::Parser as _;
use fastrand::Rng;
use std::{collections::BTreeMap, future::pending, sync::Arc, time::Duration};
use tokio::{
    io::DuplexStream,
    task::AbortHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

/// How many callers and messages of a control may wait for replicas. Checked every `STEP`.
const MOST_QUEUED: usize = 512;
const STEP: Duration = Duration::from_millis(100);
/// How many controls run on one store.
pub(super) const CONTROLS: usize = 3;

const OPERATOR_KEY: &str = "simulation-operator-key-01234567890123456";
const GATEWAY_KEY: &str = "simulation-gateway-key-012345678901234567";

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    options: Options,
}

pub(super) struct World {
    pub(super) servers: Servers,
    pub(super) network: Network,
    /// How many replicas must have what is acknowledged.
    pub(super) replicas: usize,
    history: History,
    options: Options,
    running: BTreeMap<usize, Running>,
    /// How many network hosts stand for Redis so far: one for each start of a control.
    ways: usize,
}

/// A control that runs.
struct Running {
    store: Arc<Redis>,
    /// The number of the host at which this control reaches Redis.
    way: usize,
    due: AbortHandle,
    /// Cancelled when the control is to stop.
    stopping: CancellationToken,
    control: Arc<Control>,
}

impl World {
    /// Makes a world without controls. What is acknowledged must be on `replicas` replicas: 0 or 1.
    /// The only replica is at this `distance` from its primary.
    pub(super) fn new(mut rng: Rng, history: History, replicas: usize, distance: Duration) -> Self {
        let _ = BEGUN.set(Instant::now());
        let flags = ["control", "--operator-key", OPERATOR_KEY, "--gateway-key", GATEWAY_KEY];
        // However often faults make agents lose a turn, it must not fail.
        let partitions = PARTITIONS.to_string();
        let more = ["--attempts", "1000", "--partitions", &partitions];
        let options = Flags::parse_from([&flags[..], &more].concat()).options;
        let network = Network::new(rng.fork());
        let _ = LINK.set(link(network.clone()));
        let servers = Servers::new(distance);
        let running = BTreeMap::new();
        Self { servers, network, replicas, history, options, running, ways: 0 }
    }

    /// Starts a control, unless it runs.
    pub(super) async fn start(&mut self, number: usize) {
        if self.running.contains_key(&number) {
            return;
        }
        self.ways += 1;
        let way = CONTROLS + self.ways;
        let servers = self.servers.clone();
        self.network
            .host(way, Arc::new(move |stream| drop(tokio::spawn(servers.clone().serve(stream)))));
        let readiness = Arc::new(Readiness::default());
        let source = Source::parse(&format!("redis://{way}/"), true).expect("a URL");
        let store = Redis::open(source, PREFIX, self.replicas, &readiness.waiting).await;
        let (store, options) = (Arc::new(store.expect("Redis suits")), self.options.clone());
        let control = Control::on(store.clone(), options, Metrics::new(), &readiness.waiting).await;
        let control = Arc::new(control.expect("the store takes a control"));
        tokio::spawn(watch_queues(store.clone(), self.history.clone()));
        readiness.open(control.clone());
        let stopping = CancellationToken::new();
        let due = tokio::spawn(due::run(control.clone(), stopping.clone())).abort_handle();
        let limits = self.options.limits.connections.clone();
        let connections =
            Connections::new(limits.control_connections, limits.control_address_connections);
        let service = grpc::service(control.clone(), readiness).expect("the services are valid");
        let listener = Arc::new(Listener {
            service,
            tls: None,
            client_roles: [].into(),
            limits,
            stopping: stopping.clone(),
        });
        let serve = move |stream: DuplexStream| {
            let (listener, connections) = (listener.clone(), connections.clone());
            tokio::spawn(async move {
                let Ok(connection) = connections.admit(None) else { return };
                let peer = Peer { address: None, roles: [].into() };
                let _ = listener.http2(stream, peer, &connection).await;
            });
        };
        self.network.host(number, Arc::new(serve));
        self.running.insert(number, Running { store, way, due, stopping, control });
    }

    /// Kills a control: nothing that it was doing goes on.
    pub(super) fn kill(&mut self, number: usize) {
        self.network.take_down(number);
        if let Some(running) = self.running.remove(&number) {
            self.network.abandon(running.way);
            running.due.abort();
        }
    }

    /// Asks a control to stop. It drains until it is killed.
    pub(super) fn stop(&mut self, number: usize) {
        if let Some(running) = self.running.get(&number) {
            running.stopping.cancel();
            running.control.draining.cancel();
        }
    }

    /// Whether a control runs that nobody has asked to stop.
    pub(super) fn serves(&self) -> bool {
        self.running.values().any(|running| !running.stopping.is_cancelled())
    }

    /// Returns a control's store, if the control runs.
    pub(super) fn store(&self, number: usize) -> Option<Arc<Redis>> {
        self.running.get(&number).map(|running| running.store.clone())
    }

    /// Returns the number of the host at which a control reaches Redis, if the control runs.
    pub(super) fn way(&self, number: usize) -> Option<usize> {
        self.running.get(&number).map(|running| running.way)
    }

    /// Opens all ways to Redis.
    pub(super) fn open_ways(&self) {
        for running in self.running.values() {
            self.network.set(running.way, Line::Open);
        }
    }

    /// Cuts all connections to Redis.
    pub(super) fn cut_ways(&self) {
        for running in self.running.values() {
            self.network.cut(running.way);
        }
    }

    /// Lets everything work again, with all controls.
    pub(super) async fn heal(&mut self) {
        for number in 0..CONTROLS {
            if self.running.get(&number).is_some_and(|running| running.stopping.is_cancelled()) {
                self.kill(number);
            }
            self.start(number).await;
            self.network.set(number, Line::Open);
        }
        self.open_ways();
    }

    /// Returns new connections to all controls with a gateway's key.
    pub(super) fn gateway(&self) -> Clients {
        self.clients(GATEWAY_KEY)
    }

    /// Returns new connections to all controls with the operator's key.
    pub(super) fn operator(&self) -> Clients {
        self.clients(OPERATOR_KEY)
    }

    fn clients(&self, key: &str) -> Clients {
        let key = Bearer::new(Some(key)).expect("the key is plain text");
        let connect = |number| {
            let network = self.network.clone();
            let endpoint = endpoint("http://control", &ClientFiles::default()).expect("an address");
            let connecting = service_fn(move |_| network.clone().connect(number));
            Channel::new(endpoint.connect_with_connector_lazy(connecting), key.clone())
        };
        Clients((0..CONTROLS).map(connect).collect())
    }
}

/// Notes a breach once more callers and messages than [`MOST_QUEUED`] wait for replicas.
async fn watch_queues(store: Arc<Redis>, history: History) {
    while store.queued() <= MOST_QUEUED {
        sleep(STEP).await;
    }
    history.breach(&format!("{} callers and messages wait for replicas", store.queued()));
}

/// Returns the function that connects controls to Redis. A host that is gone doesn't answer.
fn link(network: Network) -> Box<Link> {
    Box::new(move |address| {
        let network = network.clone();
        Box::pin(async move {
            let way = address.split(':').next().and_then(|host| host.parse().ok());
            match network.connect(way.expect("a way's number")).await {
                Ok(connection) => connection.into_inner(),
                Err(_) => pending().await,
            }
        })
    })
}

/// A client's connections to all controls.
#[derive(Clone)]
pub(super) struct Clients(Vec<Channel>);

impl Clients {
    fn any(&self, rng: &mut Rng) -> Channel {
        self.0[rng.usize(..self.0.len())].clone()
    }

    pub(super) fn gateway(&self, rng: &mut Rng) -> GatewayServiceClient<Channel> {
        GatewayServiceClient::new(self.any(rng))
    }

    pub(super) fn agent(&self, rng: &mut Rng) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.any(rng))
    }

    pub(super) fn tokens(&self, rng: &mut Rng) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.any(rng))
    }
}
