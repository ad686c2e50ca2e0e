//! From listener to route: the decisions that a worker takes for a request, with their reasons.

use super::answer::{Explanation, HostFacts, ListenerFacts, Outcome, PassedOver, RequestFacts, RouteFacts};
use super::request::Request;
use super::{behaviour, effect, nearest, settings};
use crate::compile::Decoded;
use portcullis_shared::routing::{ChainIndex, Domain, DomainIndex, Matcher, PathMatcher};
use portcullis_shared::table::{
    FilterChain, Listener, Redirect, Route, Serve, ServerName, VirtualHost, is_client_chain,
};
use std::net::{Ipv4Addr, SocketAddr};

/// Says what a worker with this table does with `request`.
pub fn explain(table: &Decoded, request: &Request) -> Explanation {
    let mut explanation = Explanation {
        request: facts(request),
        listener: None,
        virtual_host: None,
        passed_over: Vec::new(),
        route: None,
        outcome: not_served(None, "no_listener", String::new(), Vec::new()),
    };
    explanation.outcome = follow(table, request, &mut explanation);
    explanation
}

fn follow(table: &Decoded, request: &Request, seen: &mut Explanation) -> Outcome {
    let listener = match listener(table, request) {
        Ok(listener) => listener,
        Err(outcome) => return outcome,
    };
    let chain = chain(listener, request);
    seen.listener = Some(ListenerFacts {
        name: listener.name.to_string(),
        address: address(listener),
        from: listener.origin.to_string(),
        tls: chain.map_or_else(|| speaks(listener, "https"), |chain| chain.tls.is_some()),
        filter_chain: chain.map(|chain| chain.name.to_string()),
        part: chain.filter(|chain| !chain.path.is_empty()).map(|it| format!("{} {}", it.origin, it.path)),
        takes: chain.map(takes).unwrap_or_default(),
        settings: chain.map(settings).unwrap_or_default(),
        policies: chain.map(|chain| behaviour::all(&chain.policies)).unwrap_or_default(),
        certificate: chain.and_then(|chain| chain.tls.as_ref()).map(|tls| tls.certificate.to_string()),
    });
    if chain.map_or_else(|| !speaks(listener, "http"), |chain| chain.tls.is_some())
        && request.scheme == "http"
    {
        let why = format!("{} speaks TLS, a plain request is not understood", address(listener));
        return not_served(None, "no_listener", why, vec![format!("https on port {}", listener.port)]);
    }
    let Some(chain) = chain else {
        let served =
            listener.filter_chains.iter().flat_map(|chain| &chain.server_names).map(ServerName::to_string);
        let by_address = listener.filter_chains.iter().any(|chain| !chain.source_prefixes.is_empty());
        let why = match &request.sni {
            _ if by_address => match request.client {
                Some(client) => format!("no filter chain takes clients at {client}"),
                None => "the client's address decides here: give it by --from".to_owned(),
            },
            Some(sni) => {
                format!("no certificate is configured for the server name {sni}: the handshake fails")
            }
            None if listener.filter_chains.is_empty() => "the listener serves no virtual service".to_owned(),
            None => "clients without a server name are not served here: the handshake fails".to_owned(),
        };
        return not_served(None, "no_filter_chain", why, served.collect());
    };
    let config = match &chain.serve {
        Serve::Http(config) => config,
        Serve::Tcp(proxy) => return effect::pass_on(table, proxy, request),
    };
    if request.scheme == "tcp" {
        let why =
            format!("{} speaks HTTP on such a connection: ask with http:// or https://", address(listener));
        return not_served(None, "http", why, Vec::new());
    }
    if chain.tls.is_none() && request.scheme == "https" {
        let why = format!("{} speaks no TLS for this server name", address(listener));
        return not_served(None, "no_listener", why, Vec::new());
    }
    if let Some(error) = request.bad_path {
        return not_served(Some(400), "bad_request", error.to_string(), Vec::new());
    }
    let Some((host, domain)) = virtual_host(table, config, &request.authority) else {
        let (why, nearest) = nearest::domains(table, config, &request.authority);
        return not_served(Some(404), "no_virtual_host", why, nearest);
    };
    seen.virtual_host = Some(HostFacts {
        name: host.name.to_string(),
        from: host.origin.to_string(),
        domain: domain.to_string(),
    });
    if host.require_tls && chain.tls.is_none() {
        return effect::redirect(&Redirect::to_https(), &PathMatcher::Connect, request);
    }
    if !is_client_chain(host.client_chain.as_deref(), &chain.name) {
        let why = format!("{} asks for a client certificate, and this server name is another's", host.origin);
        return not_served(Some(421), "misdirected_request", why, Vec::new());
    }
    for route in &host.routes {
        match route.matcher.mismatch(&request.view()) {
            None => {
                seen.route = Some(route_facts(route));
                return effect::of(table, route, request);
            }
            Some(mismatch) => {
                seen.passed_over
                    .push(PassedOver { route: route_facts(route), because: mismatch.to_string() });
            }
        }
    }
    let why = match host.routes.is_empty() {
        true => format!("{} has no routes", host.origin),
        false => format!("none of the {} routes of {} matches", host.routes.len(), host.origin),
    };
    not_served(Some(404), "no_route", why, nearest::routes(host, request))
}

