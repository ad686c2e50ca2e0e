//! Counts of passed-on connections, in Envoy's names. What is counted per upstream lives with the upstream.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// All of a worker together, as Gloo has one prefix for all TCP listeners.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(super) connections: Counter,
    pub(super) received: Counter,
    pub(super) sent: Counter,
    pub(super) no_route: Counter,
    pub(super) idle_timeouts: Counter,
}

impl Metrics {
    /// Counters that show in `registry`, which must have no prefix.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_label(("envoy_tcp_prefix".into(), "tcp".into()));
        let mut show =
            |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        show("envoy_tcp_downstream_cx", "Connections that were passed on", &metrics.connections);
        show("envoy_tcp_downstream_cx_rx_bytes", "Bytes from clients", &metrics.received);
        show("envoy_tcp_downstream_cx_tx_bytes", "Bytes to clients", &metrics.sent);
        show("envoy_tcp_downstream_cx_no_route", "Connections without an upstream", &metrics.no_route);
        show("envoy_tcp_idle_timeout", "Connections closed for silence", &metrics.idle_timeouts);
        metrics
    }
}
