//! Many sets become one map of objects, with stand-ins for what is missing but not gone.
//!
//! A change of one file among many is merged by comparing what a source holds now with what it held before, pointer by
//! pointer; everything else is the full merge, which gives the same.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::memory::Memory;
use crate::ordered::Ordered;
use crate::resource::{Entry, Finding, ObjectRef};
use crate::topics::{Set, Sources};

/// The objects of all sources.
pub(super) type Entries = Ordered<ObjectRef, Arc<Entry>>;

/// The outcome of a merge.
pub(super) struct Merged {
    /// By reference; an object that is missing for a reason is there without a form.
    pub entries: Entries,
    /// What may differ from the last merge.
    pub touched: Touched,
    /// What belongs to no object.
    pub problems: Vec<Finding>,
    /// Documents of kinds that are not served.
    pub notices: Vec<Finding>,
}

/// Which objects may have changed, come or gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Touched {
    /// Any of them.
    All,
    /// These and no others.
    These(BTreeSet<ObjectRef>),
}

/// What the last merge gave.
#[derive(Default)]
pub(super) struct Merger {
    /// The only set that there was, and all entries; `None` when there were several or stand-ins.
    last: Option<(Arc<Set>, Entries)>,
}

impl Merger {
    /// Merges `sources`.
    ///
    /// An object whose accepted form is remembered and that no source shows is *gone* only if every source gave its list
    /// and the file that it came from could be read whole. Otherwise an entry without a form takes its place, so that
    /// translation uses the accepted one.
    pub fn merge(&mut self, sources: &Sources, memory: &Memory) -> Merged {
        let (mut entries, mut touched) = match (&self.last, only(sources)) {
            (Some((before, entries)), Some(now)) => advance(before, entries, now),
            _ => (full(sources), Touched::All),
        };
        if stand_in(&mut entries, sources, memory) {
            touched = Touched::All;
        }
        self.last = None;
        let problems = sources.sets().flat_map(|set| set.problems.iter().cloned()).collect();
        let notices = sources.sets().flat_map(|set| set.notices.iter().cloned()).collect();
        Merged { entries, touched, problems, notices }
    }

    /// Remembers the outcome of the last merge, in the form in which it was published.
    pub fn remember(&mut self, sources: &Sources, entries: &Entries) {
        let plain = |set: &Arc<Set>| set.entries.len() == entries.len();
        self.last = only(sources).filter(|set| plain(set)).map(|set| (Arc::clone(set), entries.clone()));
    }
}

/// The set, if there is exactly one source and it gave its list.
fn only(sources: &Sources) -> Option<&Arc<Set>> {
    let mut sets = sources.sets();
    let first = sets.next().filter(|_| sources.listed())?;
    sets.next().is_none().then_some(first)
}

fn full(sources: &Sources) -> Entries {
    // Within one source the source itself has told about doubles; between sources the first one wins.
    let mut seen = HashSet::new();
    let first = sources.entries().filter(|entry| seen.insert(&entry.id));
    first.map(|entry| (entry.id.clone(), Arc::clone(entry))).collect()
}

/// `entries` is what `before` held; brings it to what `now` holds. A source names each object once.
fn advance(before: &Set, entries: &Entries, now: &Set) -> (Entries, Touched) {
    let mut entries = entries.clone();
    let (old, new) = before.differing(now);
    for entry in &old {
        entries.remove(&entry.id);
    }
    for entry in &new {
        entries.insert(entry.id.clone(), Arc::clone(entry));
    }
    let touched = old.iter().chain(&new).map(|entry| entry.id.clone()).collect();
    (entries, Touched::These(touched))
}

/// Adds entries for what is missing but not gone. Tells whether there are any.
fn stand_in(entries: &mut Entries, sources: &Sources, memory: &Memory) -> bool {
    let incomplete: Vec<&PathBuf> = sources.sets().flat_map(|set| &set.incomplete).collect();
    if sources.listed() && incomplete.is_empty() {
        return false;
    }
    let mut any = false;
    for (id, location) in memory.locations() {
        if entries.contains_key(id) {
            continue;
        }
        let why = if !sources.listed() {
            "its source cannot be read"
        } else if incomplete.iter().any(|path| location.file.starts_with(path)) {
            "its file cannot be read whole"
        } else {
            continue;
        };
        let finding =
            Finding::error("", format!("{why}; the last accepted form is in use")).at(location.clone());
        let entry =
            Entry { id: id.clone(), object: None, findings: vec![finding], location: location.clone() };
        entries.insert(id.clone(), Arc::new(entry));
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::resource::{Kind, Location};
    use crate::topics::Topics;

    fn entry(name: u8) -> Arc<Entry> {
        let location = Location::file(Path::new("/etc/c/a.yaml"));
        let id = ObjectRef::new(Kind::Upstream, "ns", name.to_string());
        Arc::new(Entry { id, object: None, findings: Vec::new(), location })
    }

    proptest! {
        /// Whatever changes, merging what differs gives what merging everything gives, and names what differs.
        #[test]
        fn a_merge_of_differences_is_a_full_merge(
            steps in proptest::collection::vec(proptest::collection::vec((0..12u8, any::<bool>()), 0..10), 1..8),
        ) {
            let topics = Topics::new(&["file"]);
            let (mut merger, memory) = (Merger::default(), Memory::default());
            let mut known: BTreeMap<u8, Arc<Entry>> = BTreeMap::new();
            let mut before = Entries::default();
            for step in steps {
                // Names in the order of the step, each once; an edited one is a new entry.
                let mut list: Vec<Arc<Entry>> = Vec::new();
                for (name, edited) in step {
                    if edited || !known.contains_key(&name) {
                        known.insert(name, entry(name));
                    }
                    if !list.iter().any(|other| other.id == known[&name].id) {
                        list.push(Arc::clone(&known[&name]));
                    }
                }
                let set = Arc::new(Set { entries: list, ..Set::default() });
                topics.sources.send_modify(|sources| sources.put("file", set));
                let sources = topics.sources.borrow().clone();
                let merged = merger.merge(&sources, &memory);
                let wanted = full(&sources);
                prop_assert!(merged.entries.keys().eq(wanted.keys()));
                prop_assert!(merged.entries.values().zip(wanted.values()).all(|(a, b)| Arc::ptr_eq(a, b)));
                if let Touched::These(touched) = &merged.touched {
                    let ids: BTreeSet<_> = before.keys().chain(wanted.keys()).collect();
                    for id in ids {
                        let same = match (before.get(id), wanted.get(id)) {
                            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                            _ => false,
                        };
                        prop_assert!(same || touched.contains(id), "{id} is not named");
                    }
                }
                merger.remember(&sources, &merged.entries);
                before = wanted;
            }
        }
    }
}
