//! The address: health, metrics, and the gRPC service on the same port.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use portcullis_proto::admin::v1::admin_server::AdminServer;
use portcullis_shared::actor::BoxError;
use tokio::net::TcpListener;

use super::Metrics;
use super::grpc::Service;
use crate::topics::Topics;

/// What the answers are made from.
#[derive(Clone)]
pub struct Admin {
    /// The topics.
    pub topics: Topics,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Serves on `listener` until the process ends.
///
/// # Errors
/// The listener fails.
pub async fn serve(admin: Admin, listener: std::net::TcpListener) -> Result<(), BoxError> {
    let listener = TcpListener::from_std(listener)?;
    axum::serve(listener, router(admin)).await?;
    Ok(())
}

pub(super) fn router(admin: Admin) -> Router {
    let grpc = tonic::service::Routes::new(AdminServer::new(Service::new(admin.clone())));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
        .merge(grpc.into_axum_router())
}

/// 200 once workers can be served. With `?verbose` one line per part says how it is.
async fn ready(State(admin): State<Admin>, Query(query): Query<Vec<(String, String)>>) -> impl IntoResponse {
    let parts = parts(&admin);
    let ready = parts.iter().all(|(_, outcome)| outcome.is_ok());
    let mut body = String::new();
    if query.iter().any(|(name, _)| name == "verbose") {
        for (part, outcome) in &parts {
            let (mark, text) = match outcome {
                Ok(text) => ("+", text),
                Err(text) => ("-", text),
            };
            body.push_str(&format!("[{mark}] {part}: {text}\n"));
        }
    }
    body.push_str(if ready { "ready\n" } else { "not ready\n" });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
}

type Part = (&'static str, Result<String, String>);

fn parts(admin: &Admin) -> Vec<Part> {
    let topics = &admin.topics;
    let sources = {
        let sources = topics.sources.borrow();
        let missing: Vec<_> = sources.missing().collect();
        // Not an obstacle once there are tables: the store stands in.
        match (missing.is_empty(), topics.tables.borrow().is_some()) {
            (true, _) => Ok("all gave their list".to_owned()),
            (false, true) => Ok(format!("no list from {}, the store stands in", missing.join(", "))),
            (false, false) => Err(format!("no list yet from {}", missing.join(", "))),
        }
    };
    let tables = match topics.tables.borrow().as_ref() {
        Some(published) => Ok(format!("version {}, {} objects", published.version, published.entries.len())),
        None => Err("nothing is built yet".to_owned()),
    };
    let stopping =
        if *topics.stopping.borrow() { Err("stopping".to_owned()) } else { Ok("running".to_owned()) };
    let workers = Ok(format!("{} connected", topics.rollout.borrow().len()));
    vec![("sources", sources), ("tables", tables), ("process", stopping), ("workers", workers)]
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let published = admin.topics.tables.borrow().clone();
    let rollout = admin.topics.rollout.borrow().clone();
    // Ten thousand objects are counted here: not on a thread that serves others.
    let page = tokio::task::spawn_blocking(move || admin.metrics.page(published.as_deref(), &rollout)).await;
    match page {
        Ok(Ok(page)) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, content_type)], page).into_response()
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
