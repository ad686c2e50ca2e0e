//! `portcullis hello`: a small upstream for demonstrations and tests.
//!
//! Answers JSON about the request it got, so that a person sees what the gateway changed on the way. Owns one listening
//! socket. Must not be used for anything real: it says what it sees to whoever asks.

mod tls;

use super::Failure;
use super::args::HelloArgs;
use super::console::{Console, Paint};
use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// What every answer has in common.
struct Manner {
    name: String,
    status: http::StatusCode,
    delay: Duration,
}

/// One answer. The order of the fields is the order in which a reader asks for them.
#[derive(Debug, Serialize)]
struct Seen {
    name: String,
    method: String,
    path: String,
    query: Option<String>,
    host: String,
    protocol: String,
    client: String,
    headers: BTreeMap<String, String>,
    body_bytes: u64,
}

/// Listens until SIGINT or SIGTERM.
pub async fn run(args: HelloArgs, console: &Console) -> Result<(), Failure> {
    let status =
        http::StatusCode::from_u16(args.status).map_err(|error| Failure::Usage(error.to_string()))?;
    let manner = Arc::new(Manner { name: args.name, status, delay: args.delay });
    let tcp = TcpListener::bind(args.listen)
        .await
        .map_err(|error| Failure::Because(format!("cannot listen on {}: {error}", args.listen)))?;
    let address = tcp.local_addr()?;
    let stop = stop_signal()?;
    let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
    console.note(Paint::Good, "ready:", &format!("{} on {scheme}://{address}", manner.name));
    match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => {
            let listener = tls::Listener::new(tcp, tls::server_config(cert, key)?)?;
            let service = app(manner).into_make_service_with_connect_info::<tls::Peer>();
            axum::serve(listener, service).with_graceful_shutdown(stop).await?;
        }
        _ => {
            let service = app(manner).into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(tcp, service).with_graceful_shutdown(stop).await?;
        }
    }
    Ok(())
}

/// Resolves when the process is asked to end.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    })
}

fn app(manner: Arc<Manner>) -> Router {
    Router::new()
        .route("/healthz", axum::routing::get(|| async { "ok\n" }))
        .fallback(answer)
        .with_state(manner)
}

async fn answer(State(manner): State<Arc<Manner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body_bytes = count(body).await;
    if !manner.delay.is_zero() {
        tokio::time::sleep(manner.delay).await;
    }
    let seen = Seen {
        name: manner.name.clone(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        host: host(&parts),
        protocol: format!("{:?}", parts.version),
        client: client(&parts.extensions),
        headers: headers(&parts.headers),
        body_bytes,
    };
    match serde_json::to_string(&seen) {
        Ok(json) => (manner.status, [("content-type", "application/json")], json + "\n").into_response(),
        Err(error) => (http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Reads a body of any length without holding it.
async fn count(body: Body) -> u64 {
    let mut stream = body.into_data_stream();
    let mut bytes = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        bytes += chunk.len() as u64;
    }
    bytes
}

/// HTTP/2 carries the authority in the request target, HTTP/1.1 in a header.
fn host(parts: &http::request::Parts) -> String {
    match (parts.uri.authority(), parts.headers.get(http::header::HOST)) {
        (Some(authority), _) => authority.to_string(),
        (None, Some(host)) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
        (None, None) => String::new(),
    }
}

fn client(extensions: &http::Extensions) -> String {
    let plain = extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let tls = extensions.get::<ConnectInfo<tls::Peer>>().map(|peer| peer.0.0);
    plain.or(tls).map(|address| address.to_string()).unwrap_or_default()
}

fn headers(map: &http::HeaderMap) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in map {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.to_string())
            .and_modify(|known| {
                known.push_str(", ");
                known.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    headers
}

#[cfg(test)]
mod tests;
