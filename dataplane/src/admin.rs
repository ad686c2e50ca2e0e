//! Health, readiness and metrics over HTTP, for people, load balancers and Prometheus. Bound from the start, whatever
//! the table; reads topics only.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use portcullis_shared::actor::{Backoff, BoxError};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::link;
use crate::listener::{Board, Listening};
use crate::loader::Loaded;
use crate::runtime::Runtime;

/// Everything that is shown.
pub struct Admin {
    /// Where to listen.
    pub address: SocketAddr,
    /// Where it listens, once it does.
    pub bound: watch::Sender<Option<SocketAddr>>,
    /// All metrics.
    pub registry: Registry,
    /// What runs.
    pub loaded: watch::Receiver<Loaded>,
    /// The link's state.
    pub link: watch::Receiver<link::Status>,
    /// The listeners' state.
    pub board: Arc<Board>,
    /// What is served.
    pub runtime: Arc<ArcSwap<Runtime>>,
    /// True when the worker goes down.
    pub drain: watch::Receiver<bool>,
}

/// The actor's body.
///
/// # Errors
/// The server ended. A port that cannot be bound is no error: traffic does not depend on it, so it is tried again.
pub async fn run(admin: Arc<Admin>) -> Result<(), BoxError> {
    let listener = bind(admin.address).await;
    let address = listener.local_addr()?;
    tracing::info!(%address, "admin server listening");
    admin.bound.send_replace(Some(address));
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/endpoints", get(endpoints))
        .with_state(admin);
    axum::serve(listener, router).await?;
    Ok(())
}

async fn bind(address: SocketAddr) -> TcpListener {
    let mut backoff = Backoff::standard();
    let mut told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::error!(%address, %error, "cannot bind the admin server; trying again");
                }
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// A line for each endpoint: upstream, address, state, weight, requests that run on it.
async fn endpoints(State(admin): State<Arc<Admin>>) -> String {
    let runtime = admin.runtime.load_full();
    let mut lines: Vec<String> = Vec::new();
    for upstream in runtime.upstreams() {
        for endpoint in upstream.endpoints().list() {
            let state = match (endpoint.failed_check(), endpoint.is_ejected()) {
                (false, false) => "healthy",
                (true, false) => "failed its check",
                (false, true) => "ejected",
                (true, true) => "failed its check, ejected",
            };
            let (name, address, weight) = (&upstream.name, &endpoint.address, endpoint.weight);
            lines.push(format!("{name} {address}: {state}, weight {weight}, active {}\n", endpoint.active()));
        }
    }
    lines.sort_unstable();
    lines.concat()
}

async fn readyz(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Response {
    let readiness = Readiness {
        loaded: admin.loaded.borrow().clone(),
        link: admin.link.borrow().clone(),
        listeners: admin.board.listening(),
        draining: *admin.drain.borrow(),
    };
    let verdict = readiness.verdict();
    let status = if verdict.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose =
        query.is_some_and(|query| query.split('&').any(|word| word.split('=').next() == Some("verbose")));
    let mut text = match verdict {
        Ok(()) => "ready\n".to_owned(),
        Err(reason) => format!("not ready: {reason}\n"),
    };
    if verbose {
        text.push_str(&readiness.details());
    }
    (status, text).into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut text = String::new();
    if prometheus_client::encoding::text::encode(&mut text, &admin.registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response()
}

/// What readiness is judged by.
#[derive(Debug, Clone)]
struct Readiness {
    loaded: Loaded,
    link: link::Status,
    listeners: Vec<Listening>,
    draining: bool,
}

impl Readiness {
    /// Whether a load balancer should send traffic here. One port that cannot be bound does not take the others out of
    /// service.
    fn verdict(&self) -> Result<(), &'static str> {
        if self.draining {
            return Err("draining");
        }
        if !self.loaded.complete {
            return Err("no table yet");
        }
        if self.loaded.listeners == 0 {
            return Err("the table has no listeners");
        }
        if !self.listeners.iter().any(|listener| listener.threads > 0) {
            return Err("no listener is bound");
        }
        Ok(())
    }

    fn details(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "table: {}", self.loaded);
        let since = self.link.since.map(|at| at.elapsed().as_secs());
        let _ = match (self.link.connected, since, &self.link.problem) {
            (true, Some(s), _) => writeln!(text, "link: connected for {s} s, synced: {}", self.link.synced),
            (_, Some(s), Some(problem)) => writeln!(text, "link: not connected for {s} s: {problem}"),
            _ => writeln!(text, "link: not connected yet"),
        };
        for Listening { name, address, threads, problem } in &self.listeners {
            let _ = match problem {
                None => writeln!(text, "listener {name}: {address}, {threads} threads"),
                Some(problem) => writeln!(text, "listener {name}: {problem}"),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::Origin;
    use portcullis_shared::version::Version;

    fn ready() -> Readiness {
        let name: Arc<str> = "listener-::-80".into();
        Readiness {
            loaded: Loaded {
                origin: Origin::Control { version: Version { epoch: 1, seq: 2 } },
                complete: true,
                listeners: 1,
                ..Loaded::default()
            },
            link: link::Status::default(),
            listeners: vec![Listening {
                name,
                address: "[::]:80".parse().unwrap(),
                threads: 1,
                problem: None,
            }],
            draining: false,
        }
    }

    #[test]
    fn ready_means_a_table_and_a_bound_listener() {
        assert_eq!(ready().verdict(), Ok(()));
        type Change = fn(&mut Readiness);
        let changes: [(Change, &str); 4] = [
            (|r| r.draining = true, "draining"),
            (|r| r.loaded.complete = false, "no table yet"),
            (|r| r.loaded.listeners = 0, "the table has no listeners"),
            (|r| r.listeners[0].threads = 0, "no listener is bound"),
        ];
        for (change, reason) in changes {
            let mut readiness = ready();
            change(&mut readiness);
            assert_eq!(readiness.verdict(), Err(reason));
        }
    }

    #[test]
    fn the_details_name_what_fails() {
        let mut readiness = ready();
        readiness.listeners[0].problem = Some("[::]:80 is in use by another program".into());
        let text = readiness.details();
        assert!(text.contains("table: version 1.2"), "{text}");
        assert!(text.contains("link: not connected yet"), "{text}");
        assert!(text.contains("listener listener-::-80: [::]:80 is in use"), "{text}");
    }
}
