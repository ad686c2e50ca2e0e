//! `stats` of virtual hosts.

use serde::Deserialize;

/// `stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// Requests that are counted apart; the first one that fits counts.
    pub virtual_clusters: Vec<VirtualCluster>,
}

/// `virtualClusters`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualCluster {
    /// Its name in metrics.
    pub name: String,
    /// An expression for the whole path with its query.
    pub pattern: String,
    /// Empty = any.
    pub method: String,
}
