//! The validated model between what users write and what travels: references are resolved, delegation is flattened,
//! options are effective, order is final.
//!
//! An `Ir` exists only if it is valid, so nothing here can fail. It knows neither the field names of users
//! (`resource`) nor protobuf, and holds names of certificates, never their bytes.

mod balancing;
mod certificate;
mod connections;
mod health;
mod listener;
mod route;
mod tls;
mod upstream;

pub use balancing::{Balancer, Balancing, Fallback, Labels, SlowStart, Subsets};
pub use certificate::{CertificateSource, KeySource, Sds, SdsToken};
pub use connections::{
    ConnectHeader, Connections, HeaderCase, HttpConnect, Preconnect, ProxyVersion, TcpKeepalive, UpstreamHttp,
};
pub use health::{CheckHeader, Checker, HealthCheck, HttpCheck, OutlierDetection};
pub use listener::{FilterChain, Listener, Serve, TcpProxy, TcpTarget};
pub use route::{
    Action, Destination, DirectResponse, HeaderMatch, Matcher, PathMatch, PathRedirect, Policy, QueryMatch,
    Redirect, RedirectCode, Route, Split, Substitution, Target, ValueMatch, VirtualHost,
};
pub use tls::{DownstreamTls, OcspPolicy, TlsParameters, TlsVersion, UpstreamTls};
pub use upstream::{CircuitBreakers, Endpoint, Endpoints, Upstream};

use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that the proxies of one snapshot run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ir {
    /// By proxy name.
    pub proxies: BTreeMap<Arc<str>, Proxy>,
    /// By wire name. Every proxy gets all of them, because a `clusterHeader` route may name any.
    pub upstreams: Arc<BTreeMap<Arc<str>, Arc<Upstream>>>,
    /// By wire name; shared by the proxies like the upstreams.
    pub splits: BTreeMap<Arc<str>, Arc<Split>>,
}

/// The listeners of one proxy and the virtual hosts behind them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proxy {
    /// In order of name.
    pub listeners: Vec<Arc<Listener>>,
    /// In order of name; names are unique.
    pub hosts: Vec<Placement>,
}

/// A virtual host and where it is served. Apart from the host itself, so that the host is shared while gateways change.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// Unique within the proxy.
    pub name: Arc<str>,
    /// The host; its own name equals `name` unless two gateways need it in different forms.
    pub host: Arc<VirtualHost>,
    /// Route configurations that serve it, sorted.
    pub route_configs: Arc<[Arc<str>]>,
    /// A plain request is redirected to https.
    pub require_tls: bool,
}

/// The user's resource that something was made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Kind of the resource, for people.
    pub kind: &'static str,
    /// Namespace of the resource.
    pub namespace: Arc<str>,
    /// Name of the resource.
    pub name: Arc<str>,
}
