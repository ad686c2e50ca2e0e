//! What decides which endpoints of a set get requests, and in which shares. Data only.

use std::time::Duration;

use portcullis_shared::table::{self, LoadBalancer, SlowStart, SubsetRules};

/// The rules of one form of an upstream.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) balancer: LoadBalancer,
    /// With a smaller share of healthy endpoints, in percent, health is not looked at.
    pub(super) panic_threshold: f64,
    pub(super) slow_start: Option<SlowStart>,
    /// Ring and table are made of names, not of addresses.
    pub(super) hash_by_hostname: bool,
    pub(super) subsets: Option<SubsetRules>,
    /// There are active health checks.
    pub(super) checked: bool,
    /// Outliers are ejected.
    pub(super) judged: bool,
    /// A healthy endpoint that is gone from the set stays until its check fails.
    pub(super) keep_healthy: bool,
    /// Connections end when endpoints come or go.
    pub(super) close_connections: bool,
    /// Changes of health within this time are put in force together.
    pub(super) merge_window: Duration,
}

impl Rules {
    pub(super) fn of(config: &table::Upstream) -> Self {
        Self {
            balancer: config.load_balancer,
            panic_threshold: config.healthy_panic_threshold,
            slow_start: config.slow_start,
            hash_by_hostname: config.hash_by_hostname,
            subsets: config.subsets.clone(),
            checked: config.health_check.is_some(),
            judged: config.outlier_detection.is_some(),
            keep_healthy: config.health_check.is_some() && !config.ignore_health_on_host_removal,
            close_connections: config.close_connections_on_host_set_change,
            merge_window: config.update_merge_window,
        }
    }
}
