//! Metrics of the worker around the engine: connections, TLS, the link, the table, the actors. Request metrics are the
//! engine's. The number of series is bounded by the number of listeners and actors.

use std::sync::Arc;

use portcullis_shared::actor::Restarts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::link;
use crate::loader::{Loaded, Origin};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByListener {
    listener: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    listener: String,
    reason: &'static str,
}

/// Counters of connections.
#[derive(Debug, Default)]
pub struct Metrics {
    accepted: Family<ByListener, Counter>,
    active: Family<ByListener, Gauge>,
    refused: Family<Failure, Counter>,
    tls_failures: Family<Failure, Counter>,
    accept_errors: Counter,
}

/// An open connection; counted until dropped.
pub struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Counters that show in `registry`.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Arc<Self> {
        let metrics = Arc::new(Self::default());
        let m = &metrics;
        registry.register("downstream_connections", "Connections accepted", m.accepted.clone());
        registry.register("downstream_connections_active", "Connections open now", m.active.clone());
        registry.register(
            "downstream_connections_refused",
            "Connections closed before TLS or HTTP, by reason",
            m.refused.clone(),
        );
        registry.register(
            "downstream_tls_failures",
            "TLS handshakes that did not end in a connection, by reason",
            m.tls_failures.clone(),
        );
        registry.register(
            "downstream_accept_errors",
            "Failures to accept, most likely for want of file descriptors",
            m.accept_errors.clone(),
        );
        metrics
    }

    /// A connection begins.
    pub fn connection(&self, listener: &str) -> Open {
        let label = ByListener { listener: listener.to_owned() };
        self.accepted.get_or_create(&label).inc();
        let active = self.active.get_or_create(&label).clone();
        active.inc();
        Open(active)
    }

    /// A connection was closed before TLS or HTTP.
    pub fn refused(&self, listener: &str, reason: &'static str) {
        self.refused.get_or_create(&Failure { listener: listener.to_owned(), reason }).inc();
    }

    /// A TLS handshake failed.
    pub fn tls_failed(&self, listener: &str, reason: &'static str) {
        self.tls_failures.get_or_create(&Failure { listener: listener.to_owned(), reason }).inc();
    }

    /// accept(2) failed.
    pub fn accept_failed(&self) {
        self.accept_errors.inc();
    }
}

/// What is read from the topics when metrics are asked for.
pub struct State {
    /// What runs.
    pub loaded: watch::Receiver<Loaded>,
    /// The link's state.
    pub link: watch::Receiver<link::Status>,
    /// Actors that were restarted.
    pub restarts: Restarts,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let loaded = self.loaded.borrow().clone();
        let connected = self.link.borrow().connected;
        for (name, help, value) in [
            ("link_connected", "1 while control is linked", i64::from(connected)),
            ("table_from_cache", "1 while the table is the cached one", i64::from(loaded.is_from_cache())),
            ("table_listeners", "Listeners in the table", to_i64(loaded.listeners)),
            ("table_rejected", "Resources of the table that were rejected", to_i64(loaded.rejected)),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        if let Origin::Control { version } = loaded.origin {
            let gauge = ConstGauge::new(i64::try_from(version.seq).unwrap_or(i64::MAX));
            let help = "Sequence of the table's version in its epoch";
            gauge.encode(encoder.encode_descriptor("table_sequence", help, None, gauge.metric_type())?)?;
        }
        let restarts = ConstCounter::new(self.restarts.snapshot().values().sum::<u64>());
        let help = "Actors started again after a failure";
        restarts.encode(encoder.encode_descriptor("actor_restarts", help, None, restarts.metric_type())?)
    }
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_while_they_are_open() {
        let mut registry = Registry::with_prefix("portcullis");
        let metrics = Metrics::new(&mut registry);
        let open = metrics.connection("l");
        metrics.refused("l", "proxy_protocol");
        let text = |registry: &Registry| {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
            text
        };
        let now = text(&registry);
        assert!(now.contains("portcullis_downstream_connections_active{listener=\"l\"} 1"), "{now}");
        assert!(
            now.contains(
                "portcullis_downstream_connections_refused_total{listener=\"l\",reason=\"proxy_protocol\"} 1"
            ),
            "{now}"
        );
        drop(open);
        assert!(text(&registry).contains("portcullis_downstream_connections_active{listener=\"l\"} 0"));
    }
}
