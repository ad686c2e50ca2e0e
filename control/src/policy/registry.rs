//! The policies, in any order: `shared::policy` knows when each runs.

use super::{
    Policy, cors, csrf, dynamic_forward_proxy, ext_auth, faults, headers, host_rewrite, lb_hash,
    path_rewrite, rate_limit, retries, shadowing, timeout, transformation,
};

/// Every policy.
pub const REGISTRY: &[&dyn Policy] = &[
    &dynamic_forward_proxy::DynamicForwardProxy,
    &faults::Faults,
    &transformation::Early,
    &cors::Cors,
    &transformation::Regular,
    &csrf::Csrf,
    &timeout::Timeout,
    &retries::Retries,
    &lb_hash::LbHash,
    &path_rewrite::PathRewrite,
    &host_rewrite::HostRewrite,
    &headers::Headers,
    &ext_auth::ExtAuth,
    &rate_limit::Local,
    &rate_limit::Early,
    &rate_limit::Regular,
    &shadowing::Shadowing,
];
