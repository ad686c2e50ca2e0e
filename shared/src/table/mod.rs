//! The validated form of each wire resource: what control compiles and a worker runs.
//!
//! One file per kind holds the type, its invariants and the conversion from the wire, whose error names the field.
//! A value of these types is valid; nobody checks again. Users, their field names and defaults are not known here.

mod access_log;
mod admission;
mod balancing;
mod certificate;
mod circuit_breakers;
mod connections;
mod digest;
mod endpoint;
mod field;
mod health_check;
mod http;
mod label;
mod listener;
mod origin;
mod outlier_detection;
mod redirect;
mod resource;
mod route;
mod socket_option;
mod split;
mod substitution;
mod tcp;
mod upstream;
mod upstream_http;
mod virtual_host;

pub use access_log::{AccessLog, Compare, GrpcSink, JsonFormat, LogFilter, LogFormat, LogSink};
pub use admission::{Admission, ConnectionLimit, TokenBucket};
pub use balancing::{LoadBalancer, SlowStart, SubsetFallback, SubsetRules, SubsetSelector};
pub use certificate::Certificate;
pub use circuit_breakers::CircuitBreakers;
pub use connections::{Connections, HttpConnect, Preconnect, ProxyVersion, TcpKeepalive};
pub use digest::{digest, encode_upsert, upsert};
pub use endpoint::{Endpoint, EndpointSet, Place};
pub use health_check::{CheckHeader, Checker, GrpcCheck, HealthCheck, HttpCheck, TcpCheck};
pub use http::{
    ClientAddress, ClientCertificate, Codec, Collector, EscapedSlashes, ForwardClientCert, HeaderCase, Http1,
    Http2, HttpSettings, MetadataTag, Network, Paths, ServerHeader, Time, Timeouts, Tracing, Underscores,
};
pub use label::{Label, Labels};
pub use listener::{DownstreamTls, FilterChain, Listener, OcspPolicy, Serve, ServerName, TlsVersion, Tlv};
pub use origin::Origin;
pub use outlier_detection::OutlierDetection;
pub use redirect::{Redirect, RedirectPath, rewrite_prefix};
pub use resource::{Kind, Resource, identity};
pub use route::{Action, Destination, DirectResponse, Route, Target};
pub use socket_option::{KnownOption, SocketOption, SocketState, SocketValue};
pub use split::Split;
pub use substitution::RegexSubstitution;
pub use tcp::{TcpProxy, TcpTarget, Tunnel};
pub use upstream::{Upstream, UpstreamTls};
pub use upstream_http::UpstreamHttp;
pub use virtual_host::{VirtualCluster, VirtualHost, is_client_chain};
