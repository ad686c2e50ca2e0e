//! The user API as types, with the field names that users write.
//!
//! A plain field (`String`, `bool`, number, list, map) is one that cannot tell "absent" from its zero value; an
//! `Option` is one that can: messages, wrapper values and members of a oneof. Of a oneof at most one member is set
//! when an object leaves the decoder. Nothing here has defaults beyond zero, resolves references or checks values.
//!
//! The struct's name is the key of the field catalogue (`decode::catalogue`), which knows the fields that are not
//! served yet; a field that becomes supported moves from there to here.

mod access_log;
mod connection_config;
mod cors;
mod csrf;
mod dynamic_forward_proxy;
mod envoy_metadata;
mod ext_auth;
mod faults;
mod gateway;
mod grpc_json_transcoder;
mod headers;
mod health_check;
mod http_connection;
mod hybrid;
mod lb_hash;
mod listener_connections;
mod listener_policies;
mod load_balancer;
mod option_objects;
mod options;
mod rate_limit;
mod reference;
mod retries;
mod rewrite;
mod route;
mod scalar;
mod sds;
mod secret;
mod selector;
mod settings;
mod shadowing;
mod ssl;
mod stats;
mod tcp;
mod transformation;
mod upgrades;
mod upstream;
mod virtual_service;

