//! The floors: the least that a server with the same task could do.

use crate::servers::announce;
use axum::{Router, body::Bytes, extract::State, response::IntoResponse, routing::post};
use http::{StatusCode, header};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use redis::{Script, aio::MultiplexedConnection};
use std::sync::Arc;
use tokio::net::TcpListener;

/// A body as long as the gateway's answer to a message.
const ANSWER: &str = include_str!("answer.json");
/// The shortest script that could take a message.
const TAKE: &str = "\
redis.call('GET', KEYS[1])
redis.call('XADD', KEYS[2], '*', 'f', ARGV[1])
redis.call('PUBLISH', KEYS[3], ARGV[1])
return 1";

/// Runs the floor that the command line selects, until the process is killed. `bare PAGE_BYTES`
/// answers at once; `script REDIS_URL` runs one Redis script for each POST.
pub(crate) async fn serve(words: &[String]) {
    let [kind, argument] = words else { panic!("a floor has a kind and an argument") };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let app = match kind.as_str() {
        "bare" => bare(argument.parse().expect("a number of bytes")),
        _ => script(argument).await,
    };
    announce(&listener);
    let app = TowerToHyperService::new(app);
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("TCP has it");
        let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), app.clone());
        tokio::spawn(serving);
    }
}

fn bare(page_bytes: usize) -> Router {
    let page: Bytes = vec![b' '; page_bytes].into();
    let get = async move || ([(header::CONTENT_TYPE, "text/html")], page);
    Router::new().route("/", post(async |_: Bytes| answer()).get(get))
}

async fn script(redis: &str) -> Router {
    let client = redis::Client::open(redis).expect("a URL of Redis");
    let connection = client.get_multiplexed_async_connection().await.expect("Redis is there");
    Router::new().route("/", post(take)).with_state(Arc::new((Script::new(TAKE), connection)))
}

type Taking = Arc<(Script, MultiplexedConnection)>;

async fn take(State(taking): State<Taking>, body: Bytes) -> impl IntoResponse {
    let (script, connection) = &*taking;
    let mut call = script.prepare_invoke();
    call.key("record").key("log").key("topic").arg(&body[..]);
    let taken: i64 = call.invoke_async(&mut connection.clone()).await.expect("Redis answers");
    assert_eq!(taken, 1, "the script returns it");
    answer()
}

fn answer() -> impl IntoResponse {
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], ANSWER)
}
