//! The connections of gateways, agents and operators. Each phase of a connection has a deadline,
//! except while calls are open.

use crate::{client_roles::ClientRole, limits::ConnectionLimits};
use arizuko_proto::{
    connections::{Connection, Connections},
    tls::{Acceptor, TlsStream, client_names},
};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{convert::Infallible, error::Error, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    codegen::http::{Request, Response},
};
use tower::{Service, ServiceExt as _};

/// How many bytes a client may send on all streams of a connection before control has read them: as
/// many as on 64 streams, so that a few streams that control is slow to read don't hold up the
/// others.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// How many bytes a client may send on one stream before control has read them.
const STREAM_WINDOW: u32 = 256 << 10;
/// How long a client without calls may take to close a connection that was ended.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How long to wait after a failed accept, for example without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The client that a call comes from: an extension of the call's request.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: Option<IpAddr>,
    /// The roles of the client's certificate. If there are none, the client may use every key.
    pub(crate) roles: Arc<[ClientRole]>,
}

/// Accepts connections and serves their calls with `service`.
pub(crate) struct Listener<S> {
    pub(crate) service: S,
    pub(crate) tls: Option<Arc<Acceptor>>,
    pub(crate) client_roles: Arc<[ClientRole]>,
    pub(crate) limits: ConnectionLimits,
    pub(crate) stopping: CancellationToken,
}

impl<S> Listener<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    /// Serves until `stopping`, then waits for open calls to end. Dropping the future closes all
    /// connections.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let this = Arc::new(self);
        let limits = &this.limits;
        let open = Connections::new(limits.control_connections, limits.control_address_connections);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = this.stopping.cancelled() => break,
                accepted = listener.accept() => accepted,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task failed");
                    }
                    continue;
                }
            };
            match accepted {
                Ok((stream, peer)) => match open.admit(Some(peer.ip())) {
                    Ok(connection) => {
                        connections.spawn(Arc::clone(&this).connection(stream, connection));
                    }
                    Err(why) => tracing::debug!(%peer, %why, "refused a connection"),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, connection: Arc<Connection>) {
        let peer = stream.peer_addr().ok();
        let address = peer.map(|peer| peer.ip());
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let end = match &self.tls {
            None => self.http2(stream, Peer { address, roles: [].into() }, &connection).await,
            Some(tls) => tokio::select! {
                stream = tls.accept(stream) => {
                    let stream = stream.map_err(anyhow::Error::from);
                    match stream.and_then(|stream| Ok((self.roles_of(&stream)?, stream))) {
                        Ok((roles, stream)) => {
                            self.http2(stream, Peer { address, roles }, &connection).await
                        }
                        Err(error) => {
                            tracing::warn!(?peer, %error, "TLS handshake failed");
                            return;
                        }
                    }
                }
                () = self.stopping.cancelled() => return,
                () = connection.idle(self.limits.control_idle) => return,
            },
        };
        if let Err(error) = end {
            tracing::debug!(error, "a connection broke");
        }
    }

    /// Returns the roles of a client's certificate.
    fn roles_of(&self, stream: &TlsStream<TcpStream>) -> anyhow::Result<Arc<[ClientRole]>> {
        if self.client_roles.is_empty() {
            return Ok([].into());
        }
        let names = client_names(stream)?;
        Ok(self.client_roles.iter().filter(|role| role.is_of(&names)).cloned().collect())
    }

    /// Serves the calls of one connection.
    pub(crate) async fn http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: Peer,
        connection: &Arc<Connection>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            let (service, call) = (self.service.clone(), connection.request());
            async move {
                let answer = service.oneshot(request).await?;
                Ok::<_, Infallible>(answer.map(|body| call.attach_to(body)))
            }
        });
        // A ping is due after two thirds of the time, and its answer within the rest.
        let ping_timeout = self.limits.ping_timeout;
        let mut serving = pin!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(ping_timeout * 2 / 3)
                .keep_alive_timeout(ping_timeout / 3)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_concurrent_streams(self.limits.connection_calls)
                .serve_connection(TokioIo::new(stream), service)
        );
        tokio::select! {
            served = &mut serving => return Ok(served?),
            () = self.stopping.cancelled() => {}
            () = connection.idle(self.limits.control_idle) => {}
        }
        // The connection takes no further calls. The client may never acknowledge that, so control
        // waits only for a while.
        serving.as_mut().graceful_shutdown();
        tokio::select! {
            served = &mut serving => Ok(served?),
            () = connection.idle(CLOSE_WITHIN) => Ok(()),
        }
    }
}
