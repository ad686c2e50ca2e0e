//! The policies, in any order: `shared::policy` knows when each runs.

use super::{
    Policy, attempt_count, cors, csrf, faults, headers, host_rewrite, path_rewrite, retries, stream_limits,
    timeout,
};

/// Every policy.
pub const REGISTRY: &[&dyn Policy] = &[
    &faults::Faults,
    &cors::Cors,
    &csrf::Csrf,
    &timeout::Timeout,
    &stream_limits::StreamLimits,
    &retries::Retries,
    &attempt_count::AttemptCount,
    &path_rewrite::PathRewrite,
    &host_rewrite::HostRewrite,
    &headers::Headers,
];