pub use access_log::{
    AccessLog, AccessLogFilter, AccessLoggingService, ComparedFilter, ComparisonFilter, ComparisonOp,
    Denominator, EnvoyHeaderMatcher, FileSink, FilterList, FractionalPercent, GoogleRe2,
    GrpcAccessLogService, GrpcStatus, GrpcStatusFilter, HeaderFilter, NoFields, RangeMatch,
    ResponseFlagFilter, RuntimeFilter, RuntimeUint32, SafeRegex,
};
pub use connection_config::{
    ClusterProtocolSelection, ConnectionConfig, Http1ProtocolOptions, HttpConnectHeader, HttpProtocolOptions,
    PreconnectPolicy, TcpKeepAlive, UpstreamUnderscoresAction,
};
pub use cors::{CorsPolicy, CorsPolicyMergeSettings, MergeStrategy};
pub use csrf::{CsrfPolicy, RuntimeFractionalPercent, StringMatcher};
pub use dynamic_forward_proxy::{
    CaresDns, DnsCacheConfig, DnsLookupFamily, DnsResolverOptions, DynamicForwardProxy, PerRouteConfig,
    RefreshRate, ResolverAddress, SocketAddress,
};
pub use envoy_metadata::EnvoyMetadata;
pub use ext_auth::{
    ApiVersion, BufferSettings, CustomAuth, ExtAuthExtension, ExtAuthHttpRequest, ExtAuthHttpResponse,
    ExtAuthHttpService, ExtAuthSettings, GrpcService,
};
pub use faults::{RouteAbort, RouteDelay, RouteFaults};
pub use gateway::{Gateway, HttpGateway, HttpListenerOptions, ListenerOptions, RouteConfigurationOptions};
pub use gateway::{HeaderValidationSettings, ListenerRouter, VirtualServiceExpressions};
pub use grpc_json_transcoder::{GrpcJsonTranscoder, PrintOptions, ServiceSpec};
pub use headers::{HeaderManipulation, HeaderValue, HeaderValueOption};
pub use health_check::{
    CheckMethod, GrpcHealthCheck, HealthCheck, HealthChecker, HttpHealthCheck, OutlierDetection, Payload,
    TcpHealthCheck,
};
pub use http_connection::{
    CidrRange, CodecType, EarlyHeaderManipulation, EnvironmentTag, ForwardClientCertDetails,
    HeadersWithUnderscoresAction, Http2ProtocolOptions, HttpConnectionManagerSettings, InternalAddressConfig,
    ListenerTracing, LiteralTag, MetadataTag, MetadataTagKind, MetadataTagValue, OpenTelemetryConfig,
    PathWithEscapedSlashesAction, ServerHeaderTransformation, SetCurrentClientCertDetails, TracePercentages,
    UuidRequestIdConfig,
};
pub use hybrid::{
    ConnectionMatcher, DelegatedHttpGateway, DelegatedTcpGateway, GatewaySelector, HybridGateway,
    MatchableHttpGateway, MatchableTcpGateway, MatchedGateway,
};
pub use lb_hash::{HashCookie, HashKey, HashPolicy, LbHash};
pub use listener_connections::{
    ConnectionBalanceConfig, ConnectionLimit, ProxyProtocol, ProxyProtocolRule, SocketOption, SocketState,
    TlvMetadata, TunnelingConfig,
};
pub use listener_policies::{
    Buffer, BufferPerRoute, CompressionLevel, CompressionStrategy, GrpcWeb, Gzip, ListenerHealthCheck,
};
pub use load_balancer::{
    FallbackPolicy, HostMetadata, LeastRequest, LoadBalancer, LoadBalancerConfig, Maglev, MetadataValue,
    Random, RingHash, RingHashConfig, RoundRobin, Selector, SlowStartConfig, Subset, SubsetSpec,
};
pub use option_objects::{RouteOption, VirtualHostOption};
pub use options::{
    DelegateOptionsRefs, MaxStreamDuration, RouteOptions, VirtualHostOptions, WeightedDestinationOptions,
};
pub use rate_limit::{
    DynamicMetadataLimit, Int64Range, LocalRateLimitSettings, MetadataKey, MetadataSource, PathSegment,
    RateLimitAction, RateLimitActions, RateLimitGenericKey, RateLimitHeaderMatcher,
    RateLimitHeaderValueMatch, RateLimitLimit, RateLimitMetadata, RateLimitRequestHeaders,
    RateLimitRouteExtension, RateLimitServerSettings, RateLimitVhostExtension, TokenBucket,
};
pub use reference::{Empty, Ref};
pub use retries::{RateLimitedRetryBackOff, ResetHeader, ResetHeaderFormat, RetryBackOff, RetryPolicy};
pub use rewrite::{Regex, RegexMatchAndSubstitute, RegexProgram};
pub use route::{
    Action, DelegateAction, Destination, DestinationKind, DirectResponseAction, HeaderMatcher, Matcher,
    MultiDestination, PathSpecifier, QueryParameterMatcher, RedirectAction, RedirectCode, RedirectPath,
    Route, RouteAction, RouteTarget, WeightedDestination,
};
pub use scalar::{Base64, GoDuration};
pub use sds::{CallCredentials, FileCredentialSource, SdsConfig};
pub use secret::{Secret, TlsSecret};
pub use selector::{Expression, Operator, RouteTableSelector};
pub use settings::{GatewaySettings, GlooSettings, InvalidConfigPolicy, Settings, VirtualServiceDefaults};
pub use shadowing::RouteShadowing;
pub use ssl::{
    InlineKey, KeyFile, OcspStaplePolicy, ProtocolVersion, SslConfig, SslFiles, SslParameters,
    UpstreamSslConfig,
};
pub use stats::{Stats, VirtualCluster};
pub use tcp::{TcpAction, TcpGateway, TcpHost, TcpListenerOptions, TcpProxySettings, TcpTarget};
pub use transformation::{
    DynamicMetadataValue, Extraction, ExtractionMode, HeaderBodyTransform, HeaderToAppend, InjaTemplate,
    MergeJsonKeys, OverridableTemplate, RequestBodyParse, RequestMatch, RequestResponseTransformations,
    ResponseMatch, SpanTransformer, Transformation, TransformationStages, TransformationTemplate,
    Transformations,
};
pub use upgrades::{ProtocolUpgradeConfig, ProtocolUpgradeSpec, RouteTracingSettings};
pub use upstream::{
    CircuitBreakerConfig, DiscoveryMetadata, PipeUpstream, StaticHost, StaticUpstream, Upstream,
    UpstreamGroup, UpstreamType,
};
pub use virtual_service::{RouteTable, VirtualHost, VirtualService};
