//! Options of virtual hosts, routes and weighted destinations.

use serde::Deserialize;

use super::cors::{CorsPolicy, CorsPolicyMergeSettings};
use super::csrf::CsrfPolicy;
use super::envoy_metadata::EnvoyMetadata;
use super::ext_auth::ExtAuthExtension;
use super::faults::RouteFaults;
use super::headers::HeaderManipulation;
use super::lb_hash::LbHash;
use super::listener_policies::BufferPerRoute;
use super::rate_limit::{RateLimitRouteExtension, RateLimitVhostExtension};
use super::reference::Ref;
use super::retries::RetryPolicy;
use super::rewrite::RegexMatchAndSubstitute;
use super::scalar::GoDuration;
use super::shadowing::RouteShadowing;
use super::stats::Stats;
use super::transformation::{TransformationStages, Transformations};
use super::upgrades::{ProtocolUpgradeConfig, RouteTracingSettings};

/// `virtualHost.options`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualHostOptions {
    /// Retries of routes that have none of their own.
    pub retries: Option<RetryPolicy>,
    /// Requests that are counted apart.
    pub stats: Option<Stats>,
    /// Upstreams are told the number of the try.
    pub include_request_attempt_count: Option<bool>,
    /// Clients are told the number of tries.
    pub include_attempt_count_in_response: Option<bool>,
    /// Header manipulation of the virtual host level.
    pub header_manipulation: Option<HeaderManipulation>,
    /// Whether the auth server is asked.
    pub extauth: Option<ExtAuthExtension>,
    /// Rate limits, where the server's settings say.
    pub ratelimit: Option<RateLimitVhostExtension>,
    /// Rate limits before authentication.
    pub ratelimit_early: Option<RateLimitVhostExtension>,
    /// Rate limits after authentication.
    pub ratelimit_regular: Option<RateLimitVhostExtension>,
    /// CORS of routes, field by field where they have one of their own.
    pub cors: Option<CorsPolicy>,
    /// How a route's CORS and the one above become one.
    pub cors_policy_merge_settings: Option<CorsPolicyMergeSettings>,
    /// CSRF protection of routes that have none of their own.
    pub csrf: Option<CsrfPolicy>,
    /// How requests are buffered, where the listener has a `buffer`.
    pub buffer_per_route: Option<BufferPerRoute>,
    /// Transformations in stages; those of a route replace those of its virtual host as a whole.
    pub staged_transformations: Option<TransformationStages>,
    /// The older form of the regular stage; counts where `stagedTransformations` has none.
    pub transformations: Option<Transformations>,
}

/// `options` of a route.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteOptions {
    /// Replaces the matched prefix, or the whole path of an exact or regex matcher.
    pub prefix_rewrite: Option<String>,
    /// Replaces every match in the path.
    pub regex_rewrite: Option<RegexMatchAndSubstitute>,
    /// Host towards the upstream. One of four host rewrites at most is set.
    pub host_rewrite: Option<String>,
    /// Host = the name of the chosen endpoint.
    pub auto_host_rewrite: Option<bool>,
    /// Host computed from the path.
    pub host_rewrite_path_regex: Option<RegexMatchAndSubstitute>,
    /// Host = the value of that request header.
    pub host_rewrite_header: Option<String>,
    /// With a host rewrite, the old Host goes to `x-forwarded-host`.
    pub append_x_forwarded_host: Option<bool>,
    /// Limit of the whole exchange with retries; absent = 15 s, 0 = none.
    pub timeout: Option<GoDuration>,
    /// Longest silence; absent = the listener's, 0 = no limit.
    pub idle_timeout: Option<GoDuration>,
    /// Longest life of a request.
    pub max_stream_duration: Option<MaxStreamDuration>,
    /// Retries.
    pub retries: Option<RetryPolicy>,
    /// Header manipulation of the route level.
    pub header_manipulation: Option<HeaderManipulation>,
    /// Whether the auth server is asked.
    pub extauth: Option<ExtAuthExtension>,
    /// Rate limits, where the server's settings say.
    pub ratelimit: Option<RateLimitRouteExtension>,
    /// Rate limits before authentication.
    pub ratelimit_early: Option<RateLimitRouteExtension>,
    /// Rate limits after authentication.
    pub ratelimit_regular: Option<RateLimitRouteExtension>,
    /// Copies to another upstream.
    pub shadowing: Option<RouteShadowing>,
    /// Notes for rate limits, tags of traces and format operators.
    pub envoy_metadata: Option<EnvoyMetadata>,
    /// CORS.
    pub cors: Option<CorsPolicy>,
    /// CSRF protection.
    pub csrf: Option<CsrfPolicy>,
    /// How requests are buffered, where the listener has a `buffer`.
    pub buffer_per_route: Option<BufferPerRoute>,
    /// Protocols that requests may change to.
    pub upgrades: Option<Vec<ProtocolUpgradeConfig>>,
    /// How requests show in traces.
    pub tracing: Option<RouteTracingSettings>,
    /// What makes two requests go to the same endpoint.
    pub lb_hash: Option<LbHash>,
    /// Faults that are put into requests.
    pub faults: Option<RouteFaults>,
    /// Transformations in stages; those of a route replace those of its virtual host as a whole.
    pub staged_transformations: Option<TransformationStages>,
    /// The older form of the regular stage; counts where `stagedTransformations` has none.
    pub transformations: Option<Transformations>,
}

/// `maxStreamDuration` of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MaxStreamDuration {
    /// The limit; 0 = none.
    pub max_stream_duration: Option<GoDuration>,
    /// Its presence makes `grpc-timeout` the limit, up to this; 0 = whatever it says.
    pub grpc_timeout_header_max: Option<GoDuration>,
    /// Taken off `grpc-timeout`.
    pub grpc_timeout_header_offset: Option<GoDuration>,
}

/// `options` of a weighted destination.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightedDestinationOptions {
    /// Header manipulation of the destination level.
    pub header_manipulation: Option<HeaderManipulation>,
    /// Whether the auth server is asked.
    pub extauth: Option<ExtAuthExtension>,
    /// CSRF protection.
    pub csrf: Option<CsrfPolicy>,
    /// How requests are buffered, where the listener has a `buffer`.
    pub buffer_per_route: Option<BufferPerRoute>,
    /// Transformations in stages; those of a route replace those of its virtual host as a whole.
    pub staged_transformations: Option<TransformationStages>,
    /// The older form of the regular stage; counts where `stagedTransformations` has none.
    pub transformations: Option<Transformations>,
}

/// `optionsConfigRefs`: VirtualHostOption or RouteOption objects whose options are merged in; inline options win, and
/// earlier references win over later ones.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelegateOptionsRefs {
    /// The objects.
    pub delegate_options: Vec<Ref>,
}
