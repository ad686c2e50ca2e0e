//! Virtual hosts, routes and splits.

use portcullis_proto::table::v1 as wire;
use portcullis_proto::table::v1::{forward, header_match, r#match, query_match, redirect, route};

use super::{origin, policies, strings, text};
use crate::ir::{
    Action, Destination, Matcher, PathMatch, PathRedirect, Placement, Redirect, RedirectCode, Route, Split,
    Target, ValueMatch, VirtualCluster,
};

/// A virtual host as it is served by one proxy.
pub fn virtual_host(placement: &Placement) -> wire::VirtualHost {
    let host = &placement.host;
    wire::VirtualHost {
        name: placement.name.to_string(),
        origin: origin(&host.origin),
        route_configs: strings(&placement.route_configs),
        domains: strings(&host.domains),
        routes: host.routes.iter().map(route).collect(),
        require_tls: placement.require_tls,
        client_chain: placement.client_chain.as_deref().unwrap_or_default().to_owned(),
        virtual_clusters: host.virtual_clusters.iter().map(virtual_cluster).collect(),
    }
}

fn virtual_cluster(cluster: &VirtualCluster) -> wire::VirtualCluster {
    wire::VirtualCluster {
        name: cluster.name.to_string(),
        pattern: cluster.pattern.to_string(),
        method: cluster.method.to_string(),
    }
}

/// A weighted split.
pub fn split(split: &Split) -> wire::Split {
    wire::Split {
        name: split.name.to_string(),
        origin: origin(&split.origin),
        destinations: Some(destinations(&split.destinations)),
    }
}

fn route(route: &Route) -> wire::Route {
    wire::Route {
        name: route.name.to_string(),
        origin: origin(&route.origin),
        path: route.path.to_string(),
        r#match: Some(matcher(&route.matcher)),
        action: Some(action(&route.action)),
        policies: policies(&route.policies),
    }
}

/// A matcher.
pub fn matcher(matcher: &Matcher) -> wire::Match {
    let (path, ignore_case) = match &matcher.path {
        PathMatch::Prefix { text, ignore_case } => (r#match::Path::Prefix(text.to_string()), *ignore_case),
        PathMatch::Exact { text, ignore_case } => (r#match::Path::Exact(text.to_string()), *ignore_case),
        PathMatch::Regex(text) => (r#match::Path::Regex(text.to_string()), false),
        PathMatch::Connect => (r#match::Path::Connect(true), false),
    };
    wire::Match {
        path: Some(path),
        ignore_case,
        methods: strings(&matcher.methods),
        headers: matcher
            .headers
            .iter()
            .map(|header| wire::HeaderMatch {
                name: header.name.to_string(),
                invert: header.invert,
                value: Some(match &header.value {
                    ValueMatch::Present => header_match::Value::Present(true),
                    ValueMatch::Exact(text) => header_match::Value::Exact(text.to_string()),
                    ValueMatch::Regex(text) => header_match::Value::Regex(text.to_string()),
                }),
            })
            .collect(),
        query: matcher
            .query
            .iter()
            .map(|query| wire::QueryMatch {
                name: query.name.to_string(),
                value: Some(match &query.value {
                    ValueMatch::Present => query_match::Value::Present(true),
                    ValueMatch::Exact(text) => query_match::Value::Exact(text.to_string()),
                    ValueMatch::Regex(text) => query_match::Value::Regex(text.to_string()),
                }),
            })
            .collect(),
    }
}

fn action(action: &Action) -> route::Action {
    match action {
        Action::Forward(target) => route::Action::Forward(wire::Forward {
            target: Some(match target {
                Target::Destinations(list) => forward::Target::Destinations(destinations(list)),
                Target::Split(name) => forward::Target::Split(name.to_string()),
                Target::ClusterHeader(name) => forward::Target::ClusterHeader(name.to_string()),
                Target::Dynamic => forward::Target::Dynamic(true),
            }),
        }),
        Action::Redirect(it) => route::Action::Redirect(redirect(it)),
        Action::DirectResponse(it) => route::Action::DirectResponse(wire::DirectResponse {
            status: u32::from(it.status),
            body: it.body.to_string(),
        }),
    }
}

pub(super) fn destinations(list: &[Destination]) -> wire::Destinations {
    wire::Destinations {
        destinations: list
            .iter()
            .map(|destination| wire::Destination {
                upstream: destination.upstream.to_string(),
                weight: destination.weight,
                policies: policies(&destination.policies),
                subset: super::labels(&destination.subset),
            })
            .collect(),
    }
}

fn redirect(redirect: &Redirect) -> wire::Redirect {
    let code = match redirect.code {
        RedirectCode::MovedPermanently => wire::RedirectCode::MovedPermanently,
        RedirectCode::Found => wire::RedirectCode::Found,
        RedirectCode::SeeOther => wire::RedirectCode::SeeOther,
        RedirectCode::TemporaryRedirect => wire::RedirectCode::TemporaryRedirect,
        RedirectCode::PermanentRedirect => wire::RedirectCode::PermanentRedirect,
    };
    wire::Redirect {
        host: text(&redirect.host),
        https: redirect.https,
        port: redirect.port.map_or(0, u32::from),
        code: code as i32,
        strip_query: redirect.strip_query,
        path_rewrite: redirect.path.as_ref().map(|path| match path {
            PathRedirect::Path(text) => redirect::PathRewrite::Path(text.to_string()),
            PathRedirect::Prefix(text) => redirect::PathRewrite::Prefix(text.to_string()),
            PathRedirect::Regex(it) => redirect::PathRewrite::Regex(wire::RegexRewrite {
                pattern: it.pattern.to_string(),
                substitution: it.substitution.to_string(),
            }),
        }),
    }
}
