//! Snapshot -> Ir + Report. Pure: no I/O, no clock, cannot fail.
//!
//! The unit of work is one VirtualService with everything that it reaches. `cx` is the only way to read a snapshot and
//! records each read; `memo` reuses a unit while every recorded read still gives the same. A full build is the same
//! code with an empty memo.

mod assemble;
mod build;
mod cx;
mod gateway;
mod globals;
mod hybrid;
mod inherit;
mod label;
mod memo;
mod notes;
mod patch;
mod path;
mod place;
mod report;
mod route;
mod secret;
mod service;
mod ssl;
mod tcp;
pub(crate) mod tls;
mod upstreams;

#[cfg(test)]
mod tests;

pub use cx::ServerLookup;
pub use globals::Globals;
pub use memo::Memo;
pub use notes::{Note, Notes};
pub use path::{host_problem, problem as path_problem};
pub use report::{ObjectReport, Report, State};
pub use route::{lower_matcher, wire_name};
pub use secret::{Content, SecretFacts, SecretIndex};
pub use upstreams::SecretReader;

pub use crate::ir::CertificateSource;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ir::Ir;
use crate::ordered::Ordered;
use crate::resource::{Entry, Kind, Object, ObjectRef};

/// All resources at one instant.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What the sources say, one per resource, also those that do not decode.
    pub entries: Ordered<ObjectRef, Arc<Entry>>,
    /// The form of each resource that was accepted last.
    pub accepted: BTreeMap<ObjectRef, Accepted>,
    /// Facts of key material.
    pub secrets: SecretIndex,
    /// The namespace that Gateways and Settings are read from.
    pub own_namespace: Arc<str>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            entries: Ordered::default(),
            accepted: BTreeMap::new(),
            secrets: SecretIndex::default(),
            own_namespace: "gloo-system".into(),
        }
    }
}

/// A form of a resource that was accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The form.
    pub object: Arc<Object>,
    /// When the resource was accepted first, as a count; of two that claim one domain the lower keeps it.
    pub order: u64,
}

/// What translation gives.
#[derive(Debug, Clone, Default)]
pub struct Translated {
    /// The validated model.
    pub ir: Arc<Ir>,
    /// One entry per resource of the snapshot. The same object as last time while nothing else is to be said.
    pub report: Arc<Report>,
    /// Key material that is referred to, found or not.
    pub wanted: Arc<BTreeSet<CertificateSource>>,
    /// Upstreams whose endpoints have to be looked up, in order of name.
    pub dynamic: Arc<Vec<DynamicUpstream>>,
}

/// An upstream whose endpoints discovery finds. All of its hosts are here, also those that are addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicUpstream {
    /// Wire name of the upstream.
    pub name: Arc<str>,
    /// In the order of the resource.
    pub hosts: Vec<DnsHost>,
    /// How often they are looked up.
    pub pace: Pace,
}

/// How often a name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two lookups.
    pub refresh: std::time::Duration,
    /// Unless the answer says how long it is valid.
    pub respects_ttl: bool,
}

/// One host to look up. DNS names are resolved to IPv4 addresses only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsHost {
    /// DNS name, or an IP literal that needs no lookup.
    pub host: Arc<str>,
    /// Port of all its endpoints.
    pub port: u16,
    /// At least 1; each endpoint gets it.
    pub weight: u32,
    /// Server name of its endpoints.
    pub sni: Option<Arc<str>>,
    /// Labels of its endpoints.
    pub labels: crate::ir::Labels,
}

/// Translates a snapshot.
pub fn translate(snapshot: &Snapshot, memo: &mut Memo) -> Translated {
    build::Build::new(snapshot, memo).run()
}

/// The upstreams of all resources, as they are handed out. Kept while none changes.
#[derive(Debug, Default)]
struct WireUpstreams {
    all: Vec<(Arc<str>, Arc<crate::ir::Upstream>)>,
    served: Arc<BTreeMap<Arc<str>, Arc<crate::ir::Upstream>>>,
    dynamic: Arc<Vec<DynamicUpstream>>,
    wanted: BTreeSet<CertificateSource>,
}

impl WireUpstreams {
    fn finish(mut self) -> Self {
        self.served = Arc::new(self.all.drain(..).collect());
        Arc::make_mut(&mut self.dynamic).sort_by(|a, b| a.name.cmp(&b.name));
        self
    }
}

/// The resources of one kind, in order.
fn of_kind(snapshot: &Snapshot, kind: Kind) -> impl Iterator<Item = (&ObjectRef, &Arc<Entry>)> {
    snapshot.entries.range(ObjectRef::new(kind, "", "")..).take_while(move |(id, _)| id.kind == kind)
}
