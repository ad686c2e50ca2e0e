//! Secret material: the only owner of key bytes in control.
//!
//! Reads TLS Secrets from the sources' sets, the files that `sslFiles` name (and those with descriptors, which are watched
//! in the same way) and what SDS servers send, checks them, and publishes [`Keys`]: the
//! facts that translation may know, and the material itself for the sessions that write it to workers. What was good
//! once stays in use while its update is broken or unreadable.
//!
//! Must not log, serialise or persist bytes, nor decide what is wanted: that comes on a topic.

mod actor;
mod descriptors;
mod expiry;
mod files;
mod material;
mod sds;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_shared::sensitive::Sensitive;
use portcullis_shared::version::Digest;

pub use actor::run;
pub use material::{Material, Parts, Unusable};

use crate::ir::CertificateSource;
use crate::resource::{Entry, Kind, ObjectRef, Spec};
use crate::topics::{Set, Sources};
use crate::translate::{SecretFacts, SecretIndex};

/// What the keyring knows at one instant. Old ones live as long as a table needs them.
#[derive(Clone, Default)]
pub struct Keys {
    /// Sequence number of the sources' sets that this was read from.
    pub sources: u64,
    /// Facts by source.
    pub index: SecretIndex,
    materials: Arc<BTreeMap<CertificateSource, Arc<Material>>>,
}

impl Keys {
    /// The bytes behind the facts of `source`.
    #[must_use]
    pub fn material(&self, source: &CertificateSource) -> Option<&Arc<Material>> {
        self.materials.get(source)
    }
}

/// What may be known of `material` outside the keyring.
#[must_use]
pub fn facts(material: &Material) -> SecretFacts {
    material.facts()
}

/// The facts of every TLS Secret among `entries`: what `portcullis check` needs, without any running part.
#[must_use]
pub fn index(entries: &[Arc<Entry>]) -> SecretIndex {
    let mut ring = Ring::default();
    ring.read_secrets(entries.iter());
    ring.keys(0).index
}

/// Like [`index`], with the files of `wanted` read as well. Blocks on the file system.
#[must_use]
pub fn index_with_files(entries: &[Arc<Entry>], wanted: &BTreeSet<CertificateSource>) -> SecretIndex {
    let mut ring = Ring::default();
    ring.read_secrets(entries.iter());
    ring.want(wanted);
    ring.read_files();
    ring.keys(0).index
}

/// One source as it is held: the last good material and what is wrong with the present one.
#[derive(Clone, Default)]
struct Held {
    material: Option<Arc<Material>>,
    problem: Option<String>,
}

impl Held {
    /// Facts of the last good material; a problem changes the digest only where there is no material.
    fn facts(&self) -> SecretFacts {
        let mut facts = self.material.as_ref().map(|m| m.facts()).unwrap_or_default();
        facts.problem.clone_from(&self.problem);
        if let (None, Some(problem)) = (&self.material, &self.problem) {
            facts.digest = Digest::of(problem.as_bytes());
        }
        facts
    }
}

/// Everything that the keyring holds.
#[derive(Default)]
struct Ring {
    held: BTreeMap<CertificateSource, Held>,
    /// The entry that a Secret was read from: while it is the same one there is nothing to do.
    read_from: BTreeMap<ObjectRef, Arc<Entry>>,
    files: files::Files,
    descriptors: descriptors::Descriptors,
    /// The sets that Secrets were read from last.
    sets: Vec<Arc<Set>>,
}

impl Ring {
    /// Reads the Secrets of `sources`, which are all there are. Returns whether something changed.
    fn read_sources(&mut self, sources: &Sources) -> bool {
        let sets: Vec<Arc<Set>> = sources.sets().map(Arc::clone).collect();
        let none = |(old, new): (&Arc<Set>, &Arc<Set>)| {
            let (old, new) = old.differing(new);
            !old.iter().chain(&new).any(|entry| entry.id.kind == Kind::Secret)
        };
        let same = sets.len() == self.sets.len() && self.sets.iter().zip(&sets).all(none);
        self.sets = sets;
        !same && self.read_secrets(sources.entries())
    }

