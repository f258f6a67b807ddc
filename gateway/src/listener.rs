//! Connections: HTTP/1.1 by hyper's own builder, which keeps an idle stream small, and HTTP/2 where
//! the TLS handshake chose it.

mod idle;
mod stalling;

use self::{idle::Requests, stalling::Stalling};
use crate::address::Peer;
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

/// How long a request's head may take, and an idle connection may stay.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head, and how much is read or written at a time.
const BUFFER: usize = 64 * 1024;
/// How often an HTTP/2 connection with open streams is asked whether its other end lives.
const PING: Duration = Duration::from_secs(30);
/// How long to wait when there are no file descriptors left.
const BREATHER: Duration = Duration::from_millis(100);

/// What each connection is served with.
pub(crate) struct Serving {
    pub(crate) router: Router,
    pub(crate) tls: Option<Arc<Acceptor>>,
    /// How long a connection may take nothing.
    pub(crate) write_stall: Duration,
    pub(crate) stopping: CancellationToken,
}

/// Accepts connections until `stopping`, then waits for those open, at most for `grace`.
pub(crate) async fn serve(listener: TcpListener, serving: Serving, grace: Duration) {
    let serving = Arc::new(serving);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = serving.stopping.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(Arc::clone(&serving).connection(stream, peer));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(BREATHER).await;
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
        tracing::warn!(left = connections.len(), "connections are cut off");
    }
}

impl Serving {
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let (stream, peer) = (Stalling::new(stream, self.write_stall), Peer(peer));
        let end = match &self.tls {
            None => self.http1(stream, peer).await,
            // Apart: a plain connection need not be as large as one of HTTP/2 over TLS.
            Some(tls) => Box::pin(self.secure(tls, stream, peer)).await,
        };
        if let Err(error) = end {
            tracing::debug!(%error, "a connection broke");
        }
    }

    async fn secure(
        &self,
        tls: &Acceptor,
        stream: Stalling,
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
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        Ok(until(self.stopping.cancelled(), connection).await?)
    }

    /// A reader that takes nothing of one stream, but goes on with others of its connection, keeps
    /// it: the stream is not polled any more and holds no more than it does already.
    async fn http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: Peer,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let requests = Requests::default();
        let service = service_fn(|request| {
            let (router, open) = (self.router.clone(), requests.open());
            async move {
                let response = answer(router, peer, request).await?;
                Ok::<_, Infallible>(response.map(|body| open.until_the_end_of(body)))
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .max_send_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let enough = async {
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = requests.idle(HEAD_TIMEOUT) => {}
            }
        };
        Ok(until(enough, connection).await?)
    }
}

async fn answer(
    router: Router,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(peer);
    router.oneshot(request.map(Body::new)).await
}

/// Serves a connection; from `enough` on it takes no further request.
async fn until<C: GracefulConnection>(
    enough: impl Future<Output = ()>,
    connection: C,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    tokio::select! {
        end = &mut connection => end,
        () = enough => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}
