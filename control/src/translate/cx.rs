//! The only way to read a snapshot. Every read is recorded with a digest of what it gave, so that a result can be
//! used again as long as the same reads give the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use portcullis_shared::version::Digest;

use super::label::TableSelector;
use super::{SecretFacts, Snapshot};
use crate::ir::CertificateSource;
use crate::resource::{Kind, Object, ObjectRef, Spec};

/// What can be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// The present form of a resource.
    Object(ObjectRef),
    /// The form that was accepted last.
    Accepted(ObjectRef),
    /// What routes have to know about an Upstream.
    Upstream(ObjectRef),
    /// What routes have to know about an UpstreamGroup.
    Group(ObjectRef),
    /// Facts of key material.
    Secret(CertificateSource),
    /// The RouteTables that a selector picks.
    Tables(TableSelector),
    /// The MatchableHttpGateways or MatchableTcpGateways that a selector picks.
    Parts(Kind, TableSelector),
}

/// One read and a digest of its result.
#[derive(Debug, Clone)]
pub struct Read {
    pub key: Key,
    /// Of `key`, for a quick look whether it may have changed.
    pub hash: u64,
    pub seen: Digest,
}

impl Read {
    /// Of a last accepted form, there or not.
    pub fn is_of_accepted(&self) -> bool {
        matches!(self.key, Key::Accepted(_))
    }

    /// The source whose facts were looked at.
    pub fn source(&self) -> Option<&CertificateSource> {
        match &self.key {
            Key::Secret(source) => Some(source),
            _ => None,
        }
    }
}

/// What was looked for.
#[derive(Debug, Clone, Copy)]
pub enum Lookup<'s> {
    /// The form that counts.
    Found(&'s Object),
    /// There is no such resource.
    Missing,
    /// There is one, and neither its present form nor an accepted one can be used.
    Broken,
}

/// What a route has to know about an Upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamFact {
    /// It is in the table.
    Served {
        /// The keys of its subsets, if it has any.
        subsets: Option<Vec<Vec<Arc<str>>>>,
    },
    /// It exists and is not in the table.
    Rejected,
}

impl UpstreamFact {
    /// It is in the table.
    pub fn is_served(&self) -> bool {
        matches!(self, Self::Served { .. })
    }
}

/// What a route has to know about an UpstreamGroup.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupFact {
    /// It is in the table.
    pub served: bool,
    /// Its members have options, which depend on the route: such a group cannot be shared between routes.
    pub inline: bool,
    /// Its last accepted form is in use.
    pub accepted: bool,
    /// Members whose upstream is not in the table.
    pub missing: Vec<ObjectRef>,
}

/// Results of earlier stages, which later ones read through a `Cx`.
#[derive(Debug, Default)]
pub struct Facts {
    pub upstreams: BTreeMap<ObjectRef, UpstreamFact>,
    pub groups: BTreeMap<ObjectRef, GroupFact>,
}

/// A reader of one snapshot on behalf of one unit.
#[derive(Debug)]
pub struct Cx<'s> {
    snapshot: &'s Snapshot,
    facts: &'s Facts,
    reads: Vec<Read>,
    known: HashSet<u64>,
    /// Resources that are read in their last accepted form although the present one decodes.
    overrides: BTreeSet<ObjectRef>,
    /// Resources that were read in their last accepted form.
    substituted: BTreeSet<ObjectRef>,
    /// What selectors pick: to find that out takes a look at every RouteTable, and many routes may ask for the same.
    picked: HashMap<TableSelector, Vec<&'s ObjectRef>>,
}

impl<'s> Cx<'s> {
    pub fn new(snapshot: &'s Snapshot, facts: &'s Facts) -> Self {
        Self {
            snapshot,
            facts,
            reads: Vec::new(),
            known: HashSet::new(),
            overrides: BTreeSet::new(),
            substituted: BTreeSet::new(),
            picked: HashMap::new(),
        }
    }

