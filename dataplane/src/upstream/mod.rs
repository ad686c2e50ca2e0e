//! Upstreams: which endpoint gets a request, and how it is spoken to.
//!
//! Owns endpoint sets and their health, balancers, the ready TLS client configuration and per-upstream counts. What has to outlive a new
//! runtime (dynamic endpoints, running requests, counts) is shared between the old and the new `Upstream`. Must not
//! open connections but for health checks: that is the engine's work.

pub mod balance;
pub mod breaker;
pub mod care;
pub mod dial;
mod endpoint;
mod health;
mod lane;
mod manner;
mod outlier;
mod rules;
mod set;
mod stats;
pub mod tls;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::StatusCode;

use portcullis_shared::table::{self, Place};
use rustls_pki_types::ServerName;

pub use balance::{Balancer, Wish};
pub use breaker::{Bound, Breakers, Slot};
pub use dial::Dialing;
pub use endpoint::{Endpoint, Picked};
pub use manner::Manner;
pub use set::Endpoints;
pub use stats::{Codes, Counter, Gauge, Histogram, Stats};
pub use tls::Tls;

use lane::Lane;
use outlier::Judge;
use rules::Rules;
use tokio::sync::Notify;

use crate::policy::PlanBuilder;

/// A group of endpoints and how to talk to them.
#[derive(Debug)]
pub struct Upstream {
    /// Its name in the table, also the cluster name of metrics.
    pub name: Arc<str>,
    /// The user's resource.
    pub origin: table::Origin,
    /// TLS towards the endpoints; none = plain text.
    pub tls: Option<Arc<Tls>>,
    /// HTTP/2: prior knowledge, or ALPN with TLS.
    pub http2: bool,
    /// How connections are made, kept and used.
    pub manner: Arc<Manner>,
    /// Counts; they survive rebuilds.
    pub stats: Arc<Stats>,
    /// How much of it is used at one time.
    pub breakers: Breakers,
    /// Policies of every request that goes there, where it has any.
    pub over: Option<Box<PlanBuilder>>,
    lane: Arc<Lane>,
    balancer: Balancer,
    rules: Rules,
    check: Option<Arc<table::HealthCheck>>,
    judge: Option<Judge>,
    /// The health of an endpoint has changed.
    news: Notify,
}

impl Upstream {
    /// Builds it from a table resource. `previous` is the upstream of that name in the runtime before: its endpoints,
    /// running counts and statistics live on.
    #[must_use]
    pub fn build(config: &table::Upstream, tls: Option<Arc<Tls>>, previous: Option<&Self>) -> Self {
        Self::through(config, tls, None, previous)
    }

    /// As [`Upstream::build`], with TLS towards the proxy before the endpoints.
    #[must_use]
    pub fn through(
        config: &table::Upstream,
        tls: Option<Arc<Tls>>,
        proxy_tls: Option<Arc<Tls>>,
        previous: Option<&Self>,
    ) -> Self {
        let rules = Rules::of(config);
        let before = previous.map(|upstream| &upstream.lane);
        let lane = match before {
            _ if !config.dynamic_endpoints => {
                Arc::new(Lane::fixed(&config.endpoints, before.map(|lane| &**lane), rules.clone()))
            }
            Some(lane) => lane.to_dynamic(rules.clone()),
            None => Arc::new(Lane::waiting(rules.clone())),
        };
        let stats = previous.map(|upstream| Arc::clone(&upstream.stats)).unwrap_or_default();
        Self {
            name: Arc::clone(&config.name),
            origin: config.origin.clone(),
            tls,
            http2: config.http2,
            manner: Arc::new(Manner::new(config, proxy_tls)),
            over: None,
            breakers: Breakers::new(config.circuit_breakers, Arc::clone(&stats)),
            judge: config.outlier_detection.map(|rules| Judge::new(rules, Arc::clone(&stats))),
            check: config.health_check.clone().map(Arc::new),
            news: Notify::new(),
            rules,
            stats,
            lane,
            balancer: Balancer::next(config.load_balancer, previous.map(|upstream| &upstream.balancer)),
        }
    }

