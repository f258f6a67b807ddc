//! The standard health service, `grpc.health.v1`. It needs no key.

use crate::readiness::Readiness;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server,
};

/// How often Watch checks the status.
const INTERVAL: Duration = Duration::from_secs(1);

/// The health service. All services have the same status.
pub(super) struct Health {
    pub(super) readiness: Arc<Readiness>,
    /// The names of the services. The empty name, which is not here, means the whole server.
    pub(super) services: Vec<&'static str>,
}

impl Health {
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }
}

async fn status(readiness: &Readiness) -> ServingStatus {
    match readiness.check().await {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.into_inner().service) {
            return Err(Status::not_found("there is no such service"));
        }
        let status = status(&self.readiness).await;
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    /// Sends the status, and again whenever it has changed.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = self.knows(&request.into_inner().service);
        let readiness = is_known.then(|| self.readiness.clone());
        let changes = stream::unfold(None, move |told| {
            let readiness = readiness.clone();
            async move {
                loop {
                    let now = match &readiness {
                        Some(readiness) => status(readiness).await,
                        None => ServingStatus::ServiceUnknown,
                    };
                    if told != Some(now) {
                        return Some((Ok(HealthCheckResponse { status: now.into() }), Some(now)));
                    }
                    sleep(INTERVAL).await;
                }
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}
