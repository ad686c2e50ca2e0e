//! Domains and their ordered routes.

use std::sync::Arc;

use portcullis_proto::table::v1 as wire;
use regex::Regex;

use super::{
    Origin, Route,
    field::{each, optional, required, texts},
};
use crate::{
    Invalid,
    routing::{Domain, pattern},
};

/// Domains and their ordered routes.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualHost {
    /// `<namespace>_<name>`, dots as underscores.
    pub name: Arc<str>,
    /// The user's resource.
    pub origin: Arc<Origin>,
    /// The route configurations that serve it.
    pub route_configs: Vec<Arc<str>>,
    /// At least one.
    pub domains: Vec<Domain>,
    /// The first match wins. May be empty: then its domains answer 404.
    pub routes: Vec<Route>,
    /// A plain request is redirected (301) to https.
    pub require_tls: bool,
    /// It asks for client certificates: only this filter chain's connections may have it.
    pub client_chain: Option<Arc<str>>,
    /// Requests that are counted apart; the first one that fits counts.
    pub virtual_clusters: Vec<VirtualCluster>,
}

/// Requests that are counted apart.
#[derive(Debug, Clone)]
pub struct VirtualCluster {
    /// Its name in metrics.
    pub name: Arc<str>,
    /// Matches the whole path with its query.
    pub pattern: Regex,
    /// Empty = any.
    pub method: Box<str>,
}

impl VirtualCluster {
    /// Whether a request for `target`, path and query, is one of them.
    #[must_use]
    pub fn fits(&self, method: &str, target: &str) -> bool {
        (self.method.is_empty() || *self.method == *method) && self.pattern.is_match(target)
    }
}

impl PartialEq for VirtualCluster {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.pattern.as_str(), &self.method)
            == (&other.name, other.pattern.as_str(), &other.method)
    }
}

impl TryFrom<wire::VirtualCluster> for VirtualCluster {
    type Error = Invalid;

    fn try_from(wire: wire::VirtualCluster) -> Result<Self, Invalid> {
        Ok(Self {
            name: required("name", wire.name)?,
            pattern: pattern::full(&wire.pattern).map_err(|e| Invalid::new("pattern", e))?,
            method: wire.method.into(),
        })
    }
}

/// Whether connections of `chain` may have a host for which `wanted` is the chain that asks for client certificates. Before
/// a slash stands the part of the listener, which asks as the host says all the same.
#[must_use]
pub fn is_client_chain(wanted: Option<&str>, chain: &str) -> bool {
    wanted.is_none_or(|wanted| chain.rsplit('/').next() == Some(wanted))
}

impl TryFrom<wire::VirtualHost> for VirtualHost {
    type Error = Invalid;

    fn try_from(wire: wire::VirtualHost) -> Result<Self, Invalid> {
        if wire.domains.is_empty() {
            return Err(Invalid::new("domains", "must not be empty"));
        }
        let domain =
            |(i, text): (usize, &String)| Domain::parse(text).map_err(|e| e.under(format!("domains[{i}]")));
        let origin = Arc::new(Origin::try_from(wire.origin).map_err(|e| e.under("origin"))?);
        let mut routes: Vec<Route> = each("routes", wire.routes)?;
        share_origins(&origin, &mut routes);
        Ok(Self {
            name: required("name", wire.name)?,
            route_configs: texts("route_configs", wire.route_configs)?,
            domains: wire.domains.iter().enumerate().map(domain).collect::<Result<_, _>>()?,
            routes,
            require_tls: wire.require_tls,
            client_chain: optional(wire.client_chain),
            virtual_clusters: each("virtual_clusters", wire.virtual_clusters)?,
            origin,
        })
    }
}

/// Neighbouring routes mostly come from one resource: one allocation serves them all.
fn share_origins(first: &Arc<Origin>, routes: &mut [Route]) {
    let mut last = first;
    for route in routes {
        match route.origin == *last {
            true => route.origin = Arc::clone(last),
            false => last = &route.origin,
        }
    }
}

#[cfg(test)]
mod tests;
