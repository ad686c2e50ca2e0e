//! Virtual hosts and their routes: from a request to what is done with it.

use std::borrow::Cow;
use std::sync::Arc;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::{Domain, Matcher, PathMatcher, RequestView, RouteIndex};
use portcullis_shared::table::{self, DirectResponse, Redirect};

use super::destinations::{Destination, Destinations};
use super::names::Names;
use super::virtual_cluster::VirtualClusters;
use crate::held::Claim;
use crate::policy::{Plan, PlanBuilder};

/// Domains and their ordered routes.
#[derive(Debug)]
pub struct VirtualHost {
    /// Its name in the table.
    pub name: Arc<str>,
    /// A plain request is redirected (301) to https.
    pub require_tls: bool,
    /// It asks for client certificates: requests on connections of other filter chains are answered 421.
    pub client_chain: Option<Arc<str>>,
    /// Set when it could not be built and there was no earlier form: every request is answered 503, `config_rejected`.
    pub rejected: Option<Box<Invalid>>,
    pub(super) route_configs: Box<[Arc<str>]>,
    domains: Box<[Domain]>,
    routes: Box<[Arc<Route>]>,
    index: RouteIndex,
    virtual_clusters: Option<Box<VirtualClusters>>,
}

impl VirtualHost {
    /// Builds what can be built. A route that cannot is closed: its requests are answered 503, never handled without the
    /// policy that this worker does not understand. The first such reason comes along.
    /// `before` is the form whose counts go on.
    pub(super) fn build(
        config: &table::VirtualHost,
        names: &Names,
        before: Option<&Self>,
    ) -> (Self, Option<Invalid>) {
        let mut rejected = None;
        let build = |(i, config): (usize, &table::Route)| {
            Arc::new(Route::build(config, names).unwrap_or_else(|reason| {
                let reason = reason.under(format!("routes[{i}]"));
                rejected.get_or_insert_with(|| reason.clone());
                Route::closed(config, reason)
            }))
        };
        let routes = config.routes.iter().enumerate().map(build).collect();
        let matchers: Vec<&Matcher> = config.routes.iter().map(|route| &route.matcher).collect();
        let host = Self {
            name: Arc::clone(&config.name),
            require_tls: config.require_tls,
            client_chain: config.client_chain.as_ref().map(|name| names.share(name)),
            rejected: None,
            route_configs: config.route_configs.iter().map(|name| names.share(name)).collect(),
            domains: config.domains.as_slice().into(),
            routes,
            index: RouteIndex::build(&matchers),
            virtual_clusters: VirtualClusters::build(
                &config.virtual_clusters,
                before.and_then(|before| before.virtual_clusters.as_deref()),
            ),
        };
        (host, rejected)
    }

    /// One that answers every request of its domains with 503.
    pub(super) fn closed(name: &Arc<str>, claim: Claim, reason: Invalid) -> Self {
        Self {
            name: Arc::clone(name),
            require_tls: false,
            client_chain: None,
            rejected: Some(Box::new(reason)),
            route_configs: claim.route_configs.into(),
            domains: claim.domains.into(),
            routes: Box::default(),
            index: RouteIndex::default(),
            virtual_clusters: None,
        }
    }

    /// Every route does what was asked for.
    pub(super) fn is_whole(&self) -> bool {
        self.rejected.is_none() && !self.routes.iter().any(|route| matches!(route.action, Action::Closed(_)))
    }

    /// The first route that matches.
    #[must_use]
    pub fn route(&self, request: &RequestView<'_>) -> Option<&Arc<Route>> {
        let matcher = |i: usize| self.routes.get(i).map(|route| &route.matcher);
        self.routes.get(self.index.find(matcher, request)?)
    }

    /// Requests that are counted apart; none on most virtual hosts.
    #[must_use]
    pub fn virtual_clusters(&self) -> Option<&VirtualClusters> {
        self.virtual_clusters.as_deref()
    }

    /// All routes, in order.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The domains that it serves.
    #[must_use]
    pub fn domains(&self) -> &[Domain] {
        &self.domains
    }
}

/// What is done with the requests that match.
#[derive(Debug)]
pub struct Route {
    /// Its name in the table.
    pub name: Arc<str>,
    /// Which requests it is for.
    pub matcher: Matcher,
    /// What happens.
    pub action: Action,
    /// How.
    pub plan: Plan,
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Sends the request to an upstream.
    Forward(Target),
    /// Sends the client elsewhere.
    Redirect(Box<Redirect>),
    /// Answers itself.
    DirectResponse(Box<DirectResponse>),
    /// Answers 503, `config_rejected`: this worker cannot do what the route asks for.
    Closed(Box<Invalid>),
}

/// Which upstream a request goes to.
#[derive(Debug)]
pub enum Target {
    /// One of these.
    Destinations(Destinations),
    /// One of the split of this name.
    Split(Arc<str>),
    /// The upstream that this header names.
    ClusterHeader(http::HeaderName),
    /// The one that a policy looked up.
    Dynamic,
}

impl Route {
    fn build(config: &table::Route, names: &Names) -> Result<Self, Invalid> {
        let plan = PlanBuilder::decode(&config.policies)?.plan();
        let action = match &config.action {
            table::Action::Redirect(redirect) => Action::Redirect(redirect.clone().into()),
            table::Action::DirectResponse(response) => Action::DirectResponse(response.clone().into()),
            table::Action::Forward(target) => Action::Forward(match target {
                table::Target::Split(name) => Target::Split(names.share(name)),
                table::Target::ClusterHeader(name) => Target::ClusterHeader(name.clone()),
                table::Target::Dynamic => Target::Dynamic,
                table::Target::Destinations(list) => Target::Destinations(
                    Destinations::build(list, Some(&plan), names)
                        .map_err(|e| e.under("forward.destinations"))?,
                ),
            }),
        };
        Ok(Self::of(config, action, plan))
    }

    fn closed(config: &table::Route, reason: Invalid) -> Self {
        Self::of(config, Action::Closed(reason.into()), Plan::default())
    }

    fn of(config: &table::Route, action: Action, plan: Plan) -> Self {
        Self { name: Arc::clone(&config.name), matcher: config.matcher.clone(), action, plan }
    }

    /// The matched part of the path as `http.route` of spans: few different values, never the request's path.
    #[must_use]
    pub fn template(&self) -> Cow<'_, str> {
        match &self.matcher.path {
            PathMatcher::Prefix { text, .. } => format!("{text}*").into(),
            PathMatcher::Exact { text, .. } | PathMatcher::Regex { text, .. } => (&**text).into(),
            PathMatcher::Connect => "CONNECT".into(),
        }
    }

    /// The plan for requests of this route that go to `destination`, be it one of its own or of a split.
    #[must_use]
    pub fn plan_for<'a>(&'a self, destination: &'a Destination) -> Cow<'a, Plan> {
        match (&destination.plan, &destination.over) {
            (Some(plan), _) => Cow::Borrowed(&**plan),
            (None, Some(over)) => Cow::Owned(self.plan.with(over)),
            (None, None) => Cow::Borrowed(&self.plan),
        }
    }
}
