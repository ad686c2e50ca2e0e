//! The runtime: a whole table made executable. Immutable; a worker swaps one pointer to put a new one in force, and a
//! request works with the one that it began with.
//!
//! [`Held`] is what the worker holds of the table; [`Runtime::build`] makes it executable, off the request path, taking
//! over from the runtime before whatever has not changed: virtual hosts, TLS configurations, upstreams with their
//! endpoints and counts. What cannot be built is rejected by itself: it keeps its previous form, and a virtual host
//! that has none answers 503. Knows neither protobuf (beyond handing it to decoders) nor connections.

mod build;
mod destinations;
mod listener;
mod names;
mod protocol;
mod route_config;
mod tcp;
mod virtual_cluster;
mod virtual_host;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use portcullis_shared::table::Kind;
use portcullis_shared::version::Digest;

use crate::held::shards::Shards;
use crate::policy;
use crate::upstream::Upstream;

pub use crate::held::Held;
pub use destinations::{Destination, Destinations, Split};
pub use listener::{Chain, Listener, Serve};
pub use portcullis_shared::table::{DirectResponse, Redirect};
pub use protocol::Http;
pub use route_config::RouteConfig;
pub use tcp::{TcpRoute, TcpTarget};
pub use virtual_cluster::{VirtualCluster, VirtualClusters};
pub use virtual_host::{Action, Route, Target, VirtualHost};

/// Something made from a table resource, and the digest of what it was made from.
#[derive(Debug)]
struct Built<T> {
    digest: Digest,
    value: Arc<T>,
}

impl<T> Clone for Built<T> {
    fn clone(&self) -> Self {
        Self { digest: self.digest, value: Arc::clone(&self.value) }
    }
}

type Named<T> = Shards<Built<T>>;

/// An executable table.
#[derive(Debug, Default)]
pub struct Runtime {
    /// Its number among those of this process; 0 = nothing was built yet.
    generation: u64,
    /// What it was made of, to know what changes next.
    held: Held,
    /// Kinds and parts that hold rejected resources: they are tried again in the next build.
    unsettled: HashSet<(Kind, usize)>,
    listeners: Vec<Arc<Listener>>,
    route_configs: HashMap<Arc<str>, Arc<RouteConfig>, RandomState>,
    /// Policies of listeners that have some, by the route configuration of their chain.
    listener_policies: HashMap<Arc<str>, policy::Chain, RandomState>,
    virtual_hosts: Named<VirtualHost>,
    upstreams: Named<Upstream>,
    splits: Named<Split>,
}

/// A resource that could not be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Kind of the resource.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// Field path in the resource.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

impl Runtime {
    /// Makes `held` executable. Everything that did not change since `prev` is taken over from it.
    #[must_use]
    pub fn build(held: &Held, prev: Option<&Self>) -> (Arc<Self>, Vec<Rejection>) {
        build::run(held, prev)
    }

    /// Its number among those of this process.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What it was made of, without what only the making needed.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// All listeners, by name.
    #[must_use]
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// The listener of that name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| *listener.name == *name)
    }

    /// The policies of the listeners that requests of this route configuration come by; none = no policy.
    #[must_use]
    pub fn listener_policies(&self, route_config: &str) -> Option<&policy::Chain> {
        if self.listener_policies.is_empty() { None } else { self.listener_policies.get(route_config) }
    }

    /// What the filter chains that name it serve. None = no virtual host is in it.
    #[must_use]
    pub fn route_config(&self, name: &str) -> Option<&Arc<RouteConfig>> {
        self.route_configs.get(name)
    }

    /// The virtual host of that name.
    #[must_use]
    pub fn virtual_host(&self, name: &str) -> Option<&Arc<VirtualHost>> {
        self.virtual_hosts.get(name).map(|built| &built.value)
    }

    /// All virtual hosts, in no order.
    pub fn virtual_hosts(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        self.virtual_hosts.values().map(|built| &built.value)
    }

    /// Number of virtual hosts.
    #[must_use]
    pub fn virtual_host_count(&self) -> usize {
        self.virtual_hosts.len()
    }

    /// The upstream of that name.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.upstreams.get(name).map(|built| &built.value)
    }

    /// All upstreams, in no order.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values().map(|built| &built.value)
    }

    /// The upstreams that `former` may not have, or may have in another form. No more is looked at than what the two
    /// do not share.
    pub fn upstreams_beyond<'a>(&'a self, former: &'a Self) -> impl Iterator<Item = &'a Arc<Upstream>> {
        let parts = self.upstreams.parts().zip(former.upstreams.parts());
        let other = parts.filter(|(part, former)| !Arc::ptr_eq(part, former));
        other.flat_map(|(part, _)| part.values()).map(|built| &built.value)
    }

    /// The split of that name.
    #[must_use]
    pub fn split(&self, name: &str) -> Option<&Arc<Split>> {
        self.splits.get(name).map(|built| &built.value)
    }

    /// A new session of the link counts its endpoint sets from the start. Current endpoints stay.
    pub fn begin_session(&self) {
        self.upstreams().for_each(|upstream| upstream.begin_session());
    }
}
