//! The policies, in any order: `shared::policy` knows when each runs.

use super::{Policy, cors, csrf, faults, headers, host_rewrite, path_rewrite, retries, timeout};

/// Every policy.
pub const REGISTRY: &[&dyn Policy] = &[
    &faults::Faults,
    &cors::Cors,
    &csrf::Csrf,
    &timeout::Timeout,
    &retries::Retries,
    &path_rewrite::PathRewrite,
    &host_rewrite::HostRewrite,
    &headers::Headers,
];
