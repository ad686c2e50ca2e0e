//! What the last compilation made, so that what did not change is not made again.
//!
//! The model shares its parts by `Arc`, so "did not change" is "is the same object". Old and new are both in order of
//! name and are walked side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::table::v1::Kind;
use portcullis_shared::version::TableDigest;

use super::draft::{Delta, Draft};
use super::{Key, Table, TableEntry, lower, seal};
use crate::ir::{Ir, Listener, Placement, Proxy, Split, Upstream};
use crate::translate::SecretIndex;

/// Results of the last compilation. An empty one gives the same tables, more slowly.
#[derive(Debug, Default)]
pub struct Memo {
    upstreams: Made<Arc<Upstream>>,
    /// The map that `upstreams` was made from; the same map again has the same content.
    upstreams_of: Arc<BTreeMap<Arc<str>, Arc<Upstream>>>,
    splits: Made<Arc<Split>>,
    proxies: BTreeMap<Arc<str>, ProxyMemo>,
}

#[derive(Debug, Default)]
struct ProxyMemo {
    listeners: Made<Arc<Listener>>,
    hosts: Made<Placement>,
    table: Arc<Table>,
    digest: TableDigest,
    /// What the certificates were found from: listeners, upstreams, facts of secrets.
    material: Option<Material>,
}

/// The same objects again name the same certificates.
#[derive(Debug)]
struct Material {
    listeners: Vec<Arc<Listener>>,
    upstreams: Arc<BTreeMap<Arc<str>, Arc<Upstream>>>,
    secrets: SecretIndex,
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
    /// Takes over `inputs`, which come in order of name, and says what differs.
    fn update<'a>(
        &mut self,
        inputs: impl Iterator<Item = (&'a Arc<str>, &'a T)> + Clone,
        kind: Kind,
        same: impl Fn(&T, &T) -> bool,
        make: impl Fn(&T) -> Resource,
    ) -> Delta
    where
        T: 'a,
    {
        let names = |inputs: &mut dyn Iterator<Item = (&'a Arc<str>, &'a T)>| {
            self.0.iter().all(|(_, key, _)| inputs.next().is_some_and(|(name, _)| Arc::ptr_eq(&key.1, name)))
                && inputs.next().is_none()
        };
        if names(&mut inputs.clone()) {
            return self.replace(inputs.map(|(_, input)| input), same, make);
        }
        let mut delta = Delta::default();
        let mut old = std::mem::take(&mut self.0).into_iter().peekable();
        let mut new = Vec::with_capacity(inputs.size_hint().0);
        for (name, input) in inputs {
            // The rule, and no name is looked at for it.
            if let Some(kept) = old.next_if(|(was, key, _)| Arc::ptr_eq(&key.1, name) && same(was, input)) {
                new.push(kept);
                continue;
            }
            while let Some((_, gone, _)) = old.next_if(|(_, key, _)| *key.1 < **name) {
                delta.removes.push(gone);
            }
            match old.next_if(|(_, key, _)| *key.1 == **name) {
                Some(kept) if same(&kept.0, input) => new.push(kept),
                _ => {
                    let key = (kind as i32, Arc::clone(name));
                    let entry = seal(make(input));
                    delta.upserts.push((key.clone(), Arc::clone(&entry)));
                    new.push((input.clone(), key, entry));
                }
            }
        }
        delta.removes.extend(old.map(|(_, gone, _)| gone));
        self.0 = new;
        delta
    }

    /// [`Self::update`] where none came or went: nothing but what differs is touched.
    fn replace<'a>(
        &mut self,
        inputs: impl Iterator<Item = &'a T>,
        same: impl Fn(&T, &T) -> bool,
        make: impl Fn(&T) -> Resource,
    ) -> Delta
    where
        T: 'a,
    {
        let mut delta = Delta::default();
        for ((was, key, entry), input) in self.0.iter_mut().zip(inputs) {
            if !same(was, input) {
                *entry = seal(make(input));
                *was = input.clone();
                delta.upserts.push((key.clone(), Arc::clone(entry)));
            }
        }
        delta
    }

    /// Everything, for a table that has nothing yet.
    fn all(&self) -> Delta {
        let upserts = self.0.iter().map(|(_, key, entry)| (key.clone(), Arc::clone(entry))).collect();
        Delta { upserts, removes: Vec::new() }
    }
}

