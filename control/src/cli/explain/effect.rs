//! What the winning route does: destinations, rewritten request, limits.
//!
//! Reads the policies as they are on the wire. A policy that has no field in the answer is listed by its type, so that
//! nothing is left out in silence.

use super::answer::{Answered, Effect, Outcome, Passed, Sent};
use super::behaviour;
use super::care;
use super::request::Request;
use crate::compile::Decoded;
use portcullis_proto::policy::v1 as policy;
use portcullis_shared::routing::PathMatcher;
use portcullis_shared::table::{
    Action, Destination, Endpoint, Redirect, RegexSubstitution, Route, Target, TcpProxy, TcpTarget, Upstream,
    rewrite_prefix,
};
use prost::{Message, Name};
use prost_types::Any;
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// The effect of `route` on `request`.
pub fn of(table: &Decoded, route: &Route, request: &Request) -> Outcome {
    match &route.action {
        Action::Redirect(to) => redirect(to, &route.matcher.path, request),
        Action::DirectResponse(response) => Outcome::DirectResponse {
            status: response.status.as_u16(),
            body: String::from_utf8_lossy(&response.body).into_owned(),
        },
        Action::Forward(target) => forward(table, route, target, request),
    }
}

/// The answer of a redirect to a request that `matched` let in.
pub(super) fn redirect(to: &Redirect, matched: &PathMatcher, request: &Request) -> Outcome {
    let query = request.query.as_deref();
    let location = to.location(&request.scheme, &request.authority, &request.path, query, matched);
    Outcome::Redirect { status: to.status.as_u16(), location }
}

fn forward(table: &Decoded, route: &Route, target: &Target, request: &Request) -> Outcome {
    let weighted = |list: &[Destination], split: Option<String>| {
        let total: u64 = list.iter().map(|destination| u64::from(destination.weight)).sum();
        let one = |destination: &Destination| {
            let percent = if total == 0 { 0.0 } else { f64::from(destination.weight) * 100.0 / total as f64 };
            effect(table, route, destination, percent, request)
        };
        Outcome::Forward { split, destinations: list.iter().map(one).collect() }
    };
    match target {
        Target::Destinations(list) => weighted(list, None),
        Target::Split(name) => match table.splits.iter().find(|split| split.name == *name) {
            Some(split) => weighted(&split.destinations, Some(split.origin.to_string())),
            None => unavailable(format!("there is no upstream group {name}")),
        },
        Target::Dynamic => unavailable("the host is looked up when the request comes".to_owned()),
        Target::ClusterHeader(header) => match request.headers.get(header).map(|value| value.to_str()) {
            Some(Ok(name)) => {
                let destination = Destination {
                    upstream: name.into(),
                    weight: 1,
                    policies: Vec::new(),
                    subset: Default::default(),
                };
                weighted(&[destination], None)
            }
            _ => unavailable(format!(
                "the header {header} names the upstream, and the request does not carry it"
            )),
        },
    }
}

/// What becomes of a connection whose bytes are passed on.
pub(super) fn pass_on(table: &Decoded, proxy: &TcpProxy, request: &Request) -> Outcome {
    let weighted = |list: &[Destination], split: Option<String>| {
        let total: u64 = list.iter().map(|destination| u64::from(destination.weight)).sum();
        let one = |destination: &Destination| {
            let percent = if total == 0 { 0.0 } else { f64::from(destination.weight) * 100.0 / total as f64 };
            let upstream = table.upstreams.iter().find(|upstream| upstream.name == destination.upstream);
            Passed {
                upstream: destination.upstream.to_string(),
                from: upstream.map(|upstream| upstream.origin.to_string()),
                weight: destination.weight,
                percent: (percent * 100.0).round() / 100.0,
                endpoints: upstream.map(|it| it.endpoints.iter().map(endpoint).collect()).unwrap_or_default(),
                resolved_at_run_time: upstream.is_some_and(|upstream| upstream.dynamic_endpoints),
                over_tls: upstream.is_some_and(|upstream| upstream.tls.is_some()),
            }
        };
        Outcome::PassOn {
            tcp_host: proxy.name.to_string(),
            split,
            destinations: list.iter().map(one).collect(),
            connect_attempts: proxy.max_connect_attempts,
            idle_timeout: proxy.idle_timeout.map(|idle| humantime::format_duration(idle).to_string()),
        }
    };
    let nowhere = |why: String| match unavailable(why) {
        Outcome::NotServed { reason, why, nearest, .. } => {
            Outcome::NotServed { status: None, reason, why, nearest }
        }
        other => other,
    };
    match &proxy.target {
        TcpTarget::Destinations(list) => weighted(list, None),
        TcpTarget::Split(name) => match table.splits.iter().find(|split| split.name == *name) {
            Some(split) => weighted(&split.destinations, Some(split.origin.to_string())),
            None => nowhere(format!("there is no upstream group {name}")),
        },
        TcpTarget::Sni => match request.sni.as_deref() {
            Some(name) => {
                let destination = Destination {
                    upstream: name.into(),
                    weight: 1,
                    policies: Vec::new(),
                    subset: Default::default(),
                };
                weighted(&[destination], None)
            }
            None => nowhere("the server name names the upstream, and the client sends none".to_owned()),
        },
    }
}

