//! The policies. Within a stage the order here is the order of execution.

use super::{Policy, headers, host_rewrite, path_rewrite, retries, timeout, transformation};

/// Every policy.
pub const REGISTRY: &[&dyn Policy] = &[
    &transformation::Early,
    &transformation::Regular,
    &timeout::Timeout,
    &retries::Retries,
    &path_rewrite::PathRewrite,
    &host_rewrite::HostRewrite,
    &headers::Headers,
];