    /// Reads the Secrets among `entries`, which are all there are. Returns whether something changed.
    fn read_secrets<'a>(&mut self, entries: impl Iterator<Item = &'a Arc<Entry>>) -> bool {
        let mut changed = false;
        let mut present = BTreeSet::new();
        for entry in entries.filter(|entry| entry.id.kind == Kind::Secret) {
            // Of two documents with one name the first wins.
            if !present.insert(entry.id.clone()) {
                continue;
            }
            if self.read_from.get(&entry.id).is_some_and(|known| Arc::ptr_eq(known, entry)) {
                continue;
            }
            self.read_from.insert(entry.id.clone(), Arc::clone(entry));
            let source = source_of(&entry.id);
            let outcome = read_secret(&source, entry);
            changed |= self.take(source, outcome);
        }
        let gone: Vec<ObjectRef> =
            self.read_from.keys().filter(|id| !present.contains(*id)).cloned().collect();
        for id in gone {
            self.read_from.remove(&id);
            changed |= self.held.remove(&source_of(&id)).is_some();
        }
        changed
    }

    /// There are files to look at.
    fn watches(&self) -> bool {
        !self.files.is_empty() || !self.descriptors.is_empty()
    }

    /// Watches exactly the files of `wanted` from now on, and forgets what SDS servers sent for others. Returns whether
    /// something changed.
    fn want(&mut self, wanted: &BTreeSet<CertificateSource>) -> bool {
        let mut changed = self.descriptors.want(wanted);
        for gone in self.files.want(wanted) {
            changed |= self.held.remove(&gone).is_some();
        }
        let before = self.held.len();
        self.held.retain(|source, _| !matches!(source, CertificateSource::Sds(_)) || wanted.contains(source));
        changed | (self.held.len() != before)
    }

    /// Reads the watched files that are new or changed. Returns whether something changed. Blocks.
    fn read_files(&mut self) -> bool {
        let mut changed = self.descriptors.read();
        for (source, outcome) in self.files.read() {
            changed |= self.take(source, outcome);
        }
        changed
    }

    /// Takes a reading. A bad one keeps the last good material. Returns whether something changed.
    fn take(&mut self, source: CertificateSource, outcome: Result<Material, Unusable>) -> bool {
        let known = self.held.get(&source).map(Held::facts);
        let held = self.held.entry(source).or_default();
        match outcome {
            Ok(material) => *held = Held { material: Some(Arc::new(material)), problem: None },
            Err(problem) => held.problem = Some(problem.to_string()),
        }
        Some(held.facts()) != known
    }

    fn keys(&self, sources: u64) -> Keys {
        let materials = self
            .held
            .iter()
            .filter_map(|(source, held)| Some((source.clone(), Arc::clone(held.material.as_ref()?))));
        Keys {
            sources,
            index: self
                .held
                .iter()
                .map(|(source, held)| (source.clone(), held.facts()))
                .chain(self.descriptors.facts())
                .collect(),
            materials: Arc::new(materials.collect()),
        }
    }
}

fn source_of(id: &ObjectRef) -> CertificateSource {
    CertificateSource::Secret { namespace: Arc::clone(&id.namespace), name: Arc::clone(&id.name) }
}

fn read_secret(source: &CertificateSource, entry: &Entry) -> Result<Material, Unusable> {
    let Some(Spec::Secret(secret)) = entry.object.as_ref().map(|object| &object.spec) else {
        let said: Vec<String> = entry.findings.iter().map(ToString::to_string).collect();
        return Err(Unusable::Invalid(said.join("; ")));
    };
    fn bytes(part: Option<&Arc<Sensitive<Vec<u8>>>>) -> Option<&[u8]> {
        part.map(|part| part.expose().as_slice())
    }
    let tls = &secret.tls;
    Material::parse(
        source.name(),
        Parts {
            cert: bytes(tls.cert_chain.as_ref()),
            key: bytes(tls.private_key.as_ref()),
            ca: bytes(tls.root_ca.as_ref()),
            ocsp: bytes(tls.ocsp_staple.as_ref()),
        },
    )
}
