//! Results of the last translation, and which of them still hold.
//!
//! A result holds while all that was read for it reads the same. To find the few that do not among many, the snapshots
//! are compared first: only results that read something of what changed are looked at closely.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cx::{self, Facts, Key, Read};
use super::gateway::Gateway;
use super::globals::Globals;
use super::notes::Note;
use super::place::{Outs, TargetSet};
use super::report::Report;
use super::service::{Form, ServiceOut, Variant};
use super::upstreams::{GroupOut, UpstreamOut};
use super::{SecretIndex, Snapshot, Translated};
use crate::ir::CertificateSource;
use crate::ordered::Ordered;
use crate::resource::{Entry, Kind, ObjectRef};

/// Results of the last translation. An empty one gives the same result, more slowly.
#[derive(Debug, Default)]
pub struct Memo {
    pub(super) globals: Globals,
    pub(super) own_namespace: Option<Arc<str>>,
    entries: Ordered<ObjectRef, Arc<Entry>>,
    secrets: SecretIndex,
    pub(super) facts: Facts,
    pub(super) upstreams: Units<Unit<UpstreamOut>>,
    pub(super) groups: Units<Unit<GroupOut>>,
    pub(super) services: Units<ServiceUnits>,
    /// The last report, and what it was made from beside the resources.
    pub(super) report: Arc<Report>,
    pub(super) noted: Vec<Note>,
    pub(super) substituted: BTreeSet<ObjectRef>,
    /// The gateways of the last translation.
    pub(super) gateways: Vec<Gateway>,
    pub(super) wire_upstreams: Arc<super::WireUpstreams>,
    /// What all Upstreams together say, and whether that holds while nothing but VirtualServices changes.
    pub(super) settled_upstreams: (bool, Said),
    /// The gateways for which no two virtual services claimed the same.
    pub(super) uncontested: Option<Vec<Gateway>>,
    /// The last translation, if nothing of it depends on what the changes do not show.
    pub(super) last: Option<Translated>,
}

/// What a group of units has to say.
#[derive(Debug, Default)]
pub struct Said {
    pub notes: Vec<Note>,
    /// Resources that stand in their last accepted form.
    pub substituted: BTreeSet<ObjectRef>,
}

/// A result with what was read for it.
#[derive(Debug)]
pub struct Unit<T> {
    pub out: Arc<T>,
    /// Of the keys that were read.
    hashes: Box<[u64]>,
    reads: Vec<Read>,
    /// Depends on last accepted forms, which are not compared as a whole: always looked at closely.
    pub accepted: bool,
    /// Depends on the set of RouteTables.
    tables: bool,
}

/// The units of one VirtualService, and how it came out.
#[derive(Debug, Default)]
pub struct ServiceUnits {
    pub units: Vec<ServiceUnit>,
    /// In its present form it is served here, with these results; holds while neither it nor the gateways change.
    pub served: Option<(Arc<TargetSet>, Outs)>,
}

/// The unit of a VirtualService in one form for one kind of gateway.
#[derive(Debug)]
pub struct ServiceUnit {
    pub form: Form,
    pub variant: Arc<Variant>,
    pub unit: Unit<ServiceOut>,
    /// Was needed in this translation.
    pub used: bool,
}

/// Values by resource, in order.
#[derive(Debug)]
pub struct Units<T>(Vec<(ObjectRef, T)>);

impl<T> Default for Units<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Units<T> {
    /// Goes through `ids` (in order) with the value each had. `each` gives the new value.
    pub fn update<'s>(
        &mut self,
        ids: impl Iterator<Item = &'s ObjectRef>,
        mut each: impl FnMut(&'s ObjectRef, Option<T>) -> T,
        mut gone: impl FnMut(&ObjectRef),
    ) {
        let mut old = std::mem::take(&mut self.0).into_iter().peekable();
        let mut new = Vec::with_capacity(ids.size_hint().0);
        for id in ids {
            while let Some((was, _)) = old.next_if(|(was, _)| was < id) {
                gone(&was);
            }
            let (key, value) = match old.next_if(|(was, _)| was == id) {
                Some((was, value)) => (was, Some(value)),
                None => (id.clone(), None),
            };
            new.push((key, each(id, value)));
        }
        old.for_each(|(was, _)| gone(&was));
        self.0 = new;
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &(ObjectRef, T)> {
        self.0.iter()
    }

    /// In order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&ObjectRef, &mut T)> {
        self.0.iter_mut().map(|(id, value)| (&*id, value))
    }

