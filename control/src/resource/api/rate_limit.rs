//! Rate limits: token buckets of the proxy, and the user's own rate limit server.

use serde::Deserialize;

use super::ext_auth::GrpcService;
use super::reference::{Empty, Ref};
use super::scalar::GoDuration;

/// A bucket that requests take tokens from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenBucket {
    /// Its size, and what is in it at first.
    pub max_tokens: u32,
    /// Tokens that come with each interval; absent = 1.
    pub tokens_per_fill: Option<u32>,
    /// Absent = 1 s; 50 ms at least.
    pub fill_interval: Option<GoDuration>,
}

/// `httpLocalRatelimit` of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalRateLimitSettings {
    /// For requests whose virtual host and route have none.
    pub default_limit: Option<TokenBucket>,
    /// Each client connection has buckets of its own.
    pub local_rate_limit_per_downstream_connection: Option<bool>,
    /// Answers say how much is left.
    pub enable_x_ratelimit_headers: Option<bool>,
}

/// `ratelimitServer` of Settings and of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitServerSettings {
    /// Upstream of the server.
    pub ratelimit_server_ref: Option<Ref>,
    /// Limit of a question; absent = 100 ms.
    pub request_timeout: Option<GoDuration>,
    /// Requests are denied when the server does not answer.
    pub deny_on_fail: bool,
    /// Answers say how much is left.
    pub enable_x_ratelimit_headers: bool,
    /// `ratelimit` counts requests before authentication.
    pub rate_limit_before_auth: bool,
    /// gRPC, which it is anyway.
    pub grpc_service: Option<GrpcService>,
}

/// `ratelimit`, `ratelimitEarly`, `ratelimitRegular` of a virtual host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitVhostExtension {
    /// Questions to the server.
    pub rate_limits: Vec<RateLimitActions>,
    /// A bucket, in place of the listener's.
    pub local_ratelimit: Option<TokenBucket>,
}

/// `ratelimit`, `ratelimitEarly`, `ratelimitRegular` of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitRouteExtension {
    /// The virtual host's questions are asked as well.
    pub include_vh_rate_limits: bool,
    /// Questions to the server.
    pub rate_limits: Vec<RateLimitActions>,
    /// A bucket, in place of the virtual host's.
    pub local_ratelimit: Option<TokenBucket>,
}

/// One question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitActions {
    /// What it consists of, in this order.
    pub actions: Vec<RateLimitAction>,
    /// What another question consists of, for a server that looks at it as a set.
    pub set_actions: Vec<RateLimitAction>,
    /// Where a request may bring its limit.
    pub limit: Option<RateLimitLimit>,
}

/// `limit`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitLimit {
    /// In the metadata of the request.
    pub dynamic_metadata: Option<DynamicMetadataLimit>,
}

/// `limit.dynamicMetadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DynamicMetadataLimit {
    /// There.
    pub metadata_key: Option<MetadataKey>,
}

/// One part of a question. One member is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitAction {
    /// The name of the proxy's own cluster.
    pub source_cluster: Option<Empty>,
    /// The upstream that the request goes to.
    pub destination_cluster: Option<Empty>,
    /// A request header.
    pub request_headers: Option<RateLimitRequestHeaders>,
    /// The client's address.
    pub remote_address: Option<Empty>,
    /// Always the same.
    pub generic_key: Option<RateLimitGenericKey>,
    /// Whether headers match.
    pub header_value_match: Option<RateLimitHeaderValueMatch>,
    /// Metadata of the request or of the route.
    pub metadata: Option<RateLimitMetadata>,
}

/// `requestHeaders`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitRequestHeaders {
    /// Whose value counts. Without it there is no question.
    pub header_name: String,
    /// Key of the entry.
    pub descriptor_key: String,
}

/// `genericKey`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitGenericKey {
    /// Value of the entry.
    pub descriptor_value: String,
}

/// `headerValueMatch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitHeaderValueMatch {
    /// Value of the entry.
    pub descriptor_value: String,
    /// Whether they shall match; absent = yes.
    pub expect_match: Option<bool>,
    /// All of them.
    pub headers: Vec<RateLimitHeaderMatcher>,
}

/// A condition on a header. One member beside the name is set; none = it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitHeaderMatcher {
    /// The header.
    pub name: String,
    /// The whole value.
    pub exact_match: Option<String>,
    /// The whole value, by expression.
    pub regex_match: Option<String>,
    /// A whole number.
    pub range_match: Option<Int64Range>,
    /// There or not.
    pub present_match: Option<bool>,
    /// How it begins.
    pub prefix_match: Option<String>,
    /// How it ends.
    pub suffix_match: Option<String>,
    /// The opposite.
    pub invert_match: bool,
}

/// From `start` to below `end`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Int64Range {
    /// In it.
    pub start: i64,
    /// Not in it.
    pub end: i64,
}

/// `metadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitMetadata {
    /// Key of the entry.
    pub descriptor_key: String,
    /// Where the value is.
    pub metadata_key: Option<MetadataKey>,
    /// When it is not there.
    pub default_value: String,
    /// Whose metadata.
    pub source: MetadataSource,
}

/// `metadata.source`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum MetadataSource {
    /// Of the request.
    #[default]
    #[serde(rename = "DYNAMIC")]
    Dynamic,
    /// Of the route.
    #[serde(rename = "ROUTE_ENTRY")]
    RouteEntry,
}

/// `metadataKey`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetadataKey {
    /// The namespace.
    pub key: String,
    /// The way from there.
    pub path: Vec<PathSegment>,
}

/// One step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathSegment {
    /// A field.
    pub key: String,
}
