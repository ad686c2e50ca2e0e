//! Tables as a compiler would make them, small.

use std::net::Ipv4Addr;

use bytes::Bytes;
use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::link::v1::{Delta, ResourceDigest, ResourceId, Upsert};
use portcullis_proto::policy::v1 as policy;
use portcullis_proto::table::v1 as wire;
use portcullis_shared::table::{identity, upsert};
use portcullis_shared::version::{Digest, TableDigest};
use prost::{Message as _, Name as _};

use crate::pki::Material;

/// A whole table.
#[derive(Clone, Default)]
pub struct Table(Vec<Upsert>);

impl Table {
    /// Adds a resource, or replaces the one of its kind and name.
    pub fn with(mut self, resource: Resource) -> Self {
        let (kind, name) = identity(&resource);
        let (kind, name) = (kind, name.to_owned());
        self.0.retain(|other| identity(other.resource.as_ref().unwrap()) != (kind, name.as_str()));
        self.0.push(upsert(resource));
        self
    }

    /// Takes out whatever has this name.
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|other| identity(other.resource.as_ref().unwrap()).1 != name);
        self
    }

    pub fn resources(&self) -> Vec<ResourceDigest> {
        let resource = |upsert: &Upsert| {
            let (kind, name) = identity(upsert.resource.as_ref().unwrap());
            ResourceDigest { kind: kind.wire(), name: name.to_owned(), digest: upsert.digest.clone() }
        };
        self.0.iter().map(resource).collect()
    }

    pub fn digest(&self) -> Bytes {
        let mut digest = TableDigest::default();
        for ResourceDigest { kind, name, digest: own } in self.resources() {
            digest.add(kind, &name, &Digest::from_slice(&own).unwrap());
        }
        digest.get().to_bytes()
    }

    /// What makes `have` this table.
    pub fn delta(&self, have: &[ResourceDigest]) -> Delta {
        let own = self.resources();
        let upserts =
            self.0.iter().zip(&own).filter(|(_, resource)| !have.contains(resource)).map(|(u, _)| u.clone());
        let removes = have
            .iter()
            .filter(|had| !own.iter().any(|r| (r.kind, &r.name) == (had.kind, &had.name)))
            .map(|had| ResourceId { kind: had.kind, name: had.name.clone() });
        Delta { upserts: upserts.collect(), removes: removes.collect(), ..Default::default() }
    }
}

fn chain(name: &str, tls: Option<wire::DownstreamTls>, server_names: &[&str]) -> wire::FilterChain {
    wire::FilterChain {
        name: name.into(),
        server_names: server_names.iter().map(|name| (*name).to_owned()).collect(),
        tls,
        serve: Some(wire::filter_chain::Serve::RouteConfig("main".into())),
        ..Default::default()
    }
}

/// A plain listener.
pub fn listener(address: Ipv4Addr, port: u16) -> Resource {
    Resource::Listener(wire::Listener {
        name: format!("listener-{address}-{port}"),
        address: address.to_string(),
        port: port.into(),
        filter_chains: vec![chain("plain", None, &[])],
        ..Default::default()
    })
}

/// A plain listener behind a balancer.
pub fn proxied_listener(address: Ipv4Addr, port: u16) -> Resource {
    let Resource::Listener(mut listener) = listener(address, port) else { unreachable!() };
    listener.proxy_protocol = true;
    Resource::Listener(listener)
}

/// A TLS listener: (certificate, server names, client certificates) per chain.
pub fn tls_listener(address: Ipv4Addr, port: u16, chains: &[(&str, &[&str], bool)]) -> Resource {
    let Resource::Listener(mut listener) = listener(address, port) else { unreachable!() };
    listener.filter_chains = chains
        .iter()
        .map(|(certificate, names, client)| {
            let tls = wire::DownstreamTls {
                certificate: (*certificate).to_owned(),
                require_client_certificate: *client,
                alpn: vec!["h2".into(), "http/1.1".into()],
                ..Default::default()
            };
            chain(certificate, Some(tls), names)
        })
        .collect();
    Resource::Listener(listener)
}

pub fn certificate(name: &str, material: &Material, ca: Option<&Material>) -> Resource {
    Resource::Certificate(wire::Certificate {
        name: name.into(),
        chain_der: vec![material.certificate.to_vec().into()],
        key_der: material.key.clone().into(),
        ca_der: ca.iter().map(|ca| ca.certificate.to_vec().into()).collect(),
        ocsp_staple: Bytes::new(),
    })
}

fn host(name: &str, domain: &str, action: wire::route::Action) -> wire::VirtualHost {
    // Tells the client who the worker thinks it is.
    let address = policy::HeaderAdd {
        name: "x-client".into(),
        value: "%DOWNSTREAM_REMOTE_ADDRESS%".into(),
        overwrite: true,
    };
    let headers = policy::Headers {
        request: Vec::new(),
        response: vec![policy::HeaderLevel { remove: Vec::new(), add: vec![address] }],
    };
    wire::VirtualHost {
        name: name.into(),
        route_configs: vec!["main".into()],
        domains: vec![domain.into()],
        routes: vec![wire::Route {
            name: format!("{name}-route"),
            r#match: Some(wire::Match {
                path: Some(wire::r#match::Path::Prefix("/".into())),
                ..Default::default()
            }),
            action: Some(action),
            policies: vec![prost_types::Any {
                type_url: policy::Headers::type_url(),
                value: headers.encode_to_vec(),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A virtual host that answers `body` itself.
pub fn answering(name: &str, domain: &str, body: &str) -> Resource {
    let response = wire::DirectResponse { status: 200, body: body.into() };
    Resource::VirtualHost(host(name, domain, wire::route::Action::DirectResponse(response)))
}

/// A virtual host that forwards to `upstream`.
pub fn forwarding(name: &str, domain: &str, upstream: &str) -> Resource {
    let destination =
        wire::Destination { upstream: upstream.into(), weight: 1, policies: Vec::new(), subset: Vec::new() };
    let target = wire::forward::Target::Destinations(wire::Destinations { destinations: vec![destination] });
    let action = wire::route::Action::Forward(wire::Forward { target: Some(target) });
    Resource::VirtualHost(host(name, domain, action))
}

/// A virtual host with a policy that no worker knows.
pub fn from_the_future(name: &str, domain: &str) -> Resource {
    let response = wire::DirectResponse { status: 200, body: "never".into() };
    let mut host = host(name, domain, wire::route::Action::DirectResponse(response));
    host.routes[0]
        .policies
        .push(prost_types::Any { type_url: "/portcullis.policy.v9.Unheard".into(), value: Vec::new() });
    Resource::VirtualHost(host)
}

/// An upstream whose endpoints come by the lane.
pub fn dynamic_upstream(name: &str) -> Resource {
    Resource::Upstream(wire::Upstream { name: name.into(), dynamic_endpoints: true, ..Default::default() })
}

pub fn endpoints(upstream: &str, sequence: u64, address: std::net::SocketAddr) -> wire::EndpointSet {
    let endpoint = wire::Endpoint {
        address: address.ip().to_string(),
        port: address.port().into(),
        ..Default::default()
    };
    wire::EndpointSet { upstream: upstream.into(), sequence, endpoints: vec![endpoint] }
}
