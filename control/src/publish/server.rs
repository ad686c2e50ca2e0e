//! The link's service: accepts streams and runs one session task for each.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_proto::link::v1 as wire;
use portcullis_proto::link::v1::link_server::{Link as LinkService, LinkServer};
use portcullis_shared::actor::BoxError;
use portcullis_shared::transport::{Bind, PeerIdentity, listen};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status, Streaming};

use super::frames::DECODE_LIMIT;
use super::session::Session;
use crate::admin::Metrics;
use crate::topics::Topics;

/// Frames that are encoded but not yet taken by the connection. Together with HTTP/2's windows this bounds what a slow
/// worker holds in memory.
const QUEUE: usize = 2;
/// Sessions that may be open at once.
const SESSIONS: u64 = 1024;

/// What sessions share.
#[derive(Clone)]
pub struct Link {
    /// The topics.
    pub topics: Topics,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The epoch of this process.
    pub epoch: u64,
    /// Session numbers, growing over restarts of the link server.
    pub sessions: Arc<AtomicU64>,
}

struct Service {
    link: Link,
    open: Arc<AtomicU64>,
    stop: CancellationToken,
}

/// Listens on `bind` and serves sessions until the process ends. Nothing is accepted before the first table: a worker
/// that is turned away keeps what it runs, one that is served nothing would lose it.
///
/// # Errors
/// The address cannot be bound, or the server fails.
pub async fn serve(link: Link, bind: Bind) -> Result<(), BoxError> {
    let mut tables = link.topics.tables.subscribe();
    tables.wait_for(Option::is_some).await?;
    let incoming = listen(&bind).await?;
    match (&bind, incoming.local_addr) {
        (Bind::Unix(path), _) => tracing::info!(link = %path.display(), "listening for workers"),
        (Bind::Tls { .. }, Some(address)) => tracing::info!(link = %address, "listening for workers"),
        (Bind::Tls { address, .. }, None) => tracing::info!(link = %address, "listening for workers"),
    }
    // Sessions are tasks of their own: they end with this server, however it ends.
    let stop = CancellationToken::new();
    let _guard: DropGuard = stop.clone().drop_guard();
    let mut stopping = link.topics.stopping.subscribe();
    let service = Service { link, open: Arc::default(), stop };
    let service = LinkServer::new(service).max_decoding_message_size(DECODE_LIMIT);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, async move {
            // An error means that the root is gone, which is an end as well.
            let _ = stopping.wait_for(|stop| *stop).await;
        })
        .await?;
    // Only reached at the end of the process: what remains is to be told to stop by the root.
    std::future::pending().await
}

#[tonic::async_trait]
impl LinkService for Service {
    type StreamStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<wire::ControlFrame, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<wire::WorkerFrame>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let peer = request
            .extensions()
            .get::<PeerIdentity>()
            .cloned()
            .ok_or_else(|| Status::unauthenticated("the transport did not identify the peer"))?;
        if *self.link.topics.stopping.borrow() {
            return Err(Status::unavailable("control is stopping"));
        }
        if self.open.load(Ordering::Relaxed) >= SESSIONS {
            return Err(Status::resource_exhausted("too many sessions"));
        }
        let open = Open::new(&self.open);
        let (frames, answer) = mpsc::channel(QUEUE);
        let number = self.link.sessions.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(self.link.clone(), number, peer, request.into_inner(), frames);
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let _open = open;
            stop.run_until_cancelled(session.run()).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answer))))
    }
}

/// Counts a session while it lives.
struct Open(Arc<AtomicU64>);

impl Open {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
