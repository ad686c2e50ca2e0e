//! What identifies a user resource: its kind, namespace and name.

use std::fmt;
use std::sync::Arc;

/// The kinds of the user API that Portcullis serves. The order is the order of listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One listener on one or more proxies.
    Gateway,
    /// An HTTP part of hybrid Gateways.
    MatchableHttpGateway,
    /// A TCP part of hybrid Gateways.
    MatchableTcpGateway,
    /// Domains and their routes.
    VirtualService,
    /// Routes that others delegate to.
    RouteTable,
    /// Where traffic goes.
    Upstream,
    /// A weighted list of destinations kept in one place.
    UpstreamGroup,
    /// Virtual host options that several VirtualServices share.
    VirtualHostOption,
    /// Route options that several routes share.
    RouteOption,
    /// TLS material.
    Secret,
    /// Settings of the installation.
    Settings,
}

impl Kind {
    /// Every kind, in the order of listings.
    pub const ALL: [Kind; 11] = [
        Kind::Gateway,
        Kind::MatchableHttpGateway,
        Kind::MatchableTcpGateway,
        Kind::VirtualService,
        Kind::RouteTable,
        Kind::Upstream,
        Kind::UpstreamGroup,
        Kind::VirtualHostOption,
        Kind::RouteOption,
        Kind::Secret,
        Kind::Settings,
    ];

    /// The `kind` as written in a document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Gateway => "Gateway",
            Kind::MatchableHttpGateway => "MatchableHttpGateway",
            Kind::MatchableTcpGateway => "MatchableTcpGateway",
            Kind::VirtualService => "VirtualService",
            Kind::RouteTable => "RouteTable",
            Kind::Upstream => "Upstream",
            Kind::UpstreamGroup => "UpstreamGroup",
            Kind::VirtualHostOption => "VirtualHostOption",
            Kind::RouteOption => "RouteOption",
            Kind::Secret => "Secret",
            Kind::Settings => "Settings",
        }
    }

    /// The plural, as in folder names and on the command line.
    pub const fn plural(self) -> &'static str {
        match self {
            Kind::Gateway => "gateways",
            Kind::MatchableHttpGateway => "httpgateways",
            Kind::MatchableTcpGateway => "tcpgateways",
            Kind::VirtualService => "virtualservices",
            Kind::RouteTable => "routetables",
            Kind::Upstream => "upstreams",
            Kind::UpstreamGroup => "upstreamgroups",
            Kind::VirtualHostOption => "virtualhostoptions",
            Kind::RouteOption => "routeoptions",
            Kind::Secret => "secrets",
            Kind::Settings => "settings",
        }
    }

    /// The `apiVersion` that belongs to the kind.
    pub const fn api_version(self) -> &'static str {
        match self {
            Kind::Gateway
            | Kind::MatchableHttpGateway
            | Kind::MatchableTcpGateway
            | Kind::VirtualService
            | Kind::RouteTable
            | Kind::VirtualHostOption
            | Kind::RouteOption => "gateway.solo.io/v1",
            Kind::Upstream | Kind::UpstreamGroup | Kind::Settings => "gloo.solo.io/v1",
            Kind::Secret => "v1",
        }
    }

    /// The kind of that exact name.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The kind of that plural.
    pub fn from_plural(plural: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.plural() == plural)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One resource by kind, namespace and name. Prints as `VirtualService gloo-system.main`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace, never empty.
    pub namespace: Arc<str>,
    /// Its name, never empty.
    pub name: Arc<str>,
}

impl ObjectRef {
    /// The reference with these three parts.
    pub fn new(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> ObjectRef {
        ObjectRef { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.kind, self.namespace, self.name)
    }
}
