//! Endpoint sets made from what is known of each name.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use portcullis_proto::table::v1::{Endpoint, EndpointSet};

use super::Endpoints;
use super::lookup::{Known, Rhythm};
use crate::compile::labels;
use crate::translate::{DnsHost, DynamicUpstream};

/// The names of `upstreams` that have to be looked up, and how often; addresses need no lookup.
pub(super) fn names(upstreams: &[DynamicUpstream]) -> BTreeMap<Arc<str>, Rhythm> {
    let mut names: BTreeMap<Arc<str>, Rhythm> = BTreeMap::new();
    for upstream in upstreams {
        let rhythm = Rhythm::of(upstream.pace);
        for host in upstream.hosts.iter().filter(|host| literal(&host.host).is_none()) {
            names
                .entry(Arc::clone(&host.host))
                .and_modify(|known| *known = known.and(rhythm))
                .or_insert(rhythm);
        }
    }
    names
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The sets of `upstreams`. A set appears when every one of its names had its first outcome; one that did not change
/// keeps its sequence number, others get `sequence`.
pub(super) fn compose(
    upstreams: &[DynamicUpstream],
    known: &BTreeMap<Arc<str>, Known>,
    before: &Endpoints,
    sequence: u64,
) -> Endpoints {
    let set = |upstream: &DynamicUpstream| {
        let set = set(upstream, known, before.sets.get(&upstream.name), sequence)?;
        Some((Arc::clone(&upstream.name), set))
    };
    Endpoints { sets: upstreams.iter().filter_map(set).collect() }
}

/// Which of `upstreams`, by position, have each name among their hosts.
pub(super) fn users(upstreams: &[DynamicUpstream]) -> HashMap<Arc<str>, Vec<usize>> {
    let mut users: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
    for (at, upstream) in upstreams.iter().enumerate() {
        for host in &upstream.hosts {
            users.entry(Arc::clone(&host.host)).or_default().push(at);
        }
    }
    users
}

/// What [`compose`] gives when something new is known of no more than the names of these upstreams.
pub(super) fn compose_some<'a>(
    some: impl Iterator<Item = &'a DynamicUpstream>,
    known: &BTreeMap<Arc<str>, Known>,
    before: &Endpoints,
    sequence: u64,
) -> Endpoints {
    let mut sets = before.sets.clone();
    for upstream in some {
        let old = before.sets.get(&upstream.name);
        match set(upstream, known, old, sequence) {
            Some(set) if !old.is_some_and(|old| Arc::ptr_eq(old, &set)) => {
                sets.insert(Arc::clone(&upstream.name), set);
            }
            _ => {}
        }
    }
    Endpoints { sets }
}

fn set(
    upstream: &DynamicUpstream,
    known: &BTreeMap<Arc<str>, Known>,
    old: Option<&Arc<EndpointSet>>,
    sequence: u64,
) -> Option<Arc<EndpointSet>> {
    match (endpoints(&upstream.hosts, known), old) {
        (Some(endpoints), Some(old)) if old.endpoints == endpoints => Some(Arc::clone(old)),
        (Some(endpoints), _) => {
            Some(Arc::new(EndpointSet { upstream: upstream.name.to_string(), sequence, endpoints }))
        }
        // A host was added that is not resolved yet: what was known goes on to serve.
        (None, old) => old.map(Arc::clone),
    }
}

fn endpoints(hosts: &[DnsHost], known: &BTreeMap<Arc<str>, Known>) -> Option<Vec<Endpoint>> {
    let mut endpoints = Vec::new();
    for host in hosts {
        let wire = |address: IpAddr, hostname: &str| Endpoint {
            address: address.to_string(),
            port: host.port.into(),
            weight: host.weight,
            hostname: hostname.to_owned(),
            sni: host.sni.as_deref().unwrap_or_default().to_owned(),
            labels: labels(&host.labels),
            pipe: String::new(),
        };
        match literal(&host.host) {
            Some(address) => endpoints.push(wire(address, "")),
            None => {
                let addresses = &known.get(&host.host)?.addresses;
                endpoints.extend(addresses.iter().map(|address| wire((*address).into(), &host.host)));
            }
        }
    }
    Some(endpoints)
}
