//! The policies, in any order: `shared::policy` knows when each runs.

use super::{
    Policy, attempt_count, buffer, cors, csrf, dynamic_forward_proxy, ext_auth, faults, grpc_web, gzip,
    headers, health_check, host_rewrite, lb_hash, metadata, path_rewrite, rate_limit, retries, shadowing,
    stream_limits, timeout, tracing, transformation, upgrades,
};

/// Every policy.
pub const REGISTRY: &[&dyn Policy] = &[
    &gzip::Gzip,
    &dynamic_forward_proxy::DynamicForwardProxy,
    &faults::Faults,
    &grpc_web::GrpcWeb,
    &health_check::HealthCheck,
    &buffer::Buffer,
    &transformation::Early,
    &cors::Cors,
    &transformation::Regular,
    &csrf::Csrf,
    &upgrades::Upgrades,
    &tracing::Tracing,
    &timeout::Timeout,
    &stream_limits::StreamLimits,
    &retries::Retries,
    &attempt_count::AttemptCount,
    &lb_hash::LbHash,
    &path_rewrite::PathRewrite,
    &host_rewrite::HostRewrite,
    &headers::Headers,
    &metadata::Metadata,
    &ext_auth::ExtAuth,
    &rate_limit::Local,
    &rate_limit::Early,
    &rate_limit::Regular,
    &shadowing::Shadowing,
];
