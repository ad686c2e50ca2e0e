//! Applies transactions and restores the cache. Plain and synchronous: it is called on a blocking thread.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use portcullis_proto::link::v1 as pb;
use portcullis_proto::link::v1::upsert::Resource as Wire;
use portcullis_shared::table::{Kind, encode_upsert, identity};
use portcullis_shared::version::Version;
use tokio::sync::watch;

use super::{Endpoints, Loaded, Origin, Published};
use crate::cache::{Changes, Entry, Journal, Key, store};
use crate::link::{Outcome, Transaction};
use crate::runtime::{Held, Rejection, Runtime};

/// Where a loader publishes. Outlives it.
#[derive(Clone)]
pub struct Topics {
    /// Swaps the pointer that requests read.
    pub endpoints: Arc<Endpoints>,
    /// What the cache is to write.
    pub journal: Arc<Journal>,
    /// Tells the data threads.
    pub published: Arc<watch::Sender<Published>>,
    /// Tells everybody else.
    pub loaded: Arc<watch::Sender<Loaded>>,
}

/// The table that is held, and the runtime made of it.
pub struct Loader {
    topics: Topics,
    held: Held,
    /// What the runtime does not have in the form that control sent.
    rejected: HashSet<Key>,
    /// Rejected resources whose previous form is in the cache: they go there when what they lacked has arrived.
    deferred: HashMap<Key, Entry>,
    /// Nothing is known of what is on disk.
    cold: bool,
}

impl Loader {
    /// A loader that holds nothing. What is served stays until the first transaction.
    #[must_use]
    pub fn new(topics: Topics) -> Self {
        Self { topics, held: Held::default(), rejected: HashSet::new(), deferred: HashMap::new(), cold: true }
    }

    /// Another one that holds nothing and publishes to the same topics.
    #[must_use]
    pub fn clone_cold(&self) -> Self {
        Self::new(self.topics.clone())
    }

    /// Serves what the cache has. Gives `false` when that is nothing.
    pub fn restore(&mut self, cached: store::Loaded) -> bool {
        self.cold = false;
        for set in cached.endpoints {
            self.topics.endpoints.restore(set);
        }
        for ((kind, name), entry) in cached.entries {
            let Some(resource) = store::resource(kind, &entry.body) else { continue };
            let upsert = pb::Upsert { digest: entry.digest.to_bytes(), resource: Some(resource) };
            if let Err(error) = self.held.upsert(upsert) {
                tracing::warn!(kind, %name, %error, "unusable resource in the cache");
            }
        }
        if self.held.is_empty() {
            return false;
        }
        let Some((runtime, rejected)) = self.build() else { return false };
        self.rejected = rejected.iter().map(key).collect();
        for Rejection { kind, name, path, reason } in &rejected {
            tracing::warn!(%kind, %name, path, reason, "cached resource is not usable");
        }
        let (version, written) = match cached.saved {
            Some(saved) => (Some(saved.version), Some(saved.at)),
            None => (None, None),
        };
        self.publish(runtime, Origin::Cache { version, written }, rejected.len());
        self.topics.loaded.send_modify(|loaded| loaded.complete = true);
        true
    }

    /// Everything that runs, for a Have. What was rejected is left out, so that control sends it again and a control
    /// that was started anew learns that it is rejected.
    #[must_use]
    pub fn have(&self) -> Vec<pb::ResourceDigest> {
        let runs = self.held.resources().filter(|(kind, name, _)| {
            self.rejected.is_empty() || !self.rejected.contains(&(kind.wire(), Arc::clone(name)))
        });
        runs.map(|(kind, name, digest)| pb::ResourceDigest {
            kind: kind.wire(),
            name: name.to_string(),
            digest: digest.to_bytes(),
        })
        .collect()
    }

    /// Applies a transaction as a whole, or not at all.
    pub fn apply(&mut self, transaction: Transaction) -> Outcome {
        let Transaction { reset, upserts, removes, version, table_digest } = transaction;
        let mut next = if reset { Held::default() } else { self.held.clone() };
        for id in &removes {
            // A kind that we do not know is nothing that we have.
            if let Ok(kind) = Kind::try_from(id.kind) {
                next.remove(kind, &id.name);
            }
        }
        let mut arrived: Vec<(Key, Entry)> = Vec::with_capacity(upserts.len());
        for upsert in upserts {
            arrived.extend(upsert.resource.as_ref().map(entry));
            if let Err(error) = next.upsert(upsert) {
                return Outcome::Refused(error.to_string());
            }
        }
        if next.digest() != table_digest {
            tracing::warn!(%version, "the table's digest is not control's; asking for all of it");
            return Outcome::Mismatch;
        }
        let former = std::mem::replace(&mut self.held, next);
        let Some((runtime, rejected)) = self.build() else {
            self.rejected.extend(arrived.iter().map(|(key, _)| key.clone()));
            return Outcome::Applied { rejected: all_rejected(&arrived) };
        };
        self.rejected = rejected.iter().map(key).collect();
        for Rejection { kind, name, path, reason } in &rejected {
            tracing::warn!(%version, %kind, %name, path, reason, "resource rejected");
        }
        let former = if reset { Held::default() } else { former };
        self.record(reset, &removes, arrived, &former, version);
        self.publish(runtime, Origin::Control { version }, rejected.len());
        let gone = removes.iter().filter(|id| id.kind == Kind::Upstream.wire());
        self.topics.endpoints.forget(gone.map(|id| id.name.as_str()));
        Outcome::Applied { rejected: rejected.into_iter().map(wire).collect() }
    }

