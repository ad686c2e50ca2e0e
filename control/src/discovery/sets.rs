//! Endpoint sets made from what is known of each name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use portcullis_proto::table::v1::{Endpoint, EndpointSet};

use super::Endpoints;
use super::lookup::Known;
use crate::translate::{DnsHost, DynamicUpstream};

/// The names of `upstreams` that have to be looked up; addresses need no lookup.
pub(super) fn names(upstreams: &[DynamicUpstream]) -> BTreeSet<Arc<str>> {
    upstreams
        .iter()
        .flat_map(|upstream| &upstream.hosts)
        .filter(|host| literal(&host.host).is_none())
        .map(|host| Arc::clone(&host.host))
        .collect()
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
    let mut sets = BTreeMap::new();
    for upstream in upstreams {
        let old = before.sets.get(&upstream.name);
        let Some(endpoints) = endpoints(&upstream.hosts, known) else {
            // A host was added that is not resolved yet: what was known goes on to serve.
            if let Some(old) = old {
                sets.insert(Arc::clone(&upstream.name), Arc::clone(old));
            }
            continue;
        };
        let set = match old {
            Some(old) if old.endpoints == endpoints => Arc::clone(old),
            _ => Arc::new(EndpointSet { upstream: upstream.name.to_string(), sequence, endpoints }),
        };
        sets.insert(Arc::clone(&upstream.name), set);
    }
    Endpoints { sets }
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