fn unavailable(why: String) -> Outcome {
    Outcome::NotServed { status: Some(503), reason: "no_cluster".to_owned(), why, nearest: Vec::new() }
}

fn effect(table: &Decoded, route: &Route, to: &Destination, percent: f64, request: &Request) -> Effect {
    let upstream = table.upstreams.iter().find(|upstream| upstream.name == to.upstream);
    let policies = Policies::of(route, to, upstream);
    let mut changes = Vec::new();
    let host = host(&policies, upstream, request, &mut changes);
    let path = path(&policies, route, request);
    let headers: policy::Headers = policies.get().unwrap_or_default();
    changes.extend(headers.request.iter().flat_map(header_changes));
    Effect {
        upstream: to.upstream.to_string(),
        from: upstream.map(|upstream| upstream.origin.to_string()),
        weight: to.weight,
        percent: (percent * 100.0).round() / 100.0,
        endpoints: upstream
            .map(|upstream| upstream.endpoints.iter().map(endpoint).collect())
            .unwrap_or_default(),
        resolved_at_run_time: upstream.is_some_and(|upstream| upstream.dynamic_endpoints),
        protocol: upstream.map(protocol).unwrap_or_default(),
        care: upstream.map(|upstream| care::of(upstream, &to.subset)).unwrap_or_default(),
        request: Sent { method: request.method.clone(), path, host, headers: changes },
        response_headers: headers.response.iter().flat_map(header_changes).collect(),
        timeout: timeout(&policies),
        retries: policies.get().as_ref().map(retries),
        answer: policies.get().map(|policy::Answer { status, body }| Answered { status, body }),
        behaviour: policies
            .0
            .iter()
            .filter_map(|any| behaviour::of(any))
            .filter(|it| !it.is_empty())
            .collect(),
        other_policies: policies.others(),
    }
}

/// The policies that apply to one destination: its own replace the route's of the same type, its upstream's both.
struct Policies<'r>(Vec<&'r Any>);

