//! The request engine: one task per HTTP/1 connection or HTTP/2 stream, from the request header to the last byte of the
//! answer.
//!
//! Owns everything between an accepted connection and an upstream's socket: strict request checks, routing through the
//! pinned runtime, policies, tries, bodies, replies, spans, the access log and the request metrics. Must not lock,
//! await an actor or read configuration in a request's path: a request reads one pointer and works on what it got.
//!
//! `phases` is the place to begin reading.

pub mod access_log;
mod attempt;
mod authority;
mod body;
pub mod callout;
mod client;
mod client_certificate;
mod clock;
pub mod conn;
mod connect;
mod digits;
mod downstream;
mod exchange;
mod failure;
mod forward;
mod h1;
mod h2;
mod io;
pub mod limits;
mod list;
pub mod metrics;
mod outbox;
mod phases;
mod policies;
mod pool;
mod preconnect;
mod pump;
pub mod reply;
mod retry;
mod shadow;
mod socket;
mod span;
mod strict;
mod timer;
mod transport;
mod tunnel;
mod upstream;

use std::sync::Arc;

use arc_swap::ArcSwap;
use opentelemetry_sdk::trace::SdkTracer;
use pingora_core::server::ShutdownWatch;
use portcullis_shared::table::Codec;
use portcullis_shared::telemetry::Telemetry;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

pub use access_log::{AccessLog, Connection, ListenerLogs, Passed};
pub(crate) use authority::is_valid as is_authority;
pub use conn::{Conn, ConnInfo};
pub(crate) use connect::Raw;
pub use metrics::Metrics;
pub use reply::{LocalReply, Reason};
pub use socket::Socket;
pub use tunnel::TunnelRequest;

use crate::listener::admission;
pub use crate::policy::{Own, TlsFacts};
use crate::runtime::Runtime;
use crate::tcp;
use access_log::Outside;
use downstream::Downstream;
use exchange::Exchange;
use h1::{Server, spare};
use phases::Serving;
use pool::Pool;

/// What all engines of one worker share.
pub struct Shared {
    runtime: Arc<ArcSwap<Runtime>>,
    tracer: Option<SdkTracer>,
    metrics: Arc<Metrics>,
    access_log: Option<AccessLog>,
    tcp: tcp::Metrics,
}

impl Shared {
    /// Requests are served by what `runtime` holds when they begin. Their metrics show in `registry`, which must have
    /// no prefix: canary controllers ask for them by Envoy's names.
    pub fn new(runtime: Arc<ArcSwap<Runtime>>, telemetry: &Telemetry, registry: &mut Registry) -> Self {
        let metrics = Arc::new(Metrics::default());
        let exposition = metrics::Exposition { metrics: metrics.clone(), runtime: runtime.clone() };
        registry.register_collector(Box::new(exposition));
        let tcp = tcp::Metrics::new(registry);
        admission::register(registry);
        Shared { runtime, tracer: telemetry.tracer("portcullis"), metrics, access_log: None, tcp }
    }

    /// What is served now.
    pub(crate) fn runtime(&self) -> Arc<Runtime> {
        self.runtime.load_full()
    }

    /// Counts of connections that are passed on.
    pub(crate) fn tcp(&self) -> &tcp::Metrics {
        &self.tcp
    }

    /// Writes a line to the access log, if there is one.
    pub(crate) fn log(&self, line: &access_log::ConnectionLine<'_>) {
        if let Some(log) = &self.access_log {
            log.push_connection(line, &self.metrics.log_dropped);
        }
    }

    /// Writes a line per request to `log`.
    #[must_use]
    pub fn with_access_log(mut self, log: Option<AccessLog>) -> Self {
        self.access_log = log;
        self
    }

    /// Makes request spans with `tracer`.
    #[must_use]
    pub fn with_tracer(mut self, tracer: Option<SdkTracer>) -> Self {
        self.tracer = tracer;
        self
    }
}

/// What lies outside of one request and a policy may use.
#[derive(Default)]
pub struct Services {
    /// The configuration that the request is served by.
    pub(crate) runtime: Arc<Runtime>,
    /// For callouts.
    pool: Arc<Pool>,
    /// Rate limits of the connection.
    pub(crate) buckets: Arc<Own>,
}