/// The listener that a client with this URL reaches: by port when the URL names it or it belongs to one, else by scheme,
/// the lowest port first, preferring those that know the host. A URL without a port often means the gateway behind a load
/// balancer.
fn listener<'t>(table: &'t Decoded, request: &Request) -> Result<&'t Listener, Outcome> {
    let by_port = || table.listeners.iter().filter(|listener| listener.port == request.port);
    if let Some(found) = by_port().find(|listener| speaks(listener, &request.scheme)) {
        return Ok(found);
    }
    let mut sorted: Vec<&Listener> = table.listeners.iter().collect();
    sorted.sort_by_key(|listener| (listener.port, listener.address));
    let there = sorted.iter().flat_map(|listener| {
        let schemes = ["http", "https"].into_iter().filter(|scheme| speaks(listener, scheme));
        schemes.map(|scheme| format!("{scheme} on {}", address(listener)))
    });
    if request.port_given {
        let nothing = || format!("nothing listens on port {}", request.port);
        return by_port().next().ok_or_else(|| not_served(None, "no_listener", nothing(), there.collect()));
    }
    let same_scheme = |listener: &&&Listener| speaks(listener, &request.scheme);
    let fitting: Vec<&Listener> = sorted.iter().filter(same_scheme).copied().collect();
    let knows_host = |listener: &&&Listener| match chain(listener, request).map(|chain| &chain.serve) {
        Some(Serve::Http(config)) => virtual_host(table, config, &request.authority).is_some(),
        Some(Serve::Tcp(_)) | None => false,
    };
    if let Some(found) = fitting.iter().find(knows_host).or(fitting.first()) {
        return Ok(found);
    }
    Err(not_served(None, "no_listener", format!("no listener serves {}", request.scheme), there.collect()))
}

/// Whether some chain may understand a client of that scheme. One that passes bytes on understands everybody.
fn speaks(listener: &Listener, scheme: &str) -> bool {
    listener.filter_chains.iter().any(|chain| match (&chain.serve, scheme) {
        (_, "tcp") => true,
        (_, "https") if chain.tls.is_some() => true,
        (Serve::Http(_), scheme) => scheme == "http" && chain.tls.is_none(),
        (Serve::Tcp(_), _) => chain.tls.is_none(),
    })
}

fn settings(chain: &FilterChain) -> Vec<String> {
    let admission = chain.admission.as_ref().map(settings::admission).unwrap_or_default();
    admission.into_iter().chain(settings::of(&chain.http)).collect()
}

/// Whose connections a chain takes, in words.
fn takes(chain: &FilterChain) -> Vec<String> {
    let names = chain.server_names.iter().map(|name| format!("server name {name}"));
    names.chain(chain.source_prefixes.iter().map(|network| format!("clients from {network}"))).collect()
}

fn address(listener: &Listener) -> String {
    SocketAddr::new(listener.address, listener.port).to_string()
}

/// As workers choose it.
fn chain<'t>(listener: &'t Listener, request: &Request) -> Option<&'t FilterChain> {
    let mut index = ChainIndex::default();
    for chain in &listener.filter_chains {
        // A table in which two take the same connections does not decode.
        let _ = index.insert(chain.matching(), chain);
    }
    // A client that is not told is one that no network has.
    let client = request.client.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    index.find(request.sni.as_deref(), client).copied()
}

fn virtual_host<'t>(table: &'t Decoded, config: &str, host: &str) -> Option<(&'t VirtualHost, &'t Domain)> {
    let pairs =
        hosts(table, config).flat_map(|host| host.domains.iter().map(move |d| (d.clone(), (host, d))));
    DomainIndex::build(pairs).find(host).copied()
}

/// The virtual hosts of one route configuration.
pub(super) fn hosts<'t>(table: &'t Decoded, config: &str) -> impl Iterator<Item = &'t VirtualHost> {
    table.virtual_hosts.iter().filter(move |host| host.route_configs.iter().any(|name| **name == *config))
}

pub(super) fn route_facts(route: &Route) -> RouteFacts {
    RouteFacts {
        name: route.name.to_string(),
        from: route.origin.to_string(),
        field: route.path.to_string(),
        matcher: words(&route.matcher),
    }
}

/// "prefix /api, method GET or HEAD, header x-stage: canary".
fn words(matcher: &Matcher) -> String {
    let mut words = vec![matcher.path.to_string()];
    if !matcher.methods.is_empty() {
        words.push(format!("method {}", matcher.methods.join(" or ")));
    }
    words.extend(matcher.headers.iter().map(|header| format!("header {header}")));
    words.extend(matcher.query.iter().map(|query| format!("query {query}")));
    words.join(", ")
}

fn facts(request: &Request) -> RequestFacts {
    RequestFacts {
        method: request.method.clone(),
        scheme: request.scheme.clone(),
        host: request.authority.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        sni: request.sni.clone(),
        client: request.client.map(|client| client.to_string()),
    }
}

fn not_served(status: Option<u16>, reason: &str, why: String, nearest: Vec<String>) -> Outcome {
    Outcome::NotServed { status, reason: reason.to_owned(), why, nearest }
}