    /// `None` when building panicked: then the former runtime goes on being served. A worker that ends itself over one
    /// resource would end itself over it again and again.
    fn build(&mut self) -> Option<(Arc<Runtime>, Vec<Rejection>)> {
        let former = Arc::clone(&self.topics.published.borrow().runtime);
        let built = catch_unwind(AssertUnwindSafe(|| Runtime::build(&self.held, Some(&former))));
        match &built {
            Ok((runtime, _)) => self.held = runtime.held().clone(),
            Err(_) => tracing::error!("building the table panicked; serving the former one"),
        }
        built.ok()
    }

    fn publish(&self, runtime: Arc<Runtime>, origin: Origin, rejected: usize) {
        let listeners = runtime.listeners().len();
        self.topics.endpoints.publish(Arc::clone(&runtime));
        self.topics.published.send_modify(|published| {
            published.generation += 1;
            published.runtime = runtime;
        });
        self.topics.loaded.send_modify(|loaded| {
            loaded.origin = origin;
            loaded.table_digest = self.held.digest();
            loaded.listeners = listeners;
            loaded.rejected = rejected;
        });
        tracing::info!(table = %*self.topics.loaded.borrow(), "table applied");
    }

    /// Tells the cache. Where a rejected resource has a previous form there, that one stays: it is what the worker
    /// serves, and should serve again after a restart. Listeners are rejected chain by chain, so that the new form is
    /// the better one.
    fn record(
        &mut self,
        reset: bool,
        removes: &[pb::ResourceId],
        arrived: Vec<(Key, Entry)>,
        former: &Held,
        version: Version,
    ) {
        let reset = std::mem::replace(&mut self.cold, false) || reset;
        let mut changes = Changes { reset, version: Some(version), ..Changes::default() };
        if reset {
            self.deferred.clear();
        }
        for id in removes {
            let key = (id.kind, Arc::from(id.name.as_str()));
            self.deferred.remove(&key);
            changes.entries.insert(key, None);
        }
        let kept = |key: &Key| match Kind::try_from(key.0) {
            Ok(Kind::Listener) | Err(_) => false,
            Ok(kind) => !reset && former.digest_of(kind, &key.1).is_some(),
        };
        for (key, entry) in arrived {
            if self.rejected.contains(&key) && kept(&key) {
                self.deferred.insert(key, entry);
            } else {
                self.deferred.remove(&key);
                changes.entries.insert(key, Some(entry));
            }
        }
        let fine: Vec<Key> =
            self.deferred.keys().filter(|key| !self.rejected.contains(key)).cloned().collect();
        for key in fine {
            let entry = self.deferred.remove(&key);
            changes.entries.insert(key, entry);
        }
        self.topics.journal.record(changes);
    }

    /// Which publication the data threads should have reconciled.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.topics.published.borrow().generation
    }
}

fn entry(resource: &Wire) -> (Key, Entry) {
    let (kind, name) = identity(resource);
    let (digest, body) = encode_upsert(resource);
    let secret = matches!(resource, Wire::Certificate(certificate) if !certificate.key_der.is_empty());
    ((kind.wire(), name.into()), Entry { digest, body, secret })
}

fn key(rejection: &Rejection) -> Key {
    (rejection.kind.wire(), Arc::clone(&rejection.name))
}

fn wire(rejection: Rejection) -> pb::Rejected {
    let Rejection { kind, name, path, reason } = rejection;
    pb::Rejected {
        resource: Some(pb::ResourceId { kind: kind.wire(), name: name.to_string() }),
        path,
        reason,
    }
}

fn all_rejected(arrived: &[(Key, Entry)]) -> Vec<pb::Rejected> {
    arrived
        .iter()
        .map(|((kind, name), _)| pb::Rejected {
            resource: Some(pb::ResourceId { kind: *kind, name: name.to_string() }),
            path: String::new(),
            reason: "internal error while building the table; the former table is still served".to_owned(),
        })
        .collect()
}
