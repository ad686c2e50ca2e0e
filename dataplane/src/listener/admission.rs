//! Which connections a filter chain lets in: how many at one time, and how many in a while.
//!
//! Chains with one scope share their counts, over all threads of the process and over new configurations. Must not read
//! from a connection, nor close it: who accepted it does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use portcullis_shared::table;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use crate::policy::bucket::{Bucket, Rule};

/// See the module.
#[derive(Debug)]
pub struct Admission {
    counts: Arc<Counts>,
    connections: Option<table::ConnectionLimit>,
    bucket: Option<Arc<Bucket>>,
}

/// A connection that was let in; counted until dropped.
#[derive(Debug)]
pub struct Admitted(Arc<Counts>);

/// A connection that was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// A word for metrics.
    pub reason: &'static str,
    /// Envoy's response flags in the log of a connection that would have been passed on.
    pub flags: &'static str,
    /// How long it stays open all the same.
    pub delay: Duration,
}

impl Refusal {
    /// Waits until it is to be closed.
    pub async fn wait(&self) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }
}

/// What the chains of one scope share.
#[derive(Debug)]
struct Counts {
    active: AtomicU64,
    shown: Gauge,
    limited: Count,
    rate_limited: Count,
}

/// A count whose name does not end as OpenMetrics wants it, because Envoy's does not.
#[derive(Debug, Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl TypedMetric for Count {
    const TYPE: MetricType = MetricType::Unknown;
}

impl EncodeMetric for Count {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let count = i64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        ConstGauge::new(count).encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
        self.0.shown.dec();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLimit {
    envoy_connection_limit_prefix: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRate {
    envoy_local_network_ratelimit_prefix: String,
}

/// All scopes of the process, in Envoy's names.
#[derive(Debug, Default)]
struct Metrics {
    active: Family<OfLimit, Gauge>,
    limited: Family<OfLimit, Count>,
    rate_limited: Family<OfRate, Count>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

/// The scopes in use. Looked at when configuration is made executable, never for a connection.
static SCOPES: LazyLock<Mutex<HashMap<Box<str>, Weak<Counts>>>> = LazyLock::new(Mutex::default);

/// Shows the counts in `registry`, which must have no prefix.
pub fn register(registry: &mut Registry) {
    let it = &*METRICS;
    let help = "Connections of listeners with a limit, open now";
    registry.register("envoy_connection_limit_active_connections", help, it.active.clone());
    let help = "Connections that were one too many";
    registry.register("envoy_connection_limit_limited_connections", help, it.limited.clone());
    let help = "Connections for which there was no token";
    registry.register("envoy_local_rate_limit_rate_limited", help, it.rate_limited.clone());
}

impl Counts {
    fn shared(scope: &str) -> Arc<Self> {
        let mut scopes = SCOPES.lock();
        scopes.retain(|_, counts| counts.strong_count() > 0);
        if let Some(counts) = scopes.get(scope).and_then(Weak::upgrade) {
            return counts;
        }
        let of_limit = OfLimit { envoy_connection_limit_prefix: scope.to_owned() };
        let of_rate = OfRate { envoy_local_network_ratelimit_prefix: scope.to_owned() };
        let counts = Arc::new(Self {
            active: AtomicU64::new(0),
            shown: METRICS.active.get_or_create(&of_limit).clone(),
            limited: METRICS.limited.get_or_create(&of_limit).clone(),
            rate_limited: METRICS.rate_limited.get_or_create(&of_rate).clone(),
        });
        scopes.insert(scope.into(), Arc::downgrade(&counts));
        counts
    }
}

impl Admission {
    /// Makes it ready.
    #[must_use]
    pub fn build(config: &table::Admission) -> Arc<Self> {
        let bucket = config.rate.map(|rate| {
            let rule = Rule { max: rate.max, per_fill: rate.per_fill, interval: rate.interval };
            Bucket::shared(&format!("connections of {}", config.scope), rule)
        });
        Arc::new(Self { counts: Counts::shared(&config.scope), connections: config.connections, bucket })
    }

    /// Lets a connection in.
    ///
    /// # Errors
    /// It is one too many.
    pub fn admit(&self) -> Result<Admitted, Refusal> {
        let most = self.connections.map_or(u64::MAX, |limit| limit.max_active);
        let more = |active: u64| (active < most).then_some(active.saturating_add(1));
        // Only a count: nothing else is ordered by it.
        if self.counts.active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.counts.limited.inc();
            let delay = self.connections.map(|limit| limit.delay).unwrap_or_default();
            return Err(Refusal { reason: "listener_connection_limit", flags: "-", delay });
        }
        self.counts.shown.inc();
        let admitted = Admitted(Arc::clone(&self.counts));
        if self.bucket.as_ref().is_some_and(|bucket| !bucket.take()) {
            self.counts.rate_limited.inc();
            return Err(Refusal { reason: "listener_rate_limit", flags: "URX", delay: Duration::ZERO });
        }
        Ok(admitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(scope: &str, most: Option<u64>, tokens: Option<u32>) -> table::Admission {
        table::Admission {
            scope: scope.into(),
            connections: most
                .map(|max_active| table::ConnectionLimit { max_active, delay: Duration::from_secs(1) }),
            rate: tokens.map(|max| table::TokenBucket {
                max,
                per_fill: 1,
                interval: Duration::from_secs(3600),
            }),
        }
    }

    #[test]
    fn chains_of_a_scope_share_a_limit_also_with_their_next_form() {
        let one = Admission::build(&config("limit", Some(2), None));
        let first = one.admit().unwrap();
        let two = Admission::build(&config("limit", Some(1), None));
        let refused = two.admit().unwrap_err();
        assert_eq!((refused.reason, refused.delay), ("listener_connection_limit", Duration::from_secs(1)));
        let _second = one.admit().unwrap();
        assert!(one.admit().is_err());
        drop(first);
        assert!(one.admit().is_ok());
        assert!(Admission::build(&config("another", Some(1), None)).admit().is_ok());
    }

    #[test]
    fn a_connection_takes_a_token_and_no_place_when_there_is_none() {
        let admission = Admission::build(&config("tokens", Some(2), Some(1)));
        drop(admission.admit().unwrap());
        assert_eq!(admission.admit().unwrap_err().reason, "listener_rate_limit");
        assert_eq!(admission.counts.active.load(Ordering::Relaxed), 0);
    }
}