    /// An upstream with these endpoints and everything else of this one: its TLS, its limits, its counts.
    #[must_use]
    pub fn with_endpoints(&self, endpoints: &[table::Endpoint], previous: Option<&Self>) -> Self {
        let lane = Lane::fixed(endpoints, previous.map(|upstream| &*upstream.lane), self.rules.clone());
        Self {
            name: Arc::clone(&self.name),
            origin: self.origin.clone(),
            tls: self.tls.clone(),
            http2: self.http2,
            manner: Arc::clone(&self.manner),
            over: None,
            stats: Arc::clone(&self.stats),
            breakers: self.breakers.clone(),
            lane: Arc::new(lane),
            balancer: Balancer::next(self.rules.balancer, previous.map(|upstream| &upstream.balancer)),
            rules: self.rules.clone(),
            check: None,
            judge: None,
            news: Notify::new(),
        }
    }

    /// The endpoints of this moment.
    #[must_use]
    pub fn endpoints(&self) -> Arc<Endpoints> {
        self.lane.load()
    }

    /// Takes a set from the endpoint lane, unless a later one is already there. Upstreams with endpoints of their own
    /// ignore it. Says whether it was taken.
    pub fn set_endpoints(&self, set: &table::EndpointSet) -> bool {
        self.lane.set(set)
    }

    /// A new session counts its endpoint sets from the start; the current endpoints stay until it sends some.
    pub fn begin_session(&self) {
        self.lane.begin_session();
    }

    /// Chooses an endpoint, one that is not in `tried` while there is one. None = there are no endpoints.
    #[must_use]
    pub fn pick(&self, tried: &[Place]) -> Option<Picked> {
        self.pick_for(&Wish { tried, ..Wish::default() })
    }

    /// As [`Upstream::pick`], for a request that asks for more.
    #[must_use]
    pub fn pick_for(&self, wish: &Wish<'_>) -> Option<Picked> {
        let endpoints = self.lane.guard();
        self.balancer.pick(endpoints.choices(wish.labels)?, wish).map(Picked::new)
    }

    /// An endpoint answered by itself.
    pub fn answered(&self, endpoint: &Endpoint, status: impl FnOnce() -> StatusCode) {
        if let Some(judge) = &self.judge {
            judge.answered(endpoint, status());
        }
    }

    /// An endpoint did not answer; `status` is what its client gets for it.
    pub fn unanswered(&self, endpoint: &Endpoint, status: StatusCode) {
        if let Some(judge) = &self.judge {
            judge.unanswered(endpoint, status);
        }
    }

    /// Its endpoints have to be looked after: see [`care`].
    #[must_use]
    pub fn needs_care(&self) -> bool {
        self.check.is_some() || self.judge.is_some() || self.rules.slow_start.is_some()
    }

    /// Changes when connections from before must not be used any more.
    #[must_use]
    pub fn connection_epoch(&self) -> u64 {
        if self.rules.close_connections { self.lane.epoch() } else { 0 }
    }

    /// The name for the handshake with `endpoint`. What is behind a proxy is another host than the endpoint, and has the
    /// upstream's name or none.
    #[must_use]
    pub fn server_name(&self, tls: &Tls, endpoint: &Endpoint) -> ServerName<'static> {
        match self.manner.dialing.is_tunnelled() {
            true => tls.name_at(&endpoint.address),
            false => tls.server_name(endpoint),
        }
    }

    /// Whether endpoints are known. False only for a dynamic upstream whose first set has not come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lane.is_ready()
    }

    /// Waits for the first endpoint set of a dynamic upstream, at most the connect timeout. Says whether there is one.
    pub async fn wait_ready(&self) -> bool {
        self.is_ready() || tokio::time::timeout(self.manner.connect_timeout, self.lane.ready()).await.is_ok()
    }
}
