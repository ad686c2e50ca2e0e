//! "served by n/m workers": which workers run the present form of an object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::table::v1::{Kind as WireKind, Origin, VirtualHost};

use crate::compile::{Body, Key, Table};
use crate::config::Published;
use crate::publish::{Rollout, Worker};
use crate::resource::{Kind, ObjectRef};

/// The wire resources that each object is part of.
type Parts = BTreeMap<ObjectRef, BTreeSet<Key>>;

/// The parts of all objects, by proxy, and who runs what.
pub struct Served {
    /// Per proxy: its table, and the parts of each object in it.
    proxies: BTreeMap<Arc<str>, (Arc<Table>, Parts)>,
    rollout: Rollout,
}

impl Served {
    /// Reads the tables once.
    #[must_use]
    pub fn new(published: &Published, rollout: Rollout) -> Self {
        let proxies = published
            .proxies
            .iter()
            .map(|(name, proxy)| (Arc::clone(name), (Arc::clone(&proxy.table), parts(&proxy.table))))
            .collect();
        Self { proxies, rollout }
    }

    /// (workers that run the object's present form, workers that should).
    ///
    /// A worker should run it if its proxy's table holds a part of it; it does if it acknowledged all these parts in
    /// their present form and refuses none of them.
    #[must_use]
    pub fn count(&self, object: &ObjectRef) -> (u32, u32) {
        let (mut serving, mut total) = (0, 0);
        for worker in self.rollout.values() {
            let Some((table, objects)) = self.proxies.get(&worker.proxy) else { continue };
            let Some(keys) = objects.get(object) else { continue };
            total += 1;
            if keys.iter().all(|key| runs(worker, table, key)) {
                serving += 1;
            }
        }
        (serving, total)
    }

    /// Why workers do not run the object as it stands: what they refuse of it, and listeners that they cannot bind.
    #[must_use]
    pub fn errors(&self, object: &ObjectRef) -> Vec<String> {
        let of = |worker: &Worker| -> Vec<String> {
            let keys = self.proxies.get(&worker.proxy).and_then(|(_, objects)| objects.get(object));
            keys.into_iter().flatten().filter_map(|key| error(worker, key)).collect()
        };
        self.rollout.values().flat_map(|worker| of(worker)).collect()
    }
}

fn error(worker: &Worker, key: &Key) -> Option<String> {
    let name = &key.1;
    if let Some(refusal) = worker.refused.get(key) {
        let path = if refusal.path.is_empty() { String::new() } else { format!("{}: ", refusal.path) };
        return Some(format!("{}: {name}: {path}{}", worker.id, refusal.reason));
    }
    let is_listener = key.0 == WireKind::Listener as i32;
    let (_, reason) =
        worker.listener_errors.iter().find(|(listener, _)| is_listener && **listener == **name)?;
    Some(format!("{}: {name}: {reason}", worker.id))
}

fn runs(worker: &Worker, table: &Table, key: &Key) -> bool {
    let Some(acknowledged) = &worker.acknowledged else { return false };
    let held = acknowledged.table.entries.get(key).map(|entry| entry.digest);
    held.is_some()
        && held == table.entries.get(key).map(|entry| entry.digest)
        && !worker.refused.contains_key(key)
        && !worker.listener_errors.iter().any(|(listener, _)| **listener == *key.1)
}

fn parts(table: &Table) -> Parts {
    let mut objects = Parts::new();
    let mut add = |origin: Option<&Origin>, key: &Key| {
        if let Some(object) = origin.and_then(object) {
            objects.entry(object).or_default().insert(key.clone());
        }
    };
    for (key, entry) in &table.entries {
        match &entry.body {
            Body::Upsert(Resource::Listener(listener)) => {
                add(listener.origin.as_ref(), key);
                listener.filter_chains.iter().for_each(|chain| add(chain.origin.as_ref(), key));
            }
            Body::Upsert(Resource::Upstream(upstream)) => add(upstream.origin.as_ref(), key),
            Body::Upsert(Resource::Split(split)) => add(split.origin.as_ref(), key),
            Body::Upsert(Resource::VirtualHost(host)) => {
                add(host.origin.as_ref(), key);
                for origin in route_origins(host) {
                    add(Some(origin), key);
                }
            }
            Body::Upsert(Resource::Certificate(_)) | Body::Certificate(_) => {}
        }
    }
    objects
}

/// Origins of the routes, without the many repetitions in a row.
fn route_origins(host: &VirtualHost) -> impl Iterator<Item = &Origin> {
    let mut last: Option<&Origin> = None;
    host.routes
        .iter()
        .filter_map(|route| route.origin.as_ref())
        .filter(move |origin| last.replace(origin) != Some(*origin))
}

fn object(origin: &Origin) -> Option<ObjectRef> {
    Some(ObjectRef::new(Kind::parse(&origin.kind)?, origin.namespace.as_str(), origin.name.as_str()))
}
