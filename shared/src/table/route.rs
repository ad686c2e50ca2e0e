//! One route of a virtual host: what it matches, what it does, and the policies around it.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_proto::table::v1 as wire;
use prost_types::Any;

use super::{Labels, Origin, Redirect, field::required, label::labels};
use crate::{Invalid, routing::Matcher};

/// One route. The first that matches wins.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `<vhost>-route-<i>[-<name>]-matcher-<j>`.
    pub name: Arc<str>,
    /// The VirtualService or RouteTable that holds it.
    pub origin: Arc<Origin>,
    /// Field path in the origin, `spec.virtualHost.routes[3]`.
    pub path: Arc<str>,
    /// Which requests are meant.
    pub matcher: Matcher,
    /// What is done with them.
    pub action: Action,
    /// In execution order.
    pub policies: Vec<Any>,
}

/// What a route does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Sends the request on.
    Forward(Target),
    /// Sends the client elsewhere.
    Redirect(Redirect),
    /// Answers.
    DirectResponse(DirectResponse),
}

/// Where a request is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A weighted list; at least one of them has weight.
    Destinations(Vec<Destination>),
    /// A split by name.
    Split(Arc<str>),
    /// The upstream that this request header names.
    ClusterHeader(http::HeaderName),
    /// The host that the request names.
    Dynamic,
}

/// One member of a weighted list.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// Name of the upstream; one that is not in the table answers 503.
    pub upstream: Arc<str>,
    /// Share of the requests; 0 = never.
    pub weight: u32,
    /// Replace the route's policies of the same type.
    pub policies: Vec<Any>,
    /// Endpoints with these labels; empty = any.
    pub subset: Labels,
}

/// An answer without an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: http::StatusCode,
    /// May be empty.
    pub body: Bytes,
}

impl TryFrom<wire::Route> for Route {
    type Error = Invalid;

    fn try_from(wire: wire::Route) -> Result<Self, Invalid> {
        let matcher = wire.r#match.ok_or_else(|| Invalid::new("match", "missing"))?;
        Ok(Self {
            name: required("name", wire.name)?,
            origin: Arc::new(Origin::try_from(wire.origin).map_err(|e| e.under("origin"))?),
            path: wire.path.into(),
            matcher: Matcher::try_from(matcher).map_err(|e| e.under("match"))?,
            action: wire.action.ok_or_else(|| Invalid::new("", "no action"))?.try_into()?,
            policies: policies(wire.policies)?,
        })
    }
}

impl TryFrom<wire::route::Action> for Action {
    type Error = Invalid;

    fn try_from(wire: wire::route::Action) -> Result<Self, Invalid> {
        match wire {
            wire::route::Action::Forward(forward) => {
                Target::try_from(forward).map(Self::Forward).map_err(|e| e.under("forward"))
            }
            wire::route::Action::Redirect(redirect) => {
                Redirect::try_from(redirect).map(Self::Redirect).map_err(|e| e.under("redirect"))
            }
            wire::route::Action::DirectResponse(response) => DirectResponse::try_from(response)
                .map(Self::DirectResponse)
                .map_err(|e| e.under("direct_response")),
        }
    }
}

impl TryFrom<wire::Forward> for Target {
    type Error = Invalid;

    fn try_from(wire: wire::Forward) -> Result<Self, Invalid> {
        use wire::forward::Target as Wire;
        match wire.target.ok_or_else(|| Invalid::new("target", "missing"))? {
            Wire::Destinations(list) => {
                destinations(list).map(Self::Destinations).map_err(|e| e.under("destinations"))
            }
            Wire::Split(name) => required("split", name).map(Self::Split),
            Wire::Dynamic(_) => Ok(Self::Dynamic),
            Wire::ClusterHeader(name) => http::HeaderName::from_bytes(name.as_bytes())
                .map(Self::ClusterHeader)
                .map_err(|_| Invalid::new("cluster_header", format!("\"{name}\" is not a header name"))),
        }
    }
}

/// A weighted list that can be picked from.
pub(super) fn destinations(wire: wire::Destinations) -> Result<Vec<Destination>, Invalid> {
    let list: Vec<Destination> = super::field::each("destinations", wire.destinations)?;
    match list.iter().any(|destination| destination.weight > 0) {
        true => Ok(list),
        false => Err(Invalid::new("destinations", "the total weight is 0")),
    }
}

impl TryFrom<wire::Destination> for Destination {
    type Error = Invalid;

    fn try_from(wire: wire::Destination) -> Result<Self, Invalid> {
        Ok(Self {
            upstream: required("upstream", wire.upstream)?,
            weight: wire.weight,
            policies: policies(wire.policies)?,
            subset: labels("subset", wire.subset)?,
        })
    }
}

/// A policy without a type cannot be looked up, and must not be skipped.
pub(super) fn policies(list: Vec<Any>) -> Result<Vec<Any>, Invalid> {
    match list.iter().position(|any| any.type_url.is_empty()) {
        Some(i) => Err(Invalid::new(format!("policies[{i}].type_url"), "must not be empty")),
        None => Ok(list),
    }
}

impl TryFrom<wire::DirectResponse> for DirectResponse {
    type Error = Invalid;

    fn try_from(wire: wire::DirectResponse) -> Result<Self, Invalid> {
        let status = u16::try_from(wire.status)
            .ok()
            .filter(|code| (200..600).contains(code))
            .and_then(|code| http::StatusCode::from_u16(code).ok())
            .ok_or_else(|| Invalid::new("status", format!("{} is not in 200 to 599", wire.status)))?;
        Ok(Self { status, body: wire.body.into() })
    }
}

#[cfg(test)]
mod tests;
