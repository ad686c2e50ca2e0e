//! A route: matchers, an action, options.

use serde::Deserialize;

use super::dynamic_forward_proxy::PerRouteConfig;
use super::load_balancer::Subset;
use super::options::{DelegateOptionsRefs, RouteOptions, WeightedDestinationOptions};
use super::reference::{Empty, Ref};
use super::rewrite::RegexMatchAndSubstitute;
use super::selector::RouteTableSelector;

/// A route of a VirtualService or RouteTable.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Route {
    /// Any of them must match; none = prefix `/`.
    pub matchers: Vec<Matcher>,
    /// A child route takes over the parent's header, query and method matchers.
    pub inheritable_matchers: Option<bool>,
    /// A child route takes over the parent's path and caseSensitive.
    pub inheritable_path_matchers: Option<bool>,
    /// Forward. At most one of the four actions is set, see [`Route::action`].
    pub route_action: Option<RouteAction>,
    /// Redirect.
    pub redirect_action: Option<RedirectAction>,
    /// Answer here.
    pub direct_response_action: Option<DirectResponseAction>,
    /// Replace by the routes of RouteTables.
    pub delegate_action: Option<DelegateAction>,
    /// Options.
    pub options: Option<RouteOptions>,
    /// Shared options.
    pub options_config_refs: Option<DelegateOptionsRefs>,
    /// Shows in route names and logs.
    pub name: String,
}

/// The action of a route.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant is the field of its name")]
pub enum Action<'a> {
    Route(&'a RouteAction),
    Redirect(&'a RedirectAction),
    DirectResponse(&'a DirectResponseAction),
    Delegate(&'a DelegateAction),
}

impl Action<'_> {
    /// The field that holds it.
    pub fn field(&self) -> &'static str {
        match self {
            Action::Route(_) => "routeAction",
            Action::Redirect(_) => "redirectAction",
            Action::DirectResponse(_) => "directResponseAction",
            Action::Delegate(_) => "delegateAction",
        }
    }
}

impl Route {
    /// The action, if one is set.
    pub fn action(&self) -> Option<Action<'_>> {
        if let Some(action) = &self.delegate_action {
            return Some(Action::Delegate(action));
        }
        if let Some(action) = &self.direct_response_action {
            return Some(Action::DirectResponse(action));
        }
        if let Some(action) = &self.redirect_action {
            return Some(Action::Redirect(action));
        }
        self.route_action.as_ref().map(Action::Route)
    }
}

/// What a request must look like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Matcher {
    /// Path begins with this text. At most one path field is set, see [`Matcher::path`].
    pub prefix: Option<String>,
    /// Path is this text.
    pub exact: Option<String>,
    /// Whole path matches.
    pub regex: Option<String>,
    /// CONNECT requests.
    pub connect_matcher: Option<Empty>,
    /// For prefix and exact; absent = true, though delegation tells the two apart.
    pub case_sensitive: Option<bool>,
    /// All must match.
    pub headers: Vec<HeaderMatcher>,
    /// All must match.
    pub query_parameters: Vec<QueryParameterMatcher>,
    /// Any of them; empty = any method.
    pub methods: Vec<String>,
}

/// The path part of a matcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the field of its name")]
pub enum PathSpecifier<'a> {
    Prefix(&'a str),
    Exact(&'a str),
    Regex(&'a str),
    Connect,
}

impl PathSpecifier<'_> {
    /// The field that holds it.
    pub fn field(&self) -> &'static str {
        match self {
            PathSpecifier::Prefix(_) => "prefix",
            PathSpecifier::Exact(_) => "exact",
            PathSpecifier::Regex(_) => "regex",
            PathSpecifier::Connect => "connectMatcher",
        }
    }
}

impl Matcher {
    /// The path part, if one is set.
    pub fn path(&self) -> Option<PathSpecifier<'_>> {
        if self.connect_matcher.is_some() {
            return Some(PathSpecifier::Connect);
        }
        if let Some(regex) = &self.regex {
            return Some(PathSpecifier::Regex(regex));
        }
        if let Some(exact) = &self.exact {
            return Some(PathSpecifier::Exact(exact));
        }
        self.prefix.as_deref().map(PathSpecifier::Prefix)
    }
}

/// A test on a request header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderMatcher {
    /// Header, case-insensitive.
    pub name: String,
    /// Value; empty = the header is present.
    pub value: String,
    /// The value is a regular expression for the whole header value.
    pub regex: bool,
    /// Inverts the result.
    pub invert_match: bool,
}

/// A test on a query parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryParameterMatcher {
    /// Parameter.
    pub name: String,
    /// Value; empty = the parameter is present.
    pub value: String,
    /// The value is a regular expression for the whole parameter value.
    pub regex: bool,
}

