//! `faults` of a route.

use serde::Deserialize;

use super::scalar::GoDuration;

/// Faults that are put into requests, to see how the rest of a system takes them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteFaults {
    /// Answers in place of the upstream.
    pub abort: Option<RouteAbort>,
    /// A pause before the request goes on.
    pub delay: Option<RouteDelay>,
}

/// `faults.abort`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteAbort {
    /// Of the requests, 0 to 100.
    pub percentage: f32,
    /// Status of the answer, 200 to 599.
    pub http_status: u32,
}

/// `faults.delay`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteDelay {
    /// Of the requests, 0 to 100.
    pub percentage: f32,
    /// The pause; at least a second.
    pub fixed_delay: Option<GoDuration>,
}
