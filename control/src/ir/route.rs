//! Virtual hosts, their flat ordered routes, and weighted splits.

use std::sync::Arc;

use bytes::Bytes;

use super::{Labels, Origin};

/// Domains and the routes that answer them.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualHost {
    /// `<namespace>_<name>`.
    pub name: Arc<str>,
    /// The VirtualService.
    pub origin: Origin,
    /// Lower case, each once.
    pub domains: Vec<Arc<str>>,
    /// The first match wins.
    pub routes: Vec<Route>,
    /// The first one that fits counts a request.
    pub virtual_clusters: Vec<VirtualCluster>,
}

/// Requests that are counted apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualCluster {
    /// Without dots.
    pub name: Arc<str>,
    /// The whole path with its query, RE2 syntax; it compiles.
    pub pattern: Arc<str>,
    /// Empty = any.
    pub method: Arc<str>,
}

/// One matcher and what happens to its requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `<vhost>-route-<i>[-<name>]-matcher-<j>`.
    pub name: Arc<str>,
    /// The VirtualService or RouteTable that holds the route.
    pub origin: Arc<Origin>,
    /// Where in its origin the route stands, for people.
    pub path: Arc<str>,
    /// Which requests.
    pub matcher: Matcher,
    /// What happens.
    pub action: Action,
    /// In execution order.
    pub policies: Vec<Policy>,
}

/// A compiled policy as it travels: opaque here, so that a new policy changes nothing in this model.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Identifies the message.
    pub type_url: Arc<str>,
    /// The encoded message.
    pub value: Bytes,
}

/// All parts must fit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matcher {
    /// The path without query.
    pub path: PathMatch,
    /// Any of; empty = every method.
    pub methods: Vec<Arc<str>>,
    /// All of.
    pub headers: Vec<HeaderMatch>,
    /// All of.
    pub query: Vec<QueryMatch>,
}

/// How the path is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum PathMatch {
    /// Plain string prefix.
    Prefix {
        /// The prefix.
        text: Arc<str>,
        /// Compare without regard to case.
        ignore_case: bool,
    },
    /// The whole path.
    Exact {
        /// The path.
        text: Arc<str>,
        /// Compare without regard to case.
        ignore_case: bool,
    },
    /// The whole path, RE2 syntax; it compiles.
    Regex(Arc<str>),
    /// CONNECT requests.
    Connect,
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix { text: "/".into(), ignore_case: false }
    }
}

/// A condition on a request header.
#[derive(Debug, Clone, PartialEq)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: Arc<str>,
    /// The condition.
    pub value: ValueMatch,
    /// The opposite.
    pub invert: bool,
}

/// A condition on a query parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryMatch {
    /// As in the query.
    pub name: Arc<str>,
    /// The condition.
    pub value: ValueMatch,
}

/// How a value is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueMatch {
    /// There is one.
    Present,
    /// Exactly this.
    Exact(Arc<str>),
    /// The whole value, RE2 syntax; it compiles.
    Regex(Arc<str>),
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It goes to an upstream.
    Forward(Target),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The gateway answers.
    DirectResponse(DirectResponse),
}

/// Where a forwarded request goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// One or more, by weight; the total is above zero.
    Destinations(Vec<Destination>),
    /// A split of its own, by name.
    Split(Arc<str>),
    /// The upstream that this request header names, lower case.
    ClusterHeader(Arc<str>),
    /// The host that the request names.
    Dynamic,
}

/// One member of a weighted list.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// Name of the upstream. One that is not in the table answers 503.
    pub upstream: Arc<str>,
    /// Share of the requests.
    pub weight: u32,
    /// These replace the route's policies of the same type.
    pub policies: Vec<Policy>,
    /// Endpoints with these labels; empty = any.
    pub subset: Labels,
}

/// A weighted list kept apart from the routes, so that a change of weights sends nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// `<name>_<namespace>`.
    pub name: Arc<str>,
    /// The UpstreamGroup.
    pub origin: Origin,
    /// The total weight is above zero.
    pub destinations: Vec<Destination>,
}

/// A location to send the client to. Absent parts keep what the request had.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Redirect {
    /// Host.
    pub host: Option<Arc<str>>,
    /// Scheme becomes https.
    pub https: bool,
    /// Port.
    pub port: Option<u16>,
    /// Path.
    pub path: Option<PathRedirect>,
    /// Status.
    pub code: RedirectCode,
    /// Drop the query.
    pub strip_query: bool,
}

/// How a redirect changes the path.
#[derive(Debug, Clone, PartialEq)]
pub enum PathRedirect {
    /// The whole path; may carry its own query.
    Path(Arc<str>),
    /// Replaces the matched prefix.
    Prefix(Arc<str>),
    /// Every match is replaced.
    Regex(Substitution),
}

/// A replacement by pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitution {
    /// RE2 syntax; it compiles.
    pub pattern: Arc<str>,
    /// With `\0`..`\9` and `\\`.
    pub substitution: Arc<str>,
}

/// Status of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectCode {
    /// 301
    #[default]
    MovedPermanently,
    /// 302
    Found,
    /// 303
    SeeOther,
    /// 307
    TemporaryRedirect,
    /// 308
    PermanentRedirect,
}

/// An answer of the gateway itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectResponse {
    /// 200..=599
    pub status: u16,
    /// Body.
    pub body: Arc<str>,
}