/// What differs in the parts that all proxies share.
pub(super) struct Shared {
    upstreams: Delta,
    splits: Delta,
}

impl Material {
    fn is_of(&self, ir: &Ir, proxy: &Proxy, secrets: &SecretIndex) -> bool {
        let same = |(a, b): (&Arc<Listener>, &Arc<Listener>)| Arc::ptr_eq(a, b);
        self.secrets.same(secrets)
            && Arc::ptr_eq(&self.upstreams, &ir.upstreams)
            && self.listeners.len() == proxy.listeners.len()
            && self.listeners.iter().zip(&proxy.listeners).all(same)
    }
}

impl Memo {
    /// Takes over the parts that all proxies share, and forgets the proxies that are gone.
    pub(super) fn share(&mut self, ir: &Ir) -> Shared {
        self.proxies.retain(|name, _| ir.proxies.contains_key(name));
        let upstreams = if Arc::ptr_eq(&self.upstreams_of, &ir.upstreams) {
            Delta::default()
        } else {
            self.upstreams_of = Arc::clone(&ir.upstreams);
            self.upstreams.update(ir.upstreams.iter(), Kind::Upstream, Arc::ptr_eq, |upstream| {
                Resource::Upstream(lower::upstream(upstream))
            })
        };
        let splits = self
            .splits
            .update(ir.splits.iter(), Kind::Split, Arc::ptr_eq, |split| Resource::Split(lower::split(split)));
        Shared { upstreams, splits }
    }

    /// The table of a proxy; the last one if nothing differs. `certificates` gives all of them.
    pub(super) fn table(
        &mut self,
        name: &Arc<str>,
        ir: &Ir,
        proxy: &Proxy,
        shared: &Shared,
        secrets: &SecretIndex,
        certificates: impl FnOnce() -> Vec<(Key, Arc<TableEntry>)>,
    ) -> Arc<Table> {
        let fresh = !self.proxies.contains_key(name);
        let memo = self.proxies.entry(Arc::clone(name)).or_default();
        let listeners = memo.listeners.update(
            proxy.listeners.iter().map(|listener| (&listener.name, listener)),
            Kind::Listener,
            // They are few, and put together anew each time.
            |was, is| was == is,
            |listener| Resource::Listener(lower::listener(listener)),
        );
        let hosts = memo.hosts.update(
            proxy.hosts.iter().map(|placement| (&placement.name, placement)),
            Kind::VirtualHost,
            |was, is| {
                Arc::ptr_eq(&was.host, &is.host)
                    && was.require_tls == is.require_tls
                    && was.client_chain == is.client_chain
                    && (Arc::ptr_eq(&was.route_configs, &is.route_configs)
                        || was.route_configs == is.route_configs)
            },
            |placement| Resource::VirtualHost(lower::virtual_host(placement)),
        );
        let mut draft = Draft::new(&memo.table, memo.digest);
        draft.apply(listeners);
        draft.apply(hosts);
        if fresh {
            draft.apply(self.upstreams.all());
            draft.apply(self.splits.all());
        } else {
            draft.apply(shared.upstreams.clone());
            draft.apply(shared.splits.clone());
        }
        let same = memo.material.as_ref().is_some_and(|material| material.is_of(ir, proxy, secrets));
        if !same {
            draft.replace_kind(Kind::Certificate, certificates());
            memo.material = Some(Material {
                listeners: proxy.listeners.clone(),
                upstreams: Arc::clone(&ir.upstreams),
                secrets: secrets.clone(),
            });
        }
        if let Some((table, digest)) = draft.finish() {
            (memo.table, memo.digest) = (Arc::new(table), digest);
        }
        Arc::clone(&memo.table)
    }
}
