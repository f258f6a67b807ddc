//! The connections: HTTP/1.1, or HTTP/2 if the TLS handshake chose it. They use hyper's builders for one
//! protocol, since the automatic one needs twice the memory for an idle stream.

mod idle;
mod stalling;
mod unread;

use self::{idle::OpenRequests, stalling::StallGuard, unread::Tracked};
use arizuko_proto::tls::Acceptor;
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
use std::{
    convert::Infallible, error::Error, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// How long a request's head may take to arrive, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head, and how many bytes to buffer for reading or writing.
const BUFFER_BYTES: usize = 64 * 1024;
/// How often to ping an HTTP/2 connection with open streams, to notice that its client is gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long to wait after a failed accept, for example without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address of a connection's other end. Every request has it as an extension.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Accepts connections and serves their requests.
pub(crate) struct Listener {
    pub(crate) router: Router,
    pub(crate) tls: Option<Arc<Acceptor>>,
    /// How long a client may read nothing before its connection is closed.
    pub(crate) write_stall: Duration,
    pub(crate) stopping: CancellationToken,
}

impl Listener {
    /// Serves until `stopping`, then waits for the open connections, at most for `grace`.
    pub(crate) async fn serve(self, listener: TcpListener, grace: Duration) {
        let this = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = this.stopping.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(Arc::clone(&this).connection(stream, peer));
                    }
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

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let (stream, peer) = (StallGuard::new(stream, self.write_stall), Peer(peer));
        let end = match &self.tls {
            None => self.http1(stream, peer).await,
            // Boxed, so that a plain connection doesn't allocate the space of HTTP/2 over TLS.
            Some(tls) => Box::pin(self.secure(tls, stream, peer)).await,
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
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let stream = tokio::select! {
            stream = tls.accept(stream) => stream?,
            () = self.stopping.cancelled() => return Ok(()),
        };
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.http2(stream, peer).await,
            _ => self.http1(stream, peer).await,
        }
    }

    async fn http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: Peer,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let service = service_fn(|request| answer(self.router.clone(), peer, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        Ok(until(self.stopping.cancelled(), connection).await?)
    }

    /// A client that reads nothing from one stream but reads others keeps the connection: the unread
    /// stream is not polled, so its memory doesn't grow.
    async fn http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: Peer,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let requests = OpenRequests::default();
        let service = service_fn(|request| {
            let (router, open) = (self.router.clone(), requests.open());
            async move {
                let response = answer(router, peer, request).await?;
                Ok::<_, Infallible>(response.map(|body| open.attach_to(body)))
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .max_send_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let end = async {
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = requests.idle(HEAD_TIMEOUT) => {}
            }
        };
        Ok(until(end, connection).await?)
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

/// Serves a connection. After `end` it accepts no further request.
async fn until<C: GracefulConnection>(
    end: impl Future<Output = ()>,
    connection: C,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    tokio::select! {
        result = &mut connection => result,
        () = end => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}