/// `routeAction`: forward.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteAction {
    /// One destination. At most one of the five is set, see [`RouteAction::target`].
    pub single: Option<Destination>,
    /// A weighted list.
    pub multi: Option<MultiDestination>,
    /// A weighted list kept in an UpstreamGroup.
    pub upstream_group: Option<Ref>,
    /// Request header that names the upstream as `<upstream>_<namespace>`.
    pub cluster_header: Option<String>,
    /// The host that the request names.
    pub dynamic_forward_proxy: Option<PerRouteConfig>,
}

/// Where `routeAction` forwards to.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant is the field of its name")]
pub enum RouteTarget<'a> {
    Single(&'a Destination),
    Multi(&'a MultiDestination),
    UpstreamGroup(&'a Ref),
    ClusterHeader(&'a str),
    Dynamic(&'a PerRouteConfig),
}

impl RouteAction {
    /// Where it forwards to, if that is set.
    pub fn target(&self) -> Option<RouteTarget<'_>> {
        if let Some(host) = &self.dynamic_forward_proxy {
            return Some(RouteTarget::Dynamic(host));
        }
        if let Some(header) = &self.cluster_header {
            return Some(RouteTarget::ClusterHeader(header));
        }
        if let Some(group) = &self.upstream_group {
            return Some(RouteTarget::UpstreamGroup(group));
        }
        if let Some(multi) = &self.multi {
            return Some(RouteTarget::Multi(multi));
        }
        self.single.as_ref().map(RouteTarget::Single)
    }
}

/// A destination.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Destination {
    /// An Upstream.
    pub upstream: Option<Ref>,
    /// Endpoints with these labels; the upstream must have a `subsetSpec`.
    pub subset: Option<Subset>,
}

/// What a destination is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant is the field of its name")]
pub enum DestinationKind<'a> {
    Upstream(&'a Ref),
}

impl Destination {
    /// What it is, if that is set.
    pub fn kind(&self) -> Option<DestinationKind<'_>> {
        self.upstream.as_ref().map(DestinationKind::Upstream)
    }
}

/// `multi`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MultiDestination {
    /// The list.
    pub destinations: Vec<WeightedDestination>,
}

/// A destination with its share.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightedDestination {
    /// The destination.
    pub destination: Option<Destination>,
    /// Its share; absent = 0.
    pub weight: Option<u32>,
    /// Options of this destination.
    pub options: Option<WeightedDestinationOptions>,
}

/// `redirectAction`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RedirectAction {
    /// New host; empty = the request's.
    pub host_redirect: String,
    /// New path. At most one of three is set, see [`RedirectAction::path`].
    pub path_redirect: Option<String>,
    /// Replaces the matched prefix.
    pub prefix_rewrite: Option<String>,
    /// Replaces every match in the path.
    pub regex_rewrite: Option<RegexMatchAndSubstitute>,
    /// Status.
    pub response_code: RedirectCode,
    /// Scheme becomes https.
    pub https_redirect: bool,
    /// The query is dropped.
    pub strip_query: bool,
    /// New port.
    pub port_redirect: Option<u32>,
}

/// How a redirect changes the path.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant is the field of its name")]
pub enum RedirectPath<'a> {
    Path(&'a str),
    Prefix(&'a str),
    Regex(&'a RegexMatchAndSubstitute),
}

impl RedirectAction {
    /// How the path changes, if it does.
    pub fn path(&self) -> Option<RedirectPath<'_>> {
        if let Some(regex) = &self.regex_rewrite {
            return Some(RedirectPath::Regex(regex));
        }
        if let Some(prefix) = &self.prefix_rewrite {
            return Some(RedirectPath::Prefix(prefix));
        }
        self.path_redirect.as_deref().map(RedirectPath::Path)
    }
}

/// Status of a redirect. The order is that of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum RedirectCode {
    #[default]
    MovedPermanently,
    Found,
    SeeOther,
    TemporaryRedirect,
    PermanentRedirect,
}

impl RedirectCode {
    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            RedirectCode::MovedPermanently => 301,
            RedirectCode::Found => 302,
            RedirectCode::SeeOther => 303,
            RedirectCode::TemporaryRedirect => 307,
            RedirectCode::PermanentRedirect => 308,
        }
    }
}

/// `directResponseAction`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DirectResponseAction {
    /// Status.
    pub status: u32,
    /// Body.
    pub body: String,
}

/// `delegateAction`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelegateAction {
    /// One RouteTable.
    #[serde(rename = "ref")]
    pub reference: Option<Ref>,
    /// RouteTables by label.
    pub selector: Option<RouteTableSelector>,
    /// Deprecated form of `ref.name`; wins when set.
    pub name: String,
    /// Deprecated form of `ref.namespace`.
    pub namespace: String,
}
