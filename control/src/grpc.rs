//! The gRPC surface: protos to the domain and back, one file a service, and nothing else.

use crate::{key::Caller, server::Control};
use arizuko_proto::v1;
use observe::Observe;
use std::{sync::Arc, time::Duration};
use tonic::{
    Request, Status,
    transport::{Server, server::Router},
};
use tower::layer::util::{Identity, Stack};

mod admin;
mod agent;
mod gateway;
mod key;
mod observe;
mod route;
mod status;
mod token;
mod watch;
mod wire;

/// The largest message of ours: a page of history, or a webhook's body with its headers.
const MESSAGE_BYTES: usize = 16 << 20;

const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// One control, as each service sees it.
#[derive(Clone)]
struct Service(Arc<Control>);

/// All services, with health and reflection.
pub(crate) async fn router(
    control: &Arc<Control>,
) -> anyhow::Result<Router<Stack<Observe, Identity>>> {
    let service = Service(control.clone());
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
        .layer(Observe(control.metrics.clone()))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        // Streams wait in our bounded queues, never in the connection that all of them share.
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(16 << 20)
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        // Some clients, grpcio among them, still ask by the older name.
        .add_service(reflection().build_v1alpha()?)
        .add_service(v1::token_service_server::TokenServiceServer::new(service.clone()))
        .add_service(v1::key_service_server::KeyServiceServer::new(service.clone()))
        .add_service(v1::route_service_server::RouteServiceServer::new(service.clone()))
        .add_service(v1::agent_service_server::AgentServiceServer::new(service.clone()))
        .add_service(v1::admin_service_server::AdminServiceServer::new(service))
        .add_service(gateway))
}

impl Service {
    /// Who is calling.
    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let secret = header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default();
        self.0.caller(secret).await.map_err(status::from)
    }

    async fn operator<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = self.caller(request).await?;
        caller.must_be_operator().map_err(status::from)?;
        Ok(caller)
    }

    async fn gateway<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = self.caller(request).await?;
        caller.must_be_gateway().map_err(status::from)?;
        Ok(caller)
    }
}