impl<'r> Policies<'r> {
    fn of(route: &'r Route, to: &'r Destination, upstream: Option<&'r Upstream>) -> Policies<'r> {
        let mut all: Vec<&Any> =
            upstream.map(|upstream| upstream.policies.iter().collect()).unwrap_or_default();
        for list in [&to.policies, &route.policies] {
            let kept: Vec<&Any> =
                list.iter().filter(|any| all.iter().all(|over| over.type_url != any.type_url)).collect();
            all.splice(0..0, kept);
        }
        Policies(all)
    }

    fn get<T: Message + Name + Default>(&self) -> Option<T> {
        let any = self.0.iter().find(|any| same_type::<T>(any))?;
        T::decode(any.value.as_slice()).ok()
    }

    /// Type names of policies that this module cannot show.
    fn others(&self) -> Vec<String> {
        let shown = |any: &&&Any| {
            same_type::<policy::Headers>(any)
                || same_type::<policy::PathRewrite>(any)
                || same_type::<policy::HostRewrite>(any)
                || same_type::<policy::Timeout>(any)
                || same_type::<policy::Retry>(any)
                || same_type::<policy::Answer>(any)
                || behaviour::of(any).is_some()
        };
        let name = |any: &&Any| any.type_url.rsplit('.').next().unwrap_or_default().to_owned();
        self.0.iter().filter(|any| !shown(any)).map(name).collect()
    }
}

fn same_type<T: Name>(any: &Any) -> bool {
    any.type_url == T::type_url()
}

fn path(policies: &Policies<'_>, route: &Route, request: &Request) -> String {
    use policy::path_rewrite::Rewrite;
    let path = match policies.get::<policy::PathRewrite>().and_then(|rewrite| rewrite.rewrite) {
        None => request.path.clone(),
        Some(Rewrite::Prefix(text)) => rewrite_prefix(&request.path, &route.matcher.path, &text).into_owned(),
        Some(Rewrite::Regex(regex)) => substituted(regex, &request.path),
    };
    match &request.query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

fn host(
    policies: &Policies<'_>,
    to: Option<&Upstream>,
    request: &Request,
    changes: &mut Vec<String>,
) -> String {
    use policy::host_rewrite::Rewrite;
    let Some(policy) = policies.get::<policy::HostRewrite>() else {
        return request.authority.clone();
    };
    let new = match policy.rewrite {
        None | Some(Rewrite::Auto(false)) => None,
        Some(Rewrite::Literal(text)) => Some(text),
        Some(Rewrite::Auto(true)) => to.and_then(hostname),
        Some(Rewrite::Header(name)) => {
            request.headers.get(&name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        }
        Some(Rewrite::PathRegex(regex)) => Some(substituted(regex, &request.path)),
    };
    // An empty host is none: workers keep the client's then.
    match new.filter(|new| !new.is_empty()) {
        Some(new) => {
            if policy.append_x_forwarded_host {
                changes.push(format!("add x-forwarded-host: {}", request.authority));
            }
            new
        }
        None => request.authority.clone(),
    }
}

/// The one name of all endpoints, or a phrase when only the choice of an endpoint decides.
fn hostname(upstream: &Upstream) -> Option<String> {
    if upstream.dynamic_endpoints {
        return Some("<hostname of the chosen endpoint>".to_owned());
    }
    let mut names: Vec<&str> = upstream.endpoints.iter().filter_map(|one| one.hostname.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        many => Some(format!("<one of {}, as chosen>", many.join(", "))),
    }
}

/// An invalid substitution never gets here: workers would refuse the route.
fn substituted(regex: policy::RegexSubstitution, text: &str) -> String {
    match RegexSubstitution::try_from(regex) {
        Ok(substitution) => substitution.replace_all(text).into_owned(),
        Err(_) => text.to_owned(),
    }
}

fn header_changes(level: &policy::HeaderLevel) -> Vec<String> {
    let removed = level.remove.iter().map(|name| format!("remove {name}"));
    let added = level.add.iter().map(|header| {
        let verb = if header.overwrite { "set" } else { "add" };
        format!("{verb} {}: {}", header.name, header.value)
    });
    removed.chain(added).collect()
}

fn timeout(policies: &Policies<'_>) -> Option<String> {
    let total = match policies.get::<policy::Timeout>() {
        Some(policy::Timeout { total_ms: 0 }) => return None,
        Some(policy::Timeout { total_ms }) => Duration::from_millis(total_ms),
        None => DEFAULT_TIMEOUT,
    };
    Some(humantime::format_duration(total).to_string())
}

fn retries(retry: &policy::Retry) -> String {
    let mut text = format!("{} on {}", retry.num_retries, retry.retry_on.join(","));
    if !retry.retriable_status_codes.is_empty() {
        let codes: Vec<String> = retry.retriable_status_codes.iter().map(u32::to_string).collect();
        text.push_str(&format!(" ({})", codes.join(", ")));
    }
    if retry.per_try_timeout_ms != 0 {
        let limit = humantime::format_duration(Duration::from_millis(retry.per_try_timeout_ms));
        text.push_str(&format!(", {limit} a try"));
    }
    text
}

fn endpoint(endpoint: &Endpoint) -> String {
    match &endpoint.hostname {
        Some(name) => format!("{} ({name})", endpoint.address),
        None => endpoint.address.to_string(),
    }
}

fn protocol(upstream: &Upstream) -> String {
    let version = match (upstream.http.as_downstream, upstream.http2) {
        (true, _) => "the client's version of http",
        (false, true) => "http/2",
        (false, false) => "http/1.1",
    };
    match &upstream.tls {
        None => version.to_owned(),
        Some(tls) if tls.ca_certificate.is_some() => format!("{version} over TLS"),
        Some(_) => format!("{version} over TLS, server not verified"),
    }
}
