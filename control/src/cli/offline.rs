//! A folder of resources taken through the same functions as control takes it, without any running part.
//!
//! Owns the order of the steps. Must not decide anything itself: what it says is what control would say.

use super::Failure;
use crate::compile::{self, Table};
use crate::keyring;
use crate::ordered::Ordered;
use crate::resource::{Entry, Finding, ObjectRef};
use crate::source::file;
use crate::translate::{self, CertificateSource, ObjectReport, Report, Snapshot};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What control would make of a folder.
pub struct Checked {
    /// Everything that was read, by resource.
    pub entries: Ordered<ObjectRef, Arc<Entry>>,
    /// What is said about each.
    pub report: Arc<Report>,
    /// Files and documents that cannot be used at all: not valid YAML, no name, defined twice.
    pub problems: Vec<Finding>,
    /// Documents of kinds that are not served.
    pub notices: Vec<Finding>,
    /// What workers would run, by proxy.
    pub tables: BTreeMap<Arc<str>, Arc<Table>>,
    /// What workers would refuse although control accepts it: never the user's fault, and never silent.
    pub defects: Vec<String>,
}

/// Reads, translates and compiles a folder.
pub fn check(folder: &Path, namespace: &str) -> Result<Checked, Failure> {
    let loaded = file::load(folder, namespace)
        .map_err(|error| Failure::Usage(format!("{}: {error}", folder.display())))?;
    let listed: Vec<Arc<Entry>> = loaded.entries().cloned().collect();
    let entries: Ordered<ObjectRef, Arc<Entry>> =
        listed.iter().map(|entry| (entry.id.clone(), Arc::clone(entry))).collect();
    let mut snapshot = Snapshot {
        entries,
        accepted: BTreeMap::new(),
        secrets: keyring::index(&listed),
        own_namespace: namespace.into(),
    };
    let mut translated = translate::translate(&snapshot, &mut translate::Memo::default());
    // Files with keys are known only once translation has said which ones are referred to.
    if translated.wanted.iter().any(CertificateSource::is_asked_for) {
        snapshot.secrets = keyring::index_with_files(&listed, &translated.wanted);
        translated = translate::translate(&snapshot, &mut translate::Memo::default());
    }
    let tables = compile::compile(&translated.ir, &snapshot.secrets, &mut compile::Memo::default());
    let defects = tables.values().flat_map(|table| compile::decode(table).invalid).map(defect).collect();
    Ok(Checked {
        entries: snapshot.entries,
        report: translated.report,
        problems: loaded.problems().cloned().collect(),
        notices: loaded.notices().cloned().collect(),
        tables,
        defects,
    })
}

fn defect(((_, name), invalid): (compile::Key, portcullis_shared::invalid::Invalid)) -> String {
    format!("{name}: {invalid}")
}

impl Checked {
    /// Resources with their reports, in order.
    pub fn reports(&self) -> impl Iterator<Item = (&Arc<Entry>, &ObjectReport)> {
        self.entries.iter().filter_map(|(id, entry)| Some((entry, self.report.objects.get(id)?)))
    }

    /// Those that are not served.
    pub fn rejected(&self) -> impl Iterator<Item = (&Arc<Entry>, &ObjectReport)> {
        self.reports().filter(|(_, report)| report.state() == translate::State::Rejected)
    }
}