    /// Reads start anew with these resources in their last accepted form. What was read before stays recorded.
    pub fn again_with(&mut self, overrides: &BTreeSet<ObjectRef>) {
        self.overrides.clone_from(overrides);
        self.substituted.clear();
    }

    /// The form of a resource that counts: the present one, or the last accepted one where that is broken.
    pub fn object(&mut self, id: &ObjectRef) -> Lookup<'s> {
        self.record(Key::Object(id.clone()));
        let Some((id, entry)) = self.snapshot.entries.get_key_value(id) else {
            return Lookup::Missing;
        };
        if let Some(object) =
            entry.object.as_deref().filter(|_| !entry.rejected() && !self.overrides.contains(id))
        {
            return Lookup::Found(object);
        }
        self.record(Key::Accepted(id.clone()));
        match self.snapshot.accepted.get(id) {
            Some(accepted) => {
                self.substituted.insert(id.clone());
                Lookup::Found(&accepted.object)
            }
            None => Lookup::Broken,
        }
    }

    /// Whether the last accepted form of a resource is another one than the present.
    pub fn has_other_form(&mut self, id: &ObjectRef) -> bool {
        self.record(Key::Object(id.clone()));
        self.record(Key::Accepted(id.clone()));
        let present = self.snapshot.entries.get(id).and_then(|entry| entry.object.as_ref());
        match (self.snapshot.accepted.get(id), present) {
            (Some(accepted), Some(present)) => accepted.object.digest != present.digest,
            (accepted, _) => accepted.is_some(),
        }
    }

    /// What is wrong with the present form of a resource that does not decode.
    pub fn broken_because(&mut self, id: &ObjectRef) -> Option<String> {
        self.record(Key::Object(id.clone()));
        let entry = self.snapshot.entries.get(id).filter(|entry| entry.rejected())?;
        entry.findings.iter().find(|it| it.level == crate::resource::Level::Error).map(ToString::to_string)
    }

    /// What routes have to know about an Upstream; `None` = there is none.
    pub fn upstream(&mut self, id: &ObjectRef) -> Option<&'s UpstreamFact> {
        self.record(Key::Upstream(id.clone()));
        self.facts.upstreams.get(id)
    }

    /// What routes have to know about an UpstreamGroup; `None` = there is none.
    pub fn group(&mut self, id: &ObjectRef) -> Option<&'s GroupFact> {
        self.record(Key::Group(id.clone()));
        self.facts.groups.get(id)
    }

    /// An UpstreamGroup in the form that its fact was made from.
    pub fn group_object(&mut self, id: &ObjectRef, accepted: bool) -> Option<&'s Object> {
        self.record(Key::Object(id.clone()));
        if accepted {
            self.record(Key::Accepted(id.clone()));
            return self.snapshot.accepted.get(id).map(|it| &*it.object);
        }
        self.snapshot.entries.get(id).and_then(|entry| entry.object.as_deref())
    }

    /// The facts of key material.
    pub fn secret(&mut self, source: &CertificateSource) -> Option<&'s SecretFacts> {
        self.record(Key::Secret(source.clone()));
        self.snapshot.secrets.lookup(source)
    }

    /// The RouteTables that a selector picks, in order of namespace and name.
    pub fn tables(&mut self, selector: TableSelector) -> Vec<&'s ObjectRef> {
        if let Some(known) = self.picked.get(&selector) {
            return known.clone();
        }
        let found = selected(self.snapshot, Kind::RouteTable, &selector);
        self.record(Key::Tables(selector.clone()));
        self.picked.insert(selector, found.clone());
        found
    }

    /// The resources of `kind`, parts of hybrid gateways, that a selector picks, in order of namespace and name.
    pub fn parts(&mut self, kind: Kind, selector: TableSelector) -> Vec<&'s ObjectRef> {
        let found = selected(self.snapshot, kind, &selector);
        self.record(Key::Parts(kind, selector));
        found
    }

    /// Who of two that exclude each other was there first: the lower number. Those that were never accepted come last.
    pub fn seniority(&mut self, id: &ObjectRef) -> u64 {
        self.record(Key::Accepted(id.clone()));
        self.snapshot.accepted.get(id).map_or(u64::MAX, |accepted| accepted.order)
    }

    fn record(&mut self, key: Key) {
        let hash = hash(&key);
        if self.known.insert(hash) {
            let seen = digest(self.snapshot, self.facts, &key);
            self.reads.push(Read { key, hash, seen });
        }
    }

    /// Resources whose last accepted form was read since the last `again_with`.
    pub fn substituted(&self) -> impl Iterator<Item = &ObjectRef> {
        self.substituted.iter()
    }

    /// Everything that was read.
    pub fn finish(self) -> Vec<Read> {
        self.reads
    }
}

