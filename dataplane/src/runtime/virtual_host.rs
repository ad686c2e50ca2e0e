//! Virtual hosts and their routes: from a request to what is done with it.

use std::borrow::Cow;
use std::sync::Arc;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::{Domain, Matcher, PathMatcher, RequestView, RouteIndex};
use portcullis_shared::table::{self, DirectResponse, Origin, Redirect};

use super::destinations::{Destination, Destinations};
use crate::held::Claim;
use crate::policy::{Plan, PlanBuilder};

/// Domains and their ordered routes.
#[derive(Debug)]
pub struct VirtualHost {
    /// Its name in the table.
    pub name: Arc<str>,
    /// The user's resource.
    pub origin: Arc<Origin>,
    /// A plain request is redirected (301) to https.
    pub require_tls: bool,
    /// Set when it could not be built and there was no earlier form: every request is answered 503, `config_rejected`.
    pub rejected: Option<Invalid>,
    pub(super) route_configs: Vec<Arc<str>>,
    domains: Vec<Domain>,
    routes: Vec<Arc<Route>>,
    index: RouteIndex,
}

impl VirtualHost {
    /// Builds what can be built. A route that cannot is closed: its requests are answered 503, never handled without the
    /// policy that this worker does not understand. The first such reason comes along.
    pub(super) fn build(config: &table::VirtualHost) -> (Self, Option<Invalid>) {
        let mut rejected = None;
        let build = |(i, config): (usize, &table::Route)| {
            Arc::new(Route::build(config).unwrap_or_else(|reason| {
                let reason = reason.under(format!("routes[{i}]"));
                rejected.get_or_insert_with(|| reason.clone());
                Route::closed(config, reason)
            }))
        };
        let routes = config.routes.iter().enumerate().map(build).collect();
        let matchers: Vec<&Matcher> = config.routes.iter().map(|route| &route.matcher).collect();
        let host = Self {
            name: Arc::clone(&config.name),
            origin: Arc::clone(&config.origin),
            require_tls: config.require_tls,
            rejected: None,
            route_configs: config.route_configs.clone(),
            domains: config.domains.clone(),
            routes,
            index: RouteIndex::build(&matchers),
        };
        (host, rejected)
    }

    /// One that answers every request of its domains with 503.
    pub(super) fn closed(name: &Arc<str>, origin: Arc<Origin>, claim: Claim, reason: Invalid) -> Self {
        Self {
            name: Arc::clone(name),
            origin,
            require_tls: false,
            rejected: Some(reason),
            route_configs: claim.route_configs,
            domains: claim.domains,
            routes: Vec::new(),
            index: RouteIndex::default(),
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
    /// The user's resource that holds it.
    pub origin: Arc<Origin>,
    /// Field path in that resource.
    pub path: Arc<str>,
    /// The matched part of the path as `http.route` of spans: few different values, never the request's path.
    pub template: Arc<str>,
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
    Redirect(Redirect),
    /// Answers itself.
    DirectResponse(DirectResponse),
    /// Answers 503, `config_rejected`: this worker cannot do what the route asks for.
    Closed(Invalid),
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
}

impl Route {
    fn build(config: &table::Route) -> Result<Self, Invalid> {
        let plan = PlanBuilder::decode(&config.policies)?.plan();
        let action = match &config.action {
            table::Action::Redirect(redirect) => Action::Redirect(redirect.clone()),
            table::Action::DirectResponse(response) => Action::DirectResponse(response.clone()),
            table::Action::Forward(target) => Action::Forward(match target {
                table::Target::Split(name) => Target::Split(Arc::clone(name)),
                table::Target::ClusterHeader(name) => Target::ClusterHeader(name.clone()),
                table::Target::Destinations(list) => Target::Destinations(
                    Destinations::build(list, Some(&plan)).map_err(|e| e.under("forward.destinations"))?,
                ),
            }),
        };
        Ok(Self::of(config, action, plan))
    }

    fn closed(config: &table::Route, reason: Invalid) -> Self {
        Self::of(config, Action::Closed(reason), Plan::default())
    }

    fn of(config: &table::Route, action: Action, plan: Plan) -> Self {
        Self {
            name: Arc::clone(&config.name),
            origin: Arc::clone(&config.origin),
            path: Arc::clone(&config.path),
            template: template(&config.matcher.path).into(),
            matcher: config.matcher.clone(),
            action,
            plan,
        }
    }

    /// The plan for requests of this route that go to `destination`, be it one of its own or of a split.
    #[must_use]
    pub fn plan_for<'a>(&'a self, destination: &'a Destination) -> Cow<'a, Plan> {
        match (&destination.plan, &destination.over) {
            (Some(plan), _) => Cow::Borrowed(plan),
            (None, Some(over)) => Cow::Owned(self.plan.with(over)),
            (None, None) => Cow::Borrowed(&self.plan),
        }
    }
}

fn template(path: &PathMatcher) -> String {
    match path {
        PathMatcher::Prefix { text, .. } => format!("{text}*"),
        PathMatcher::Exact { text, .. } => text.to_string(),
        PathMatcher::Regex { text, .. } => text.to_string(),
        PathMatcher::Connect => "CONNECT".to_owned(),
    }
}
