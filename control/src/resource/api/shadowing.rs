//! `shadowing` of a route: copies of its requests to another upstream.

use serde::Deserialize;

use super::reference::Ref;

/// `shadowing`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteShadowing {
    /// Where the copies go.
    pub upstream: Option<Ref>,
    /// How many of the requests, 0 to 100.
    pub percentage: f32,
    /// The copy's host stays without `-shadow`.
    pub disable_shadow_host_suffix_append: Option<bool>,
    /// The copy's host.
    pub host_rewrite_literal: String,
}
