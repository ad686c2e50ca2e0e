//! What is close to a request that nobody serves: most such requests are typing mistakes or a port in the Host.

use super::decide::{hosts, route_facts};
use super::request::Request;
use crate::compile::Decoded;
use portcullis_shared::routing::{Domain, DomainIndex, PathMatcher};
use portcullis_shared::table::{Route, VirtualHost};

const MOST: usize = 3;
/// Below this two names have little in common.
const SIMILAR: f64 = 0.75;

/// Why no domain fits `host`, and the domains that nearly do.
pub fn domains(table: &Decoded, config: &str, host: &str) -> (String, Vec<String>) {
    let all: Vec<&Domain> = hosts(table, config).flat_map(|host| &host.domains).collect();
    let index = DomainIndex::build(all.iter().map(|domain| ((*domain).clone(), *domain)));
    if let Some((name, port)) = host.rsplit_once(':')
        && let Some(domain) = index.find(name)
    {
        let why = format!(
            "no domain fits the Host {host:?}: the port is part of it. {domain} fits without :{port}; \
             add the domain {host:?} or send the Host without port"
        );
        return (why, vec![domain.to_string()]);
    }
    let mut ranked: Vec<(f64, String)> = all
        .iter()
        .map(|domain| (strsim::jaro_winkler(&domain.to_string(), host), domain.to_string()))
        .filter(|(score, _)| *score >= SIMILAR)
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let why = match all.is_empty() {
        true => "the listener serves no virtual service".to_owned(),
        false => format!("no domain fits the Host {host:?}"),
    };
    (why, ranked.into_iter().take(MOST).map(|(_, domain)| domain).collect())
}

/// Routes whose path fits, else those that have the longest beginning of the path in common with the request.
pub fn routes(host: &VirtualHost, request: &Request) -> Vec<String> {
    let mut ranked: Vec<(usize, &Route)> = host
        .routes
        .iter()
        .map(|route| (closeness(route, request), route))
        .filter(|(closeness, _)| *closeness > 1)
        .collect();
    // Stable: among equals the earlier route comes first.
    ranked.sort_by_key(|(closeness, _)| std::cmp::Reverse(*closeness));
    ranked
        .into_iter()
        .take(MOST)
        .map(|(_, route)| {
            let facts = route_facts(route);
            let because = route.matcher.mismatch(&request.view()).map(|mismatch| mismatch.to_string());
            format!("{} ({} {}): {}", facts.matcher, facts.from, facts.field, because.unwrap_or_default())
        })
        .collect()
}

fn closeness(route: &Route, request: &Request) -> usize {
    if route.matcher.path.matches(&request.view()) {
        return usize::MAX;
    }
    match &route.matcher.path {
        PathMatcher::Prefix { text, .. } | PathMatcher::Exact { text, .. } => {
            text.bytes().zip(request.path.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
        }
        PathMatcher::Regex { .. } | PathMatcher::Connect => 0,
    }
}
