//! What the last compilation made, so that what did not change is not made again.
//!
//! The model shares its parts by `Arc`, so "did not change" is "is the same object". Old and new are both in order of
//! name and are walked side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::table::v1::Kind;
use portcullis_shared::version::TableDigest;

use super::{Key, Table, TableEntry, lower, seal, table_digest, too_large};
use crate::ir::{Ir, Listener, Placement, Split, Upstream};

/// Results of the last compilation. An empty one gives the same tables, more slowly.
#[derive(Debug, Default)]
pub struct Memo {
    upstreams: Made<Arc<Upstream>>,
    splits: Made<Arc<Split>>,
    proxies: BTreeMap<Arc<str>, ProxyMemo>,
}

#[derive(Debug, Default)]
struct ProxyMemo {
    listeners: Made<Arc<Listener>>,
    hosts: Made<Placement>,
    table: Arc<Table>,
    digest: TableDigest,
}

/// Inputs and their entries, in order of name.
#[derive(Debug)]
struct Made<T>(Vec<(T, Key, Arc<TableEntry>)>);

impl<T> Default for Made<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Made<T> {
    /// Entries for `inputs`, which come in order of name.
    fn update<'a>(
        &mut self,
        inputs: impl Iterator<Item = (&'a Arc<str>, &'a T)>,
        kind: Kind,
        same: impl Fn(&T, &T) -> bool,
        make: impl Fn(&T) -> Resource,
    ) -> Vec<(Key, Arc<TableEntry>)>
    where
        T: 'a,
    {
        let mut old = std::mem::take(&mut self.0).into_iter().peekable();
        let mut new = Vec::with_capacity(inputs.size_hint().0);
        for (name, input) in inputs {
            while old.next_if(|(_, key, _)| *key.1 < **name).is_some() {}
            let kept = old.next_if(|(_, key, _)| *key.1 == **name).filter(|(was, _, _)| same(was, input));
            new.push(match kept {
                Some((_, key, entry)) => (input.clone(), key, entry),
                None => (input.clone(), (kind as i32, name.clone()), seal(make(input))),
            });
        }
        self.0 = new;
        self.0.iter().map(|(_, key, entry)| (key.clone(), entry.clone())).collect()
    }
}

impl Memo {
    pub(super) fn upstreams(&mut self, ir: &Ir) -> Vec<(Key, Arc<TableEntry>)> {
        self.upstreams.update(ir.upstreams.iter(), Kind::Upstream, Arc::ptr_eq, |upstream| {
            Resource::Upstream(lower::upstream(upstream))
        })
    }

    pub(super) fn splits(&mut self, ir: &Ir) -> Vec<(Key, Arc<TableEntry>)> {
        self.splits
            .update(ir.splits.iter(), Kind::Split, Arc::ptr_eq, |split| Resource::Split(lower::split(split)))
    }

    pub(super) fn listeners(
        &mut self,
        proxy: &Arc<str>,
        listeners: &[Arc<Listener>],
    ) -> Vec<(Key, Arc<TableEntry>)> {
        let memo = self.proxies.entry(proxy.clone()).or_default();
        memo.listeners.update(
            listeners.iter().map(|listener| (&listener.name, listener)),
            Kind::Listener,
            // They are few, and put together anew each time.
            |was, is| was == is,
            |listener| Resource::Listener(lower::listener(listener)),
        )
    }

    pub(super) fn hosts(&mut self, proxy: &Arc<str>, hosts: &[Placement]) -> Vec<(Key, Arc<TableEntry>)> {
        let memo = self.proxies.entry(proxy.clone()).or_default();
        memo.hosts.update(
            hosts.iter().map(|placement| (&placement.name, placement)),
            Kind::VirtualHost,
            |was, is| {
                Arc::ptr_eq(&was.host, &is.host)
                    && was.require_tls == is.require_tls
                    && (Arc::ptr_eq(&was.route_configs, &is.route_configs)
                        || was.route_configs == is.route_configs)
            },
            |placement| Resource::VirtualHost(lower::virtual_host(placement)),
        )
    }

    pub(super) fn retain_proxies(&mut self, keep: impl Fn(&Arc<str>) -> bool) {
        self.proxies.retain(|name, _| keep(name));
    }

    /// Makes the table of `entries` (in order); the last one if nothing differs.
    pub(super) fn finish(&mut self, proxy: &Arc<str>, entries: Vec<(Key, Arc<TableEntry>)>) -> Arc<Table> {
        let memo = self.proxies.entry(proxy.clone()).or_default();
        let mut digest = memo.digest;
        let (changed, refused) = differences(&memo.table, &entries, &mut digest);
        if !changed && memo.table.refused == refused {
            return memo.table.clone();
        }
        let mut entries: BTreeMap<Key, Arc<TableEntry>> = entries.into_iter().collect();
        for key in &refused {
            entries.remove(key);
        }
        debug_assert_eq!(digest.get(), table_digest(&entries).get());
        memo.digest = digest;
        memo.table = Arc::new(Table { digest: digest.get(), entries, refused });
        memo.table.clone()
    }
}

/// Walks the old table and the new entries side by side and keeps `digest` up to date. Only new entries are measured.
fn differences(old: &Table, new: &[(Key, Arc<TableEntry>)], digest: &mut TableDigest) -> (bool, Vec<Key>) {
    let mut changed = false;
    let mut refused = Vec::new();
    let mut before = old.entries.iter().peekable();
    for (key, entry) in new {
        while let Some(((kind, name), gone)) = before.next_if(|(was, _)| *was < key) {
            digest.remove(*kind, name, &gone.digest);
            changed = true;
        }
        let was = before.next_if(|(was, _)| *was == key);
        if let Some((_, was)) = was {
            if Arc::ptr_eq(was, entry) || was == entry {
                continue;
            }
            digest.remove(key.0, &key.1, &was.digest);
            changed = true;
        }
        if too_large(entry) {
            refused.push(key.clone());
            continue;
        }
        digest.add(key.0, &key.1, &entry.digest);
        changed = true;
    }
    for ((kind, name), gone) in before {
        digest.remove(*kind, name, &gone.digest);
        changed = true;
    }
    (changed, refused)
}
