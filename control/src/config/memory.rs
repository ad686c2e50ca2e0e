//! The accepted forms in memory, and what of them changes in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::merge::{Entries, Touched};
use crate::resource::{Entry, Kind, Location, ObjectRef, decode_document};
use crate::store::{Change, Record};
use crate::translate::{Accepted, ObjectReport, Report, State};

/// What is remembered of every object.
#[derive(Default)]
pub(super) struct Memory {
    /// The accepted forms, in the shape that translation reads.
    pub accepted: BTreeMap<ObjectRef, Accepted>,
    /// Where each accepted form stood.
    locations: BTreeMap<ObjectRef, Location>,
    /// Objects that are not accepted as they stand.
    pending: BTreeSet<ObjectRef>,
    /// When each object was seen first, accepted or not.
    pub first_seen: Arc<BTreeMap<ObjectRef, SystemTime>>,
    /// The order that the next newcomer gets.
    next_order: u64,
}

impl Memory {
    /// What the store remembers. A document that does not decode any more (an older program wrote it) is left out.
    pub fn load(records: Vec<Record>) -> Self {
        let mut memory = Self::default();
        let mut first_seen = BTreeMap::new();
        for record in records {
            let Some(kind) = Kind::parse(&record.kind) else { continue };
            let id = ObjectRef::new(kind, record.namespace.as_str(), record.name.as_str());
            memory.next_order = memory.next_order.max(record.order + 1);
            first_seen.insert(id.clone(), UNIX_EPOCH + Duration::from_millis(record.first_seen_ms));
            match decode_document(kind, &record.document) {
                Ok(object) => {
                    let file: Arc<Path> = Path::new(&record.file).into();
                    memory.locations.insert(id.clone(), Location { file, line: record.line, column: 1 });
                    memory.accepted.insert(id, Accepted { object: Arc::new(object), order: record.order });
                }
                Err(error) => tracing::warn!(object = %id, %error, "a stored form cannot be used any more"),
            }
        }
        memory.first_seen = Arc::new(first_seen);
        memory
    }

    /// Where the accepted forms stood.
    pub fn locations(&self) -> impl Iterator<Item = (&ObjectRef, &Location)> {
        self.locations.iter()
    }

    /// Takes the outcome of a build: newly accepted forms are remembered, objects that are not among `entries` any more
    /// are forgotten. Returns what the store must learn.
    pub fn settle(
        &mut self,
        entries: &Entries,
        touched: &Touched,
        report: &Report,
        now: SystemTime,
    ) -> Vec<Change> {
        let ids: BTreeSet<ObjectRef> = match touched {
            Touched::All => entries
                .keys()
                .chain(self.accepted.keys().filter(|id| !entries.contains_key(*id)))
                .cloned()
                .collect(),
            // What was not accepted may be by now, because something else changed.
            Touched::These(ids) => ids.iter().chain(&self.pending).cloned().collect(),
        };
        if *touched == Touched::All {
            Arc::make_mut(&mut self.first_seen).retain(|id, _| entries.contains_key(id));
            self.pending.retain(|id| entries.contains_key(id));
        }
        let mut changes = Vec::new();
        for id in ids {
            match entries.get(&id) {
                Some(entry) => {
                    if !self.first_seen.contains_key(&id) {
                        Arc::make_mut(&mut self.first_seen).insert(id.clone(), now);
                    }
                    changes.extend(self.accept(&id, entry, report, now).map(Change::Remember));
                }
                None => changes.extend(self.forget(&id)),
            }
        }
        changes
    }

    fn forget(&mut self, id: &ObjectRef) -> Option<Change> {
        self.pending.remove(id);
        if self.first_seen.contains_key(id) {
            Arc::make_mut(&mut self.first_seen).remove(id);
        }
        self.locations.remove(id);
        self.accepted.remove(id)?;
        Some(Change::Forget(Record::key_of(id.kind.as_str(), &id.namespace, &id.name)))
    }

    fn accept(&mut self, id: &ObjectRef, entry: &Entry, report: &Report, now: SystemTime) -> Option<Record> {
        // Secrets' values are never stored, and without them there is nothing to remember.
        if id.kind == Kind::Secret {
            return None;
        }
        let accepted = |said: &ObjectReport| !said.using_last_accepted && said.state() != State::Rejected;
        let object = entry.object.as_ref().filter(|_| report.objects.get(id).is_some_and(accepted));
        let Some(object) = object else {
            self.pending.insert(id.clone());
            return None;
        };
        self.pending.remove(id);
        let known = self.accepted.get(id);
        let moved = self.locations.get(id).is_none_or(|known| known.file != entry.location.file);
        if known.is_some_and(|known| known.object.digest == object.digest) && !moved {
            // The same meaning: only the place in the file may have changed, which is kept in memory.
            if let Some(known) = self.accepted.get_mut(id) {
                known.object = Arc::clone(object);
            }
            return None;
        }
        let order = known.map_or(self.next_order, |known| known.order);
        self.next_order = self.next_order.max(order + 1);
        self.accepted.insert(id.clone(), Accepted { object: Arc::clone(object), order });
        self.locations.insert(id.clone(), entry.location.clone());
        Some(Record {
            kind: id.kind.as_str().to_owned(),
            namespace: id.namespace.to_string(),
            name: id.name.to_string(),
            document: object.document.to_string(),
            order,
            first_seen_ms: self.first_seen.get(id).map_or(0, |seen| millis(*seen)),
            accepted_at_ms: millis(now),
            file: entry.location.file.to_string_lossy().into_owned(),
            line: entry.location.line,
            history: Vec::new(),
        })
    }
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
