//! From what is held to an executable table, reusing whatever has not changed.
//!
//! The resources of each kind are gone through part by part; a part that is shared with the table before is not looked
//! at, so that the cost follows the size of the change. Nothing here fails as a whole: every resource that cannot be
//! built becomes a [`Rejection`], and is tried again in every build until it is replaced.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::{HashMapExt as _, fast::RandomState};
use portcullis_shared::invalid::Invalid;
use portcullis_shared::table::{self, Kind, Resource};
use portcullis_shared::version::Digest;

use super::names::Names;
use super::{Built, Listener, Named, Rejection, RouteConfig, Runtime, Serve, Split, VirtualHost};
use crate::held::shards::{Part, Shards, part_of};
use crate::held::{Claim, Content, Entry, Held};
use crate::policy::{PlanBuilder, registry};
use crate::upstream::{self, Upstream};

pub(super) fn run(held: &Held, prev: Option<&Runtime>) -> (Arc<Runtime>, Vec<Rejection>) {
    let mut build = Build { held, names: Names::default(), prev, rejections: Vec::new() };
    let upstreams = build.upstreams();
    let splits = build.parts(Kind::Split, prev.map(|prev| &prev.splits), false, split);
    let mut changes = Changes::default();
    let virtual_hosts =
        build.parts(Kind::VirtualHost, prev.map(|prev| &prev.virtual_hosts), false, virtual_host);
    changes.collect(prev.map(|prev| &prev.virtual_hosts), &virtual_hosts);
    let route_configs = changes.route_configs(prev, &virtual_hosts);
    let listeners = build.listeners();
    let mut rejections = build.rejections;
    rejections.sort_by(|a, b| (a.kind, &a.name, &a.path).cmp(&(b.kind, &b.name, &b.path)));
    let unsettled = rejections.iter().map(|rejection| (rejection.kind, part_of(&rejection.name))).collect();
    let mut held = held.clone();
    let before = prev.map(|prev| &prev.held);
    held.settle(Kind::VirtualHost, before, |name, digest| runs(&virtual_hosts, name, digest));
    held.settle(Kind::Split, before, |name, digest| runs(&splits, name, digest));
    let chains = listeners.iter().flat_map(|listener| listener.chains());
    let listener_policies = chains
        .filter(|chain| !chain.policies.is_empty())
        .filter_map(|chain| match &chain.serve {
            Serve::Http(route_config) => {
                Some((Arc::clone(route_config), registry::with_default(&chain.policies)))
            }
            Serve::Tcp(_) => None,
        })
        .collect();
    static LAST: AtomicU64 = AtomicU64::new(0);
    let runtime = Runtime {
        generation: LAST.fetch_add(1, Ordering::Relaxed).saturating_add(1),
        held,
        unsettled,
        listeners,
        route_configs,
        listener_policies,
        virtual_hosts,
        upstreams,
        splits,
    };
    (Arc::new(runtime), rejections)
}

fn runs<T>(built: &Named<T>, name: &str, digest: &Digest) -> bool {
    built.get(name).is_some_and(|built| built.digest == *digest)
}

struct Build<'a> {
    held: &'a Held,
    names: Names,
    prev: Option<&'a Runtime>,
    rejections: Vec<Rejection>,
}

/// What became of one resource: its form, if it has one, and why that is not the one that was sent.
struct Outcome<T> {
    form: Option<Built<T>>,
    rejected: Option<Invalid>,
}

impl<T> Outcome<T> {
    /// The new form, or the one before where there is no new one.
    fn of(digest: Digest, built: Result<T, Invalid>, before: Option<&Built<T>>) -> Self {
        match built {
            Ok(value) => Self { form: Some(Built { digest, value: Arc::new(value) }), rejected: None },
            Err(invalid) => Self { form: before.cloned(), rejected: Some(invalid) },
        }
    }

    fn same(before: &Built<T>) -> Self {
        Self { form: Some(before.clone()), rejected: None }
    }
}

impl<'a> Build<'a> {
    fn reject(&mut self, kind: Kind, name: &Arc<str>, invalid: Invalid) {
        let Invalid { path, reason } = invalid;
        self.rejections.push(Rejection { kind, name: Arc::clone(name), path, reason });
    }

