//! The policies, in any order: `shared::policy` knows when each runs.

use super::{Policy, ext_auth, headers, host_rewrite, path_rewrite, retries, timeout};

/// Every policy.
pub const REGISTRY: &[&dyn Policy] = &[
    &timeout::Timeout,
    &retries::Retries,
    &path_rewrite::PathRewrite,
    &host_rewrite::HostRewrite,
    &headers::Headers,
    &ext_auth::ExtAuth,
];
