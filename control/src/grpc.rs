//! The gRPC surface: one file for each service, which turns protos into domain types and back.

use crate::{control::Control, readiness::Readiness};
use agent::Desks;
use arizuko_proto::v1::{
    self, admin_service_server::AdminServiceServer, agent_service_server::AgentServiceServer,
    conversation_service_server::ConversationServiceServer,
    event_service_server::EventServiceServer, folder_service_server::FolderServiceServer,
    gateway_service_server::GatewayServiceServer, key_service_server::KeyServiceServer,
    route_service_server::RouteServiceServer, token_service_server::TokenServiceServer,
};
use gate::{Gate, GateLayer};
use health::Health;
use observe::{Observe, ObserveLayer};
use std::sync::Arc;
use tonic::{codec::CompressionEncoding::Gzip, server::NamedService as _, service::Routes};
use tonic_health::pb::health_server::HealthServer;
use tower::Layer as _;

mod access;
mod admin;
mod agent;
#[cfg(test)]
pub(crate) use agent::worker::read_frame;
mod conversation;
mod event;
mod folder;
mod gate;
mod gateway;
mod health;
mod key;
mod key_watch;
mod observe;
mod pages;
mod route;
mod status;
mod token;
mod watch;
mod wire;

/// The largest request that posts a message, in bytes: a webhook's body with its headers.
const POST_BYTES: usize = 17 << 20;
/// The largest protobuf message, in bytes, of the calls that carry frames, an agent's own message,
/// many routes, or other calls.
const LONG_BYTES: usize = 4 << 20;
/// The largest request of any other call, in bytes: a link with the longest options fits.
const REQUEST_BYTES: usize = 256 << 10;
/// The largest request for health and reflection, which need no key, in bytes.
const KEYLESS_BYTES: usize = 4 << 10;
/// The largest answer to a gateway, in bytes: a page of history.
const ANSWER_BYTES: usize = 16 << 20;

/// Implements all services of the contract.
#[derive(Clone)]
struct Service {
    control: Arc<Control>,
    desks: Arc<Desks>,
}

/// Combines all services, with health and reflection, into one.
pub(crate) fn service(
    control: Arc<Control>,
    readiness: Arc<Readiness>,
) -> anyhow::Result<Observe<Gate<Routes>>> {
    let observe = ObserveLayer { metrics: control.metrics.clone() };
    let deadline = control.limits.connections.call_deadline;
    let gate = GateLayer { control: control.clone(), deadline };
    let service = Service { control, desks: Arc::default() };
    let services = vec![
        TokenServiceServer::<Service>::NAME,
        KeyServiceServer::<Service>::NAME,
        AdminServiceServer::<Service>::NAME,
        ConversationServiceServer::<Service>::NAME,
        EventServiceServer::<Service>::NAME,
        FolderServiceServer::<Service>::NAME,
        RouteServiceServer::<Service>::NAME,
        AgentServiceServer::<Service>::NAME,
        GatewayServiceServer::<Service>::NAME,
    ];
    let health = HealthServer::new(Health { readiness, services });
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // The size limits also hold for a compressed message once decoded: decoding stops at the limit.
    let gateways = |bytes| {
        let server = GatewayServiceServer::new(service.clone()).accept_compressed(Gzip);
        server.max_decoding_message_size(bytes).max_encoding_message_size(ANSWER_BYTES)
    };
    let agents = |bytes| {
        let server = AgentServiceServer::new(service.clone()).accept_compressed(Gzip);
        server.max_decoding_message_size(bytes)
    };
    let routes = |bytes| {
        let server = RouteServiceServer::new(service.clone()).accept_compressed(Gzip);
        server.max_decoding_message_size(bytes)
    };
    let tokens = TokenServiceServer::new(service.clone()).accept_compressed(Gzip);
    let keys = KeyServiceServer::new(service.clone()).accept_compressed(Gzip);
    let admin = AdminServiceServer::new(service.clone()).accept_compressed(Gzip);
    let conversations = ConversationServiceServer::new(service.clone()).accept_compressed(Gzip);
    let events = EventServiceServer::new(service.clone()).accept_compressed(Gzip);
    let folders = FolderServiceServer::new(service.clone()).accept_compressed(Gzip);
    let health = health.accept_compressed(Gzip);
    // Some clients, grpcio among them, still use the older version of reflection.
    let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    let (v1, v1alpha) = (v1.accept_compressed(Gzip), v1alpha.accept_compressed(Gzip));
    let services = Routes::default()
        .add_service(health.max_decoding_message_size(KEYLESS_BYTES))
        .add_service(v1.max_decoding_message_size(KEYLESS_BYTES))
        .add_service(v1alpha.max_decoding_message_size(KEYLESS_BYTES))
        .add_service(tokens.max_decoding_message_size(REQUEST_BYTES))
        .add_service(keys.max_decoding_message_size(REQUEST_BYTES))
        .add_service(admin.max_decoding_message_size(REQUEST_BYTES))
        .add_service(conversations.max_decoding_message_size(REQUEST_BYTES))
        .add_service(events.max_decoding_message_size(REQUEST_BYTES))
        .add_service(folders.max_decoding_message_size(REQUEST_BYTES))
        .add_service(routes(REQUEST_BYTES))
        .add_service(agents(REQUEST_BYTES))
        .add_service(gateways(REQUEST_BYTES));
    // The path of a call takes precedence over the path of its service.
    let services = services
        .into_axum_router()
        .route_service("/arizuko.v1.GatewayService/PostMessage", gateways(POST_BYTES))
        .route_service("/arizuko.v1.GatewayService/Call", gateways(LONG_BYTES))
        .route_service("/arizuko.v1.AgentService/Attach", agents(LONG_BYTES))
        .route_service("/arizuko.v1.AgentService/SendMessage", agents(LONG_BYTES))
        .route_service("/arizuko.v1.RouteService/ApplyRoutes", routes(LONG_BYTES));
    Ok(observe.layer(gate.layer(Routes::from(services).prepare())))
}