    /// Makes everything of one kind. `all` looks at every part, also where nothing changed.
    fn parts<T>(
        &mut self,
        kind: Kind,
        before: Option<&'a Named<T>>,
        all: bool,
        make: impl Fn(&Self, &Arc<str>, &'a Entry, Option<&Built<T>>) -> Outcome<T>,
    ) -> Named<T> {
        let held = self.held;
        let former = self.prev.map(|prev| prev.held.of_kind(kind));
        let mut parts = Vec::new();
        for (number, entries) in held.of_kind(kind).parts().enumerate() {
            let before = before.and_then(|before| before.part(number));
            let shared =
                former.and_then(|former| former.part(number)).is_some_and(|part| Arc::ptr_eq(part, entries));
            let unsettled = || self.prev.is_some_and(|prev| prev.unsettled.contains(&(kind, number)));
            if let Some(before) = before.filter(|_| shared && !all && !unsettled()) {
                parts.push(Arc::clone(before));
                continue;
            }
            let mut part = Part::with_capacity(entries.len());
            for (name, entry) in &**entries {
                let Outcome { form, rejected } =
                    make(self, name, entry, before.and_then(|before| before.get(name)));
                part.extend(form.map(|form| (Arc::clone(name), form)));
                rejected.into_iter().for_each(|invalid| self.reject(kind, name, invalid));
            }
            parts.push(Arc::new(part));
        }
        parts.into_iter().collect()
    }

    fn certificates_changed(&self) -> bool {
        let certificates = |held: &'a Held| held.of_kind(Kind::Certificate);
        !self.prev.is_some_and(|prev| prev.held.of_kind(Kind::Certificate).same(certificates(self.held)))
    }

    fn upstreams(&mut self) -> Named<Upstream> {
        let all = self.certificates_changed();
        self.parts(Kind::Upstream, self.prev.map(|prev| &prev.upstreams), all, upstream)
    }

    fn listeners(&mut self) -> Vec<Arc<Listener>> {
        let (held, prev) = (self.held, self.prev);
        let wanted = held.of_kind(Kind::Listener);
        let settled = |prev: &Runtime| !prev.unsettled.iter().any(|(kind, _)| *kind == Kind::Listener);
        let same = |prev: &Runtime| settled(prev) && prev.held.of_kind(Kind::Listener).same(wanted);
        if let Some(prev) = prev.filter(|prev| same(prev) && !self.certificates_changed()) {
            return prev.listeners.clone();
        }
        let mut listeners = Vec::new();
        for (name, entry) in wanted.iter() {
            let before = prev.and_then(|prev| prev.listener(name));
            let Content::Valid(Resource::Listener(config)) = &entry.content else {
                self.reject(Kind::Listener, name, broken(&entry.content));
                listeners.extend(before.cloned());
                continue;
            };
            let (listener, rejected) = Listener::build(config, held, before);
            rejected.into_iter().for_each(|invalid| self.reject(Kind::Listener, name, invalid));
            listeners.push(listener);
        }
        listeners.sort_by(|a, b| a.name.cmp(&b.name));
        listeners
    }
}

fn upstream(
    build: &Build<'_>,
    _name: &Arc<str>,
    entry: &Entry,
    before: Option<&Built<Upstream>>,
) -> Outcome<Upstream> {
    let Content::Valid(Resource::Upstream(config)) = &entry.content else {
        return Outcome::of(entry.digest, Err(broken(&entry.content)), before);
    };
    // What an upstream is made of includes the certificates that it names.
    let proxy = config.connections.http_connect.as_ref().and_then(|connect| connect.tls.as_ref());
    let of_proxy = |e: Invalid| e.under("http_connect").under("connections");
    let materials = material(build.held, config.tls.as_ref())
        .and_then(|own| Ok((own, material(build.held, proxy).map_err(of_proxy)?)));
    let (material, proxy_material) = match materials {
        Ok(materials) => materials,
        Err(invalid) => return Outcome::of(entry.digest, Err(invalid), before),
    };
    let digest = proxy_material.digest(material.digest(entry.digest));
    if let Some(before) = before.filter(|before| before.digest == digest) {
        return Outcome::same(before);
    }
    let own = |tls| material.tls(tls, config.http2).map_err(|e| e.under("tls"));
    let built = config.tls.as_ref().map(own).transpose().and_then(|tls| {
        let through = |tls| proxy_material.tls(tls, false).map_err(|e| of_proxy(e.under("tls")));
        let proxy_tls = proxy.map(through).transpose()?;
        let over = PlanBuilder::decode(&config.policies)?;
        let mut upstream = Upstream::through(config, tls, proxy_tls, before.map(|before| &*before.value));
        upstream.over = (!over.is_empty()).then(|| Box::new(over));
        Ok(upstream)
    });
    Outcome::of(digest, built, before)
}

fn split(
    build: &Build<'_>,
    _name: &Arc<str>,
    entry: &Entry,
    before: Option<&Built<Split>>,
) -> Outcome<Split> {
    if let Some(before) = before.filter(|before| before.digest == entry.digest) {
        return Outcome::same(before);
    }
    let built = match &entry.content {
        Content::Valid(Resource::Split(config)) => Split::build(config, &build.names),
        content => Err(broken(content)),
    };
    Outcome::of(entry.digest, built, before)
}

fn virtual_host(
    build: &Build<'_>,
    name: &Arc<str>,
    entry: &Entry,
    before: Option<&Built<VirtualHost>>,
) -> Outcome<VirtualHost> {
    if let Some(before) = before.filter(|before| before.digest == entry.digest) {
        return Outcome::same(before);
    }
    let counted = before.map(|before| &*before.value);
    // A form that answers 503 is nothing to go back to.
    let before = before.filter(|before| before.value.is_whole());
    let (partial, built) = match &entry.content {
        Content::Valid(Resource::VirtualHost(config)) => {
            match VirtualHost::build(config, &build.names, counted) {
                (host, None) => (None, Ok(host)),
                (host, Some(reason)) => (Some(host), Err(reason)),
            }
        }
        content => (None, Err(broken(content))),
    };
    let mut outcome = Outcome::of(entry.digest, built, before);
    if let (None, Some(reason)) = (&outcome.form, &outcome.rejected) {
        outcome.form = Some(match partial {
            Some(host) => Built { digest: Digest::default(), value: Arc::new(host) },
            None => closed(name, &entry.content, reason.clone()),
        });
    }
    outcome
}

/// Why a resource has no valid content.
fn broken(content: &Content) -> Invalid {
    match content {
        Content::Broken(broken) => broken.invalid.clone(),
        // `Held` files resources under their own kind, and what is settled has the form that it was settled for.
        Content::Valid(_) | Content::Settled => Invalid::new("", "is of another kind"),
    }
}

fn closed(name: &Arc<str>, content: &Content, reason: Invalid) -> Built<VirtualHost> {
    let claim = match content {
        Content::Valid(Resource::VirtualHost(config)) => {
            Claim { route_configs: config.route_configs.clone(), domains: config.domains.clone() }
        }
        Content::Broken(broken) => broken.claim.clone(),
        Content::Valid(_) | Content::Settled => Claim::default(),
    };
    // No resource has this digest, so that the next build tries again and reports again.
    Built { digest: Digest::default(), value: Arc::new(VirtualHost::closed(name, claim, reason)) }
}

/// The certificates that are named there.
fn material<'a>(
    held: &'a Held,
    tls: Option<&table::UpstreamTls>,
) -> Result<upstream::tls::Material<'a>, Invalid> {
    let find = |field: &str, name: &Option<Arc<str>>| {
        name.as_ref().map(|name| held.certificate(name)).transpose().map_err(|e| e.under(field).under("tls"))
    };
    let Some(tls) = tls else { return Ok(upstream::tls::Material::default()) };
    Ok(upstream::tls::Material {
        ca: find("ca_certificate", &tls.ca_certificate)?,
        client: find("client_certificate", &tls.client_certificate)?,
    })
}