    /// The value of one resource.
    pub fn get_mut(&mut self, id: &ObjectRef) -> Option<&mut T> {
        let at = self.0.binary_search_by(|(was, _)| was.cmp(id)).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }
}

impl<T> Unit<T> {
    /// A result and the reads it was made from.
    pub fn new(out: T, reads: Vec<Read>) -> Self {
        Self {
            out: Arc::new(out),
            accepted: reads.iter().any(Read::is_of_accepted),
            tables: reads.iter().any(|read| matches!(read.key, Key::Tables(_))),
            hashes: reads.iter().map(|read| read.hash).collect(),
            reads,
        }
    }

    /// Key material and files that it refers to, found or not.
    pub fn sources(&self) -> impl Iterator<Item = &CertificateSource> {
        self.reads.iter().filter_map(Read::source)
    }

    /// Whether it would come out the same again.
    pub fn holds(&self, changes: &Changes, snapshot: &Snapshot, facts: &Facts) -> bool {
        let touched = self.accepted
            || (self.tables && changes.tables)
            || self.hashes.iter().any(|hash| changes.keys.contains(hash));
        !touched || self.reads.iter().all(|read| cx::digest(snapshot, facts, &read.key) == read.seen)
    }
}

/// What differs from the last snapshot, as hashes of keys.
#[derive(Debug, Default)]
pub struct Changes {
    /// Resources whose documents differ, if only in their places or findings.
    pub touched: BTreeSet<ObjectRef>,
    /// A resource came or went, or says something else about itself than before.
    pub said: bool,
    /// Something else than VirtualServices, which no other unit reads.
    pub beyond_services: bool,
    /// A tree, because these are few and are asked about very often.
    keys: BTreeSet<u64>,
    /// Some RouteTable.
    tables: bool,
}

impl Changes {
    fn came_or_went(&mut self, entry: &Entry) {
        self.said = true;
        self.touched.insert(entry.id.clone());
        self.differs(&entry.id);
    }

    fn replaced(&mut self, was: &Entry, is: &Entry) {
        self.said |= was.findings != is.findings;
        self.touched.insert(is.id.clone());
        if cx::entry_digest(was) != cx::entry_digest(is) {
            self.differs(&is.id);
        }
    }

    fn differs(&mut self, id: &ObjectRef) {
        self.tables |= id.kind == Kind::RouteTable;
        self.add(&Key::Object(id.clone()));
    }

    /// Notes that reading `key` may give something else than before.
    pub fn add(&mut self, key: &Key) {
        self.beyond_services |= !matches!(key, Key::Object(id) if id.kind == Kind::VirtualService);
        self.keys.insert(cx::hash(key));
    }
}

impl Memo {
    /// Compares with the last snapshot and remembers this one.
    pub(super) fn turn(&mut self, snapshot: &Snapshot) -> Changes {
        let mut changes = Changes::default();
        self.entries.compare(&snapshot.entries, |_, was, is| match (was, is) {
            (Some(was), Some(is)) if Arc::ptr_eq(was, is) => {}
            (Some(was), Some(is)) => changes.replaced(was, is),
            (Some(one), None) | (None, Some(one)) => changes.came_or_went(one),
            (None, None) => {}
        });
        self.entries = snapshot.entries.clone();

        if !self.secrets.same(&snapshot.secrets) {
            let (old, new) = (&self.secrets, &snapshot.secrets);
            let differs = old.iter().filter(|(source, facts)| new.lookup(source) != Some(facts));
            let added = new.iter().filter(|(source, _)| old.lookup(source).is_none());
            for (source, _) in differs.chain(added) {
                changes.add(&Key::Secret(source.clone()));
            }
            self.secrets = snapshot.secrets.clone();
        }
        changes
    }
}
