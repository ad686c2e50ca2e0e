//! How one of an upstream's endpoints is chosen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Keys and values.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Balancing {
    /// The way.
    pub balancer: Balancer,
    /// New endpoints get less than their share for a while.
    pub slow_start: Option<SlowStart>,
    /// Percent; `None` = the worker's default.
    pub healthy_panic_threshold: Option<f64>,
    /// Changes of health within this time are put in force together; `None` = the worker's default.
    pub update_merge_window: Option<Duration>,
    /// Names take the place of addresses on rings and in tables.
    pub hash_by_hostname: bool,
    /// Connections end when endpoints come or go.
    pub close_connections_on_host_set_change: bool,
    /// Groups of endpoints that destinations can ask for.
    pub subsets: Option<Subsets>,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balancer {
    /// One after the other, by weight.
    #[default]
    RoundRobin,
    /// The least loaded of `choices` random ones.
    LeastRequest {
        /// At least 2.
        choices: u32,
    },
    /// Any.
    Random,
    /// By the request's hash, on a ring.
    RingHash {
        /// 0 = the worker's default.
        minimum: u64,
        /// 0 = the worker's default.
        maximum: u64,
    },
    /// By the request's hash, in a table.
    Maglev,
}

/// New endpoints get less than their share for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStart {
    /// For so long.
    pub window: Duration,
    /// Above 0.
    pub aggression: f64,
    /// Percent.
    pub min_weight_percent: f64,
}

/// Groups of endpoints by their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subsets {
    /// Keys, sorted, and whether a group has one member only.
    pub selectors: Vec<(Vec<Arc<str>>, bool)>,
    /// For requests for which there is no group.
    pub fallback: Fallback,
}

/// See [`Subsets::fallback`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// All endpoints.
    Any,
    /// Those with these labels.
    Default(Labels),
    /// None of them.
    None,
}
