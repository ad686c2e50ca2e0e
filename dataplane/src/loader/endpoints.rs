//! The endpoint lane inside the worker: from the link straight to the upstreams' state, without a new runtime.
//!
//! Every set is remembered as well, because the upstream it is for may be defined only later. This module must not
//! build anything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use portcullis_proto::table::v1 as wire;
use portcullis_shared::table::EndpointSet;

use crate::cache::{Changes, Journal};
use crate::runtime::Runtime;

/// Sets that are remembered; more than one for each upstream of a very large table cannot be meant seriously.
const LIMIT: usize = 1_000_000;

/// The lane.
pub struct Endpoints {
    /// Held while a set or a runtime changes hands, so that no set falls between an old runtime and a new one.
    remembered: Mutex<HashMap<Arc<str>, EndpointSet>>,
    runtime: Arc<ArcSwap<Runtime>>,
    journal: Arc<Journal>,
}

impl Endpoints {
    /// A lane to the upstreams of `runtime`.
    #[must_use]
    pub fn new(runtime: Arc<ArcSwap<Runtime>>, journal: Arc<Journal>) -> Arc<Self> {
        Arc::new(Self { remembered: Mutex::default(), runtime, journal })
    }

    /// A set came from control. One that is not valid is logged and dropped: the upstream keeps what it has.
    pub fn give(&self, wire: wire::EndpointSet) {
        let set = match EndpointSet::try_from(wire.clone()) {
            Ok(set) => set,
            Err(error) => {
                tracing::warn!(upstream = wire.upstream, %error, "unusable endpoints; keeping the former ones");
                return;
            }
        };
        let mut changes = Changes::default();
        changes.endpoints.insert(Arc::clone(&set.upstream), Some(wire));
        self.take(set);
        self.journal.record(changes);
    }

    /// A set from the cache: like one from control, but older than anything that a session sends.
    pub fn restore(&self, wire: wire::EndpointSet) {
        match EndpointSet::try_from(wire) {
            Ok(set) => self.take(EndpointSet { sequence: 0, ..set }),
            Err(error) => tracing::warn!(%error, "unusable endpoints in the cache"),
        }
    }

    fn take(&self, set: EndpointSet) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upstream) = self.runtime.load().upstream(&set.upstream) {
            upstream.set_endpoints(&set);
        }
        if remembered.len() < LIMIT || remembered.contains_key(&set.upstream) {
            remembered.insert(Arc::clone(&set.upstream), set);
        }
    }

    /// A session begins: it counts its sets from the start.
    pub fn begin_session(&self) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        for set in remembered.values_mut() {
            set.sequence = 0;
        }
        for upstream in self.runtime.load().upstreams() {
            upstream.begin_session();
        }
    }

    /// Makes `next` the runtime that is served. Its upstreams have their endpoints before any request sees them.
    pub fn publish(&self, next: Arc<Runtime>) {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        // What an upstream was given stays with it from one runtime to the next.
        for upstream in next.upstreams_beyond(&self.runtime.load()) {
            if let Some(set) = remembered.get(&upstream.name) {
                upstream.set_endpoints(set);
            }
        }
        self.runtime.store(next);
    }

    /// Upstreams that are no more.
    pub fn forget<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes = Changes::default();
        for name in names {
            if remembered.remove(name).is_some() {
                changes.endpoints.insert(name.into(), None);
            }
        }
        drop(remembered);
        if !changes.endpoints.is_empty() {
            self.journal.record(changes);
        }
    }
}
