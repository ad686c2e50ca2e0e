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
    /// Pause that an answer asks for.
    pub rate_limited_retry_back_off: Option<RateLimitedRetryBackOff>,
    /// Endpoints of other priorities. There is only one priority, so that it has no effect.
    pub previous_priorities: Option<PreviousPriorities>,
}

/// `rateLimitedRetryBackOff`: answers say when to come again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitedRetryBackOff {
    /// Where they say it; the first one that does counts.
    pub reset_headers: Vec<ResetHeader>,
    /// One that asks for longer is not believed; absent = 5 minutes.
    pub max_interval: Option<GoDuration>,
}

/// A header that says when to come again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetHeader {
    /// Its name.
    pub name: String,
    /// What its value is.
    pub format: ResetHeaderFormat,
}

/// What the value of a reset header is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum ResetHeaderFormat {
    #[default]
    Seconds,
    UnixTimestamp,
}

/// `previousPriorities`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PreviousPriorities {
    /// Retries between changes of the priority; absent = 1.
    pub update_frequency: Option<i32>,
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
