//! A table in the making: the last one with changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_proto::table::v1::Kind;
use portcullis_shared::version::TableDigest;

use super::{Key, Table, TableEntry, too_large};
use crate::ordered::Ordered;

/// Entries to put and to take away.
#[derive(Debug, Clone, Default)]
pub(super) struct Delta {
    pub upserts: Vec<(Key, Arc<TableEntry>)>,
    pub removes: Vec<Key>,
}

pub(super) struct Draft {
    entries: Ordered<Key, Arc<TableEntry>>,
    refused: BTreeSet<Key>,
    digest: TableDigest,
    changed: bool,
}

impl Draft {
    /// The last table, with the digest that is kept along.
    pub(super) fn new(table: &Table, digest: TableDigest) -> Self {
        Self {
            entries: table.entries.clone(),
            refused: table.refused.iter().cloned().collect(),
            digest,
            changed: false,
        }
    }

    pub(super) fn apply(&mut self, delta: Delta) {
        delta.removes.iter().for_each(|key| self.remove(key));
        for (key, entry) in delta.upserts {
            self.put(key, entry);
        }
    }

    /// Makes `all` the entries of a kind.
    pub(super) fn replace_kind(&mut self, kind: Kind, all: Vec<(Key, Arc<TableEntry>)>) {
        let wanted: BTreeSet<&Key> = all.iter().map(|(key, _)| key).collect();
        let first = (kind as i32, Arc::from(""));
        let held = self.entries.range(first..).map(|(key, _)| key).take_while(|key| key.0 == kind as i32);
        let gone: Vec<Key> = held.filter(|key| !wanted.contains(key)).cloned().collect();
        gone.iter().for_each(|key| self.remove(key));
        for (key, entry) in all {
            self.put(key, entry);
        }
    }

    fn put(&mut self, key: Key, entry: Arc<TableEntry>) {
        if self.entries.get(&key).is_some_and(|was| was.digest == entry.digest && was.body == entry.body) {
            return;
        }
        self.remove(&key);
        self.changed = true;
        if too_large(&entry) {
            self.refused.insert(key);
            return;
        }
        self.digest.add(key.0, &key.1, &entry.digest);
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &Key) {
        self.changed |= self.refused.remove(key);
        if let Some(gone) = self.entries.remove(key) {
            self.digest.remove(key.0, &key.1, &gone.digest);
            self.changed = true;
        }
    }

    /// The new table; `None` if it is the last one.
    pub(super) fn finish(self) -> Option<(Table, TableDigest)> {
        if !self.changed {
            return None;
        }
        let refused = self.refused.into_iter().collect();
        let table = Table { digest: self.digest.get(), entries: self.entries, refused };
        Some((table, self.digest))
    }
}
