//! Many sets become one map of objects, with stand-ins for what is missing but not gone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::memory::Memory;
use crate::resource::{Entry, Finding, ObjectRef};
use crate::topics::Sources;

/// The objects of all sources.
pub(super) struct Merged {
    /// By reference; an object that is missing for a reason is there without a form.
    pub entries: BTreeMap<ObjectRef, Arc<Entry>>,
    /// What belongs to no object.
    pub problems: Vec<Finding>,
    /// Documents of kinds that are not served.
    pub notices: Vec<Finding>,
}

/// Merges `sources`.
///
/// An object whose accepted form is remembered and that no source shows is *gone* only if every source gave its list
/// and the file that it came from could be read. Otherwise an entry without a form takes its place, so that translation
/// uses the accepted one.
pub(super) fn merge(sources: &Sources, memory: &Memory) -> Merged {
    let mut merged = Merged { entries: BTreeMap::new(), problems: Vec::new(), notices: Vec::new() };
    for set in sources.sets() {
        for entry in &set.entries {
            // Within one source the source itself has told about doubles; between sources the first one wins.
            merged.entries.entry(entry.id.clone()).or_insert_with(|| Arc::clone(entry));
        }
        merged.problems.extend(set.problems.iter().cloned());
        merged.notices.extend(set.notices.iter().cloned());
    }
    let incomplete: Vec<&PathBuf> = sources.sets().flat_map(|set| &set.incomplete).collect();
    for (id, location) in memory.locations() {
        if merged.entries.contains_key(id) {
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
        merged.entries.insert(id.clone(), Arc::new(entry));
    }
    merged
}
