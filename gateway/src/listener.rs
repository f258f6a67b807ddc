//! Accepts connections and serves HTTP/1.1 on them, or HTTP/2 if the TLS handshake chose it. Each
//! protocol has its own builder of hyper's, since the automatic builder needs twice the memory for
//! an idle stream.

mod stalling;
mod unread;

use self::{stalling::StallGuard, unread::Tracked};
use crate::limits::Limits;
use arizuko_proto::{
    connections::{Connection, Connections},
    tls::Acceptor,
};
use axum::{Router, body::Body, response::Response};
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use ipnet::IpNet;
use std::{
    convert::Infallible,
    error::Error,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// How long a client may take to close a connection that the gateway has ended, if no request is
/// open.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How many bytes an HTTP/1.1 connection or an HTTP/2 stream may buffer. The head of an HTTP/1.1
/// request must fit.
const BUFFER_BYTES: usize = 64 * 1024;
/// How often to ping an HTTP/2 connection with open streams, to notice that its client is gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long to wait after a failed accept, for example if no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address of a connection's other end. Every request has it as an extension.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Accepts connections and serves their requests.
pub(crate) struct Listener {
    pub(crate) router: Router,
    pub(crate) tls: Option<Arc<Acceptor>>,
    pub(crate) limits: Limits,
    /// The networks of proxies whose connections count only in the total, not by address.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// How long a client may read nothing before its connection is closed.
    pub(crate) write_stall: Duration,
    pub(crate) stopping: CancellationToken,
}

impl Listener {
    /// Serves until `stopping`, then waits for the open connections, at most for `grace`.
    pub(crate) async fn serve(self, listener: TcpListener, grace: Duration) {
        let this = Arc::new(self);
        let limits = &this.limits;
        let open = Connections::new(limits.gateway_connections, limits.gateway_address_connections);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = this.stopping.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => match open.admit(this.counted(peer)) {
                        Ok(connection) => {
                            let serving = Arc::clone(&this).connection(stream, peer, connection);
                            connections.spawn(serving);
                        }
                        Err(why) => tracing::debug!(%peer, %why, "refused a connection"),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task failed");
                    }
                }
            }
        }
        drop(listener);
        let drained = timeout(grace, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            let connections = connections.len();
            tracing::warn!(connections, "the grace period is over, closing open connections");
        }
    }

    /// Returns the address that a connection counts for; `None` for a trusted proxy.
    fn counted(&self, peer: SocketAddr) -> Option<IpAddr> {
        let address = peer.ip().to_canonical();
        let is_proxy = self.trusted_proxies.iter().any(|network| network.contains(&address));
        (!is_proxy).then_some(address)
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        connection: Arc<Connection>,
    ) {
        let (stream, peer) = (StallGuard::new(stream, self.write_stall), Peer(peer));
        let end = match &self.tls {
            None => self.http1(stream, peer, &connection).await,
            // Boxed, so that a plain connection doesn't allocate the space of HTTP/2 over TLS.
            Some(tls) => Box::pin(self.secure(tls, stream, peer, &connection)).await,
        };
        if let Err(error) = end {
            tracing::debug!(%error, "a connection broke");
        }
    }

    async fn secure(
        &self,
        tls: &Acceptor,
        stream: StallGuard,
        peer: Peer,
        connection: &Arc<Connection>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let stream = tokio::select! {
            stream = tls.accept(stream) => stream?,
            () = self.stopping.cancelled() => return Ok(()),
            () = connection.idle(self.limits.gateway_idle) => return Ok(()),
        };
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.http2(stream, peer, connection).await,
            _ => self.http1(stream, peer, connection).await,
        }
    }

    async fn http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: Peer,
        connection: &Arc<Connection>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let service = service_fn(|request| self.answer(peer, connection, request));
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.gateway_idle)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        Ok(self.until_idle(connection, serving).await?)
    }

    /// Serves HTTP/2. A client that reads nothing from one stream but reads others keeps the
    /// connection: the unread stream is not polled, so its memory doesn't grow.
    async fn http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: Peer,
        connection: &Arc<Connection>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let service = service_fn(|request| self.answer(peer, connection, request));
        let serving = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .max_send_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        Ok(self.until_idle(connection, serving).await?)
    }

    /// Answers a request. The request counts as open until its answer is sent.
    fn answer(
        &self,
        peer: Peer,
        connection: &Arc<Connection>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        let (router, open) = (self.router.clone(), connection.request());
        async move {
            let response = answer(router, peer, request).await?;
            Ok(response.map(|body| Body::new(open.attach_to(body))))
        }
    }

    /// Serves a connection until it has had no request for too long, another connection needs its
    /// place, or the gateway stops. Then takes no further request, and closes the connection itself
    /// if the client has not done so [`CLOSE_WITHIN`] after the last answer.
    async fn until_idle<C: GracefulConnection>(
        &self,
        connection: &Connection,
        serving: C,
    ) -> Result<(), C::Error> {
        let mut serving = pin!(serving);
        tokio::select! {
            served = &mut serving => return served,
            () = self.stopping.cancelled() => {}
            () = connection.idle(self.limits.gateway_idle) => {}
        }
        serving.as_mut().graceful_shutdown();
        tokio::select! {
            served = &mut serving => served,
            () = connection.idle(CLOSE_WITHIN) => Ok(()),
        }
    }
}

async fn answer(
    router: Router,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(peer);
    let (request, rest) = Tracked::new(request);
    let response = router.oneshot(request.map(Body::new)).await;
    rest.read().await;
    response
}
