//! The controls of a run, and the clients of them.

use super::{
    network::Network,
    way::{Sea, Way, Weather},
};
use crate::{
    config::Options,
    control::Control,
    due, grpc,
    listener::{Listener, Peer},
    metrics::Metrics,
    readiness::Readiness,
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
use std::{collections::BTreeMap, sync::Arc};
use tokio::{io::DuplexStream, task::AbortHandle};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

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
    pub(super) sea: Sea,
    pub(super) network: Network,
    rng: Rng,
    options: Options,
    running: BTreeMap<usize, Running>,
}

/// A control that runs.
struct Running {
    way: Way,
    due: AbortHandle,
    /// Cancelled when the control is to stop.
    stopping: CancellationToken,
    control: Arc<Control>,
}

impl World {
    pub(super) fn new(mut rng: Rng) -> Self {
        let flags = ["control", "--operator-key", OPERATOR_KEY, "--gateway-key", GATEWAY_KEY];
        // A turn may be lost as often as the faults want.
        let options = Flags::parse_from([&flags[..], &["--attempts", "1000"]].concat()).options;
        let network = Network::new(rng.fork());
        Self { sea: Sea::new(), network, rng, options, running: BTreeMap::new() }
    }

    /// Starts a control, unless it runs.
    pub(super) async fn start(&mut self, number: usize) {
        if self.running.contains_key(&number) {
            return;
        }
        let way = self.sea.open(self.rng.fork());
        let readiness = Arc::new(Readiness::default());
        let (store, options) = (Arc::new(way.clone()), self.options.clone());
        let control = Control::on(store, options, Metrics::new(), &readiness.waiting).await;
        let control = Arc::new(control.expect("the store takes a control"));
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
        self.running.insert(number, Running { way, due, stopping, control });
    }

    /// Kills a control: nothing that it was doing goes on.
    pub(super) fn kill(&mut self, number: usize) {
        self.network.take_down(number);
        if let Some(running) = self.running.remove(&number) {
            running.way.set(Weather::Over);
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

    /// Returns a control's way to the store, if the control runs.
    pub(super) fn way(&self, number: usize) -> Option<Way> {
        self.running.get(&number).map(|running| running.way.clone())
    }

    /// Lets everything work again, with all controls.
    pub(super) async fn heal(&mut self) {
        for number in 0..CONTROLS {
            if self.running.get(&number).is_some_and(|running| running.stopping.is_cancelled()) {
                self.kill(number);
            }
            self.start(number).await;
            self.network.set_frozen(number, false);
            if let Some(way) = self.way(number) {
                way.set(Weather::Fair);
            }
        }
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