/// What has to be known of the Upstream of a server that policies ask.
pub trait ServerLookup {
    /// Whether it is one for HTTP/2; `None` = it is not in the table.
    fn http2(&mut self, upstream: &ObjectRef) -> Option<bool>;
}

impl ServerLookup for Cx<'_> {
    fn http2(&mut self, upstream: &ObjectRef) -> Option<bool> {
        if !self.upstream(upstream).is_some_and(UpstreamFact::is_served) {
            return None;
        }
        match self.object(upstream) {
            Lookup::Found(Object { spec: Spec::Upstream(spec), .. }) => Some(spec.use_http2 == Some(true)),
            _ => None,
        }
    }
}

/// A key as a number, to compare sets of keys quickly.
pub fn hash(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// What reading `key` gives now, as a digest.
pub fn digest(snapshot: &Snapshot, facts: &Facts, key: &Key) -> Digest {
    match key {
        Key::Object(id) => match snapshot.entries.get(id) {
            None => Digest::default(),
            Some(entry) => entry_digest(entry),
        },
        Key::Accepted(id) => snapshot.accepted.get(id).map(|it| it.object.digest).unwrap_or_default(),
        Key::Upstream(id) => of(&facts.upstreams.get(id)),
        Key::Group(id) => of(&facts.groups.get(id)),
        Key::Secret(source) => of(&snapshot.secrets.lookup(source)),
        Key::Tables(selector) => of(&selected(snapshot, Kind::RouteTable, selector)),
        Key::Parts(kind, selector) => of(&selected(snapshot, *kind, selector)),
    }
}

/// The digest of the object; another one when it is rejected, because then it is not what is used.
pub fn entry_digest(entry: &crate::resource::Entry) -> Digest {
    if !entry.rejected() {
        return entry.object.as_ref().map(|object| object.digest).unwrap_or_default();
    }
    let errors = entry.findings.iter().filter(|it| it.level == crate::resource::Level::Error);
    let texts: Vec<String> = errors.map(ToString::to_string).collect();
    let digest = entry.object.as_ref().map(|object| object.digest);
    of(&("rejected", texts, digest))
}

fn of(value: &impl std::fmt::Debug) -> Digest {
    Digest::of(format!("{value:?}").as_bytes())
}

fn selected<'s>(snapshot: &'s Snapshot, kind: Kind, selector: &TableSelector) -> Vec<&'s ObjectRef> {
    let all = |namespace: &str| {
        let from = ObjectRef::new(kind, Arc::from(namespace), Arc::from(""));
        snapshot.entries.range(from..).take_while(move |(id, _)| id.kind == kind)
    };
    let fits = |id: &ObjectRef| {
        let entry = snapshot.entries.get(id)?;
        let accepted = || snapshot.accepted.get(id).map(|it| &*it.object);
        let object = entry.object.as_deref().filter(|_| !entry.rejected()).or_else(accepted)?;
        selector.labels.matches(&object.labels).then_some(())
    };
    match &selector.namespaces {
        None => all("").filter(|(id, _)| fits(id).is_some()).map(|(id, _)| id).collect(),
        Some(namespaces) => namespaces
            .iter()
            .flat_map(|namespace| all(namespace).take_while(move |(id, _)| *id.namespace == **namespace))
            .filter(|(id, _)| fits(id).is_some())
            .map(|(id, _)| id)
            .collect(),
    }
}
