//! The service that the command line asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_proto::admin::v1 as wire;
use portcullis_proto::admin::v1::admin_server::Admin as AdminService;
use tonic::{Request, Response, Status};

use super::Admin;
use crate::config::Published;
use crate::resource::Kind;
use crate::status;

pub(super) struct Service {
    admin: Admin,
}

impl Service {
    pub(super) fn new(admin: Admin) -> Self {
        Self { admin }
    }

    fn published(&self) -> Result<Arc<Published>, Status> {
        let published = self.admin.topics.tables.borrow().clone();
        published.ok_or_else(|| Status::unavailable("the first configuration is still being built"))
    }
}

/// Runs `work` where it may take its time.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Status::internal(error.to_string()))
}

#[tonic::async_trait]
impl AdminService for Service {
    async fn list_resources(
        &self,
        request: Request<wire::ListResourcesRequest>,
    ) -> Result<Response<wire::ListResourcesResponse>, Status> {
        let wire::ListResourcesRequest { kind, namespace, name } = request.into_inner();
        let kind = match kind.as_str() {
            "" => None,
            text => Some(Kind::parse(text).ok_or_else(|| {
                let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
                Status::invalid_argument(format!("unknown kind {text:?}; known are {}", known.join(", ")))
            })?),
        };
        let published = self.published()?;
        let rollout = self.admin.topics.rollout.borrow().clone();
        let resources = aside(move || {
            let served = status::Served::new(&published, rollout);
            let now = SystemTime::now();
            status::rows(&published, kind, &namespace, &name)
                .map(|row| row.to_wire(&published, &served, now))
                .collect()
        })
        .await?;
        Ok(Response::new(wire::ListResourcesResponse { resources }))
    }

    async fn list_workers(
        &self,
        _: Request<wire::ListWorkersRequest>,
    ) -> Result<Response<wire::ListWorkersResponse>, Status> {
        let published = self.admin.topics.tables.borrow().clone();
        let rollout = self.admin.topics.rollout.borrow().clone();
        let workers = status::workers(published.as_deref(), &rollout, SystemTime::now());
        let status::Listeners { served, unserved } =
            published.as_deref().map(|it| status::listeners(it, &rollout)).unwrap_or_default();
        Ok(Response::new(wire::ListWorkersResponse { workers, listeners: served, unserved }))
    }

    async fn explain(
        &self,
        request: Request<wire::ExplainRequest>,
    ) -> Result<Response<wire::ExplainResponse>, Status> {
        let wire::ExplainRequest { method, url, headers, sni, client } = request.into_inner();
        let published = self.published()?;
        let explained = aside(move || {
            let tables: BTreeMap<_, _> = published
                .proxies
                .iter()
                .map(|(name, proxy)| (Arc::clone(name), Arc::clone(&proxy.table)))
                .collect();
            let address = Some(client.as_str()).filter(|it| !it.is_empty());
            let client = crate::cli::explain::Client { sni: sni.as_deref(), address };
            crate::cli::explain::answer(&tables, &method, &url, &headers, client)
        })
        .await?;
        let json = explained.map_err(Status::invalid_argument)?;
        Ok(Response::new(wire::ExplainResponse { json }))
    }
}
