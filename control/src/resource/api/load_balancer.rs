//! `loadBalancerConfig` of an Upstream, and what subsets of its endpoints are made by.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::reference::Empty;
use super::scalar::GoDuration;

/// `loadBalancerConfig`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerConfig {
    /// With fewer healthy endpoints, in percent, health is not looked at; absent = 50, 0 = never.
    pub healthy_panic_threshold: Option<f64>,
    /// Changes of health within this time are put in force together; absent = 1 s, 0 = none are.
    pub update_merge_window: Option<GoDuration>,
    /// In turn. At most one is set, see [`LoadBalancerConfig::balancer`].
    pub round_robin: Option<RoundRobin>,
    /// The least busy of some.
    pub least_request: Option<LeastRequest>,
    /// By chance.
    pub random: Option<Random>,
    /// By the request's hash, on a ring.
    pub ring_hash: Option<RingHash>,
    /// By the request's hash, in a table.
    pub maglev: Option<Maglev>,
    /// Names take the place of addresses on rings and in tables.
    pub use_hostname_for_hashing: Option<bool>,
    /// Connections end when endpoints come or go.
    pub close_connections_on_host_set_change: Option<bool>,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant is the field of its name")]
pub enum LoadBalancer<'a> {
    RoundRobin(Option<&'a SlowStartConfig>),
    LeastRequest(&'a LeastRequest),
    Random,
    RingHash(&'a RingHash),
    Maglev,
}

impl LoadBalancerConfig {
    /// How an endpoint is chosen; round robin when nothing is set.
    pub fn balancer(&self) -> LoadBalancer<'_> {
        if self.maglev.is_some() {
            return LoadBalancer::Maglev;
        }
        match (&self.ring_hash, self.random, &self.least_request) {
            (Some(ring), _, _) => LoadBalancer::RingHash(ring),
            (None, Some(_), _) => LoadBalancer::Random,
            (None, None, Some(least)) => LoadBalancer::LeastRequest(least),
            (None, None, None) => LoadBalancer::RoundRobin(
                self.round_robin.as_ref().and_then(|robin| robin.slow_start_config.as_ref()),
            ),
        }
    }
}

/// `roundRobin`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoundRobin {
    /// New endpoints get less than their share for a while.
    pub slow_start_config: Option<SlowStartConfig>,
}

/// `leastRequest`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeastRequest {
    /// How many endpoints are compared; 0 = 2.
    pub choice_count: u32,
    /// New endpoints get less than their share for a while.
    pub slow_start_config: Option<SlowStartConfig>,
}

/// `random`.
pub type Random = Empty;

/// `maglev`.
pub type Maglev = Empty;

/// `ringHash`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RingHash {
    /// Sizes.
    pub ring_hash_config: Option<RingHashConfig>,
}

/// `ringHashConfig`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RingHashConfig {
    /// 0 = 1024.
    pub minimum_ring_size: u64,
    /// 0 = 8M, which is also the most.
    pub maximum_ring_size: u64,
}

/// `slowStartConfig`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SlowStartConfig {
    /// For so long; absent = no slow start.
    pub slow_start_window: Option<GoDuration>,
    /// Absent = 1: in a straight line.
    pub aggression: Option<f64>,
    /// At least so much of the share; absent = 10.
    pub min_weight_percent: Option<f64>,
}

/// `subsetSpec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubsetSpec {
    /// A subset for each combination of values of their keys.
    pub selectors: Vec<Selector>,
    /// Where requests go for which there is no subset.
    pub fallback_policy: FallbackPolicy,
    /// The subset of `DEFAULT_SUBSET`.
    pub default_subset: Option<Subset>,
}

/// One of `subsetSpec.selectors`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Keys.
    pub keys: Vec<String>,
    /// A subset has one member.
    pub single_host_per_subset: bool,
}

/// `fallbackPolicy`. The order is that of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum FallbackPolicy {
    #[default]
    AnyEndpoint,
    DefaultSubset,
    NoFallback,
}

/// `subset` of a destination, and `defaultSubset`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subset {
    /// Keys and values.
    pub values: BTreeMap<String, String>,
}

/// `metadata` of a static host: of each filter, whatever it understands.
pub type HostMetadata = BTreeMap<String, BTreeMap<String, MetadataValue>>;

/// A value of metadata. Only texts can be asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "they are what JSON has")]
pub enum MetadataValue {
    Text(String),
    Bool(bool),
    Number(f64),
    List(Vec<MetadataValue>),
    Fields(BTreeMap<String, MetadataValue>),
    Null(()),
}
