//! The gRPC surface: one file for each service, which turns protos into the domain and back.

use crate::control::Control;
use arizuko_proto::v1;
use observe::ObserveLayer;
use std::{sync::Arc, time::Duration};
use tonic::transport::{Server, server::Router};
use tower::layer::util::{Identity, Stack};

mod access;
mod admin;
mod agent;
mod gateway;
mod key;
mod key_watch;
mod observe;
mod route;
mod status;
mod token;
mod watch;
mod wire;

/// The largest message of the gateway's calls: a page of history, or a webhook's body with its
/// headers.
const MESSAGE_BYTES: usize = 16 << 20;
/// The flow-control windows of a connection and of each of its streams. Data waits in our bounded
/// queues, never in the connection that all streams share.
const CONNECTION_WINDOW: u32 = 16 << 20;
const STREAM_WINDOW: u32 = 256 << 10;
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Implements every service of ours.
#[derive(Clone)]
struct Service {
    control: Arc<Control>,
}

/// Builds the server of all services, with health and reflection.
pub(crate) async fn router(
    control: Arc<Control>,
) -> anyhow::Result<Router<Stack<ObserveLayer, Identity>>> {
    let observe = ObserveLayer { metrics: control.metrics.clone() };
    let service = Service { control };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<v1::gateway_service_server::GatewayServiceServer<Service>>().await;
    health.set_serving::<v1::agent_service_server::AgentServiceServer<Service>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let gateway = v1::gateway_service_server::GatewayServiceServer::new(service.clone())
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    Ok(Server::builder()
        .layer(observe)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        // Some clients, grpcio among them, still use the older version.
        .add_service(reflection().build_v1alpha()?)
        .add_service(v1::token_service_server::TokenServiceServer::new(service.clone()))
        .add_service(v1::key_service_server::KeyServiceServer::new(service.clone()))
        .add_service(v1::route_service_server::RouteServiceServer::new(service.clone()))
        .add_service(v1::agent_service_server::AgentServiceServer::new(service.clone()))
        .add_service(v1::admin_service_server::AdminServiceServer::new(service))
        .add_service(gateway))
}