type Host = Arc<VirtualHost>;

/// Virtual hosts that differ between two runtimes.
#[derive(Default)]
struct Changes {
    /// Other routes under the same domains of the same route configurations.
    routes: Vec<Host>,
    /// Route configurations with other members or domains.
    reshaped: HashSet<Arc<str>>,
}

impl Changes {
    fn collect(&mut self, before: Option<&Named<VirtualHost>>, after: &Named<VirtualHost>) {
        let empty = Shards::default();
        for (before, after) in before.unwrap_or(&empty).parts().zip(after.parts()) {
            if Arc::ptr_eq(before, after) {
                continue;
            }
            for (name, new) in &**after {
                self.compare(before.get(name).map(|old| &old.value), &new.value);
            }
            for (_, gone) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
                self.reshaped.extend(gone.value.route_configs.iter().cloned());
            }
        }
    }

    fn compare(&mut self, old: Option<&Host>, new: &Host) {
        match old {
            Some(old) if Arc::ptr_eq(old, new) => {}
            Some(old) if old.route_configs == new.route_configs && old.domains() == new.domains() => {
                self.routes.push(Arc::clone(new));
            }
            old => {
                let old = old.into_iter().flat_map(|old| &old.route_configs);
                self.reshaped.extend(old.chain(&new.route_configs).cloned());
            }
        }
    }

    fn route_configs(
        &self,
        prev: Option<&Runtime>,
        hosts: &Named<VirtualHost>,
    ) -> HashMap<Arc<str>, Arc<RouteConfig>, RandomState> {
        let mut all = prev.map(|prev| prev.route_configs.clone()).unwrap_or_default();
        let mut patches: HashMap<&Arc<str>, Vec<&Host>> = HashMap::new();
        for host in &self.routes {
            for name in host.route_configs.iter().filter(|name| !self.reshaped.contains(*name)) {
                patches.entry(name).or_default().push(host);
            }
        }
        for (name, hosts) in patches {
            if let Some(config) = all.get_mut(name) {
                *config = config.patched(&hosts);
            }
        }
        if self.reshaped.is_empty() {
            return all;
        }
        let mut members: HashMap<&Arc<str>, Vec<Host>> = HashMap::new();
        for host in hosts.values() {
            for name in host.value.route_configs.iter().filter(|name| self.reshaped.contains(*name)) {
                members.entry(name).or_default().push(Arc::clone(&host.value));
            }
        }
        all.retain(|name, _| !self.reshaped.contains(name));
        for (name, mut hosts) in members {
            // In order of names, so that equal tables give equal answers.
            hosts.sort_by(|a, b| a.name.cmp(&b.name));
            all.insert(Arc::clone(name), RouteConfig::build(name, &hosts));
        }
        all
    }
}