/// One per data thread: it holds that thread's upstream connections.
pub struct Engine {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
}

impl Engine {
    /// An engine without connections yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Engine { shared, pool: Arc::default() }
    }

    /// What it shares with the worker's other engines.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Callouts over this engine's connections to upstreams.
    pub fn caller(&self) -> callout::Caller {
        callout::Caller::new(self.pool.clone())
    }

    /// Serves one connection to its end, inside the data thread's tokio runtime. `drain` becomes true when the
    /// connection shall end: idle it closes at once, else after its current requests.
    pub async fn serve(self: &Arc<Self>, conn: Conn, drain: &ShutdownWatch) {
        let settings = &conn.info.http.settings;
        let limit = settings.timeouts.max_connection.flatten();
        if limit.is_none() && settings.requests_per_connection.is_none() {
            return self.serve_until(conn, drain, None).await;
        }
        // Its own end, beside that of the listener.
        Box::pin(async {
            let (end, ends) = watch::channel(*drain.borrow());
            let mut outer = drain.clone();
            let told = async {
                let _ = tokio::time::timeout(
                    limit.unwrap_or(limits::FOREVER),
                    outer.wait_for(|draining| *draining),
                )
                .await;
                end.send_replace(true);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = self.serve_until(conn, &ends, Some(end.clone())) => {}
                () = told => {}
            }
        })
        .await;
    }

    /// `end` tells the connection itself to end.
    async fn serve_until(
        self: &Arc<Self>,
        conn: Conn,
        drain: &ShutdownWatch,
        end: Option<watch::Sender<bool>>,
    ) {
        let codec = conn.info.http.settings.codec;
        if codec == Codec::Http2 || (conn.http2() && codec == Codec::Auto) {
            return Box::pin(h2::serve(self, conn, drain, end)).await;
        }
        let Conn { io, info } = conn;
        let mut server = Box::new(Server::new(io, drain, info.http.clone()));
        // Over TLS it would have been agreed on.
        if codec == Codec::Auto && info.tls.is_none() && server.speaks_http2().await {
            return Box::pin(h2::serve(self, Conn { io: server.into_io(), info }, drain, end)).await;
        }
        let mut down = Downstream::H1(server);
        // A connection is idle for most of its life: what a request takes is there only while there is one.
        while let Some(request) = self.next(down, &info).await {
            let Some(next) = Box::pin(self.request(request, &info, drain)).await else { return };
            down = next;
        }
    }

    /// Writes the lines of a connection.
    pub fn log_connection(&self, logs: &ListenerLogs, connection: &Connection<'_>) {
        let outside = Outside { runtime: &self.shared.runtime(), pool: &self.pool };
        logs.write(&connection.into(), Some(outside), &self.shared.metrics.log_dropped);
    }

    /// Waits for a request; gives the connection back when there is one.
    async fn next(&self, mut down: Downstream, info: &Arc<ConnInfo>) -> Option<Downstream> {
        let reply = match down.read_request().await {
            Ok(()) => return Some(down),
            Err(reply) => reply?,
        };
        let mut exchange = Exchange::begin(&self.shared, info.clone());
        exchange.refused(down.seen());
        exchange.replied(&reply);
        exchange.finish(None, (0, 0), None, &self.pool);
        Box::pin(down.refuse(reply, &info.http)).await;
        None
    }

    /// Serves one request; gives the connection back if it can carry another one.
    async fn request(
        &self,
        mut down: Downstream,
        info: &Arc<ConnInfo>,
        drain: &ShutdownWatch,
    ) -> Option<Downstream> {
        let mut exchange = Exchange::begin(&self.shared, info.clone());
        down.lend_timer(&mut exchange.clock);
        let serving = Serving { exchange: &mut exchange, down: &mut down, pool: &self.pool, drain };
        let (head, whole) = serving.run().await;
        down.take_timer(&mut exchange.clock);
        exchange.finish(head.as_ref(), down.body_bytes(), down.take_trailers(), &self.pool);
        if let Some(head) = head {
            spare::give_back(head.headers);
        }
        if whole {
            return down.finish_request().await;
        }
        down.abort();
        None
    }
}
