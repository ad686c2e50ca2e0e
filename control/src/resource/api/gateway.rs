//! Gateway: one listener on one or more proxies.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::access_log::AccessLoggingService;
use super::csrf::CsrfPolicy;
use super::dynamic_forward_proxy::DynamicForwardProxy;
use super::ext_auth::ExtAuthSettings;
use super::grpc_json_transcoder::GrpcJsonTranscoder;
use super::http_connection::HttpConnectionManagerSettings;
use super::hybrid::HybridGateway;
use super::listener_connections::{ConnectionBalanceConfig, ConnectionLimit, ProxyProtocol, SocketOption};
use super::listener_policies::{Buffer, GrpcWeb, Gzip, ListenerHealthCheck};
use super::rate_limit::{LocalRateLimitSettings, RateLimitServerSettings, TokenBucket};
use super::reference::{Empty, Ref};
use super::selector::Expression;
use super::tcp::TcpGateway;

/// The `spec` of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateway {
    /// Address to listen on; `::` takes IPv4 and IPv6.
    pub bind_address: String,
    /// Port to listen on.
    pub bind_port: u32,
    /// Serves the VirtualServices with `sslConfig` (true) or those without (false).
    pub ssl: bool,
    /// Proxies that get this listener; empty = `gateway-proxy`.
    pub proxy_names: Vec<String>,
    /// HTTP routing.
    pub http_gateway: Option<HttpGateway>,
    /// Passing connections on. At most one of the gateways is set.
    pub tcp_gateway: Option<TcpGateway>,
    /// Several gateways, one for each connection.
    pub hybrid_gateway: Option<HybridGateway>,
    /// Listener options.
    pub options: Option<ListenerOptions>,
    /// Options of the listener's route configuration.
    pub route_options: Option<RouteConfigurationOptions>,
    /// Deprecated form of an empty `options.proxyProtocol`.
    pub use_proxy_proto: Option<bool>,
}

/// `httpGateway`: which VirtualServices the listener serves.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpGateway {
    /// Explicit list.
    pub virtual_services: Vec<Ref>,
    /// Labels that must all match.
    pub virtual_service_selector: BTreeMap<String, String>,
    /// Label expressions; win over the selector, which wins over the list.
    pub virtual_service_expressions: Option<VirtualServiceExpressions>,
    /// Namespaces for selector and expressions; empty or `*` = all.
    pub virtual_service_namespaces: Vec<String>,
    /// Options of the HTTP side.
    pub options: Option<HttpListenerOptions>,
}

/// `virtualServiceExpressions`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualServiceExpressions {
    /// Tests that must all hold.
    pub expressions: Vec<Expression>,
}

/// `httpGateway.options`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpListenerOptions {
    /// HTTP connection settings.
    pub http_connection_manager_settings: Option<HttpConnectionManagerSettings>,
    /// Requests go on when they are complete.
    pub buffer: Option<Buffer>,
    /// CSRF protection of virtual hosts that have none of their own.
    pub csrf: Option<CsrfPolicy>,
    /// Answers are compressed.
    pub gzip: Option<Gzip>,
    /// Requests with JSON become gRPC calls.
    pub grpc_json_transcoder: Option<GrpcJsonTranscoder>,
    /// gRPC-web.
    pub grpc_web: Option<GrpcWeb>,
    /// The gateway answers for itself on one path.
    pub health_check: Option<ListenerHealthCheck>,
    /// What Envoy's router adds.
    pub router: Option<ListenerRouter>,
    /// How headers are checked.
    pub header_validation_settings: Option<HeaderValidationSettings>,
    /// Routes may send requests to the host that they name.
    pub dynamic_forward_proxy: Option<DynamicForwardProxy>,
    /// The auth server, in place of that of Settings.
    pub extauth: Option<ExtAuthSettings>,
    /// The rate limit server, in place of that of Settings.
    pub ratelimit_server: Option<RateLimitServerSettings>,
    /// Token buckets of HTTP requests.
    pub http_local_ratelimit: Option<LocalRateLimitSettings>,
    /// How many connections there may be.
    pub connection_limit: Option<ConnectionLimit>,
    /// A token bucket of connections.
    pub network_local_ratelimit: Option<TokenBucket>,
}

/// `router`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerRouter {
    /// No `x-envoy-*` is added to requests and answers.
    pub suppress_envoy_headers: Option<bool>,
}

/// `headerValidationSettings`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderValidationSettings {
    /// Methods that nobody has registered are served; here they always are.
    pub disable_http1_method_validation: Option<Empty>,
}

/// `options` of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerOptions {
    /// Connections begin with a PROXY protocol header, version 1 or 2.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// What is written about each request.
    pub access_logging_service: Option<AccessLoggingService>,
    /// What is written about each connection.
    pub listener_access_logging_service: Option<AccessLoggingService>,
    /// What a connection may keep in memory; absent = 1 MiB.
    pub per_connection_buffer_limit_bytes: Option<u32>,
    /// Of the sockets that listen.
    pub socket_options: Vec<SocketOption>,
    /// How connections are spread over threads.
    pub connection_balance_config: Option<ConnectionBalanceConfig>,
}

/// `routeOptions` of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteConfigurationOptions {
    /// Limit for the body of a direct response; absent = 4096.
    pub max_direct_response_body_size_bytes: Option<u32>,
    /// Reverses the order of header manipulation, so that the most specific level has the last word.
    pub most_specific_header_mutations_wins: Option<bool>,
}
