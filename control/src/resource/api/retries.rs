//! `retries`, on virtual host and route.

use serde::Deserialize;

use super::scalar::GoDuration;

/// When a request is tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryPolicy {
    /// Comma-separated conditions; empty = no retries.
    pub retry_on: String,
    /// Number of retries; 0 means 1.
    pub num_retries: u32,
    /// Limit of one try; absent = the route's timeout.
    pub per_try_timeout: Option<GoDuration>,
    /// Pause between tries.
    pub retry_back_off: Option<RetryBackOff>,
    /// Statuses for the condition `retriable-status-codes`.
    pub retriable_status_codes: Vec<u32>,
}

/// Pause between tries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryBackOff {
    /// First pause; needed when `maxInterval` is set.
    pub base_interval: Option<GoDuration>,
    /// Longest pause; absent = ten times the first.
    pub max_interval: Option<GoDuration>,
}
