//! From what is held to an executable table, reusing whatever has not changed.
//!
//! One pass over the held resources: a digest that the previous runtime knows costs a lookup. Nothing here fails as a
//! whole; every resource that cannot be built becomes a [`Rejection`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::table::{self, Kind, Origin, Resource};
use portcullis_shared::version::Digest;

use super::held::{Claim, Content, Held};
use super::{Built, Listener, Named, Rejection, RouteConfig, Runtime, Split, VirtualHost};
use crate::upstream::{self, Upstream};

pub(super) fn run(held: &Held, prev: Option<&Runtime>) -> (Arc<Runtime>, Vec<Rejection>) {
    let mut build = Build { held, prev, rejections: Vec::new() };
    let upstreams = build.upstreams();
    let splits = build.splits();
    let virtual_hosts = build.virtual_hosts();
    let route_configs = build.route_configs(&virtual_hosts);
    let (listeners, listener_digests) = build.listeners();
    let runtime = Runtime { listeners, listener_digests, route_configs, virtual_hosts, upstreams, splits };
    (Arc::new(runtime), build.rejections)
}

struct Build<'a> {
    held: &'a Held,
    prev: Option<&'a Runtime>,
    rejections: Vec<Rejection>,
}

impl<'a> Build<'a> {
    fn reject(&mut self, kind: Kind, name: &Arc<str>, invalid: Invalid) {
        let Invalid { path, reason } = invalid;
        self.rejections.push(Rejection { kind, name: Arc::clone(name), path, reason });
    }

    /// The new form, or the previous one where there is no new one.
    fn settle<T>(
        &mut self,
        (kind, name, digest): (Kind, &Arc<str>, Digest),
        before: Option<&Built<T>>,
        built: Result<T, Invalid>,
    ) -> Option<Built<T>> {
        match built {
            Ok(value) => Some(Built { digest, value: Arc::new(value) }),
            Err(invalid) => {
                self.reject(kind, name, invalid);
                before.cloned()
            }
        }
    }

    fn upstreams(&mut self) -> Named<Upstream> {
        let (held, prev) = (self.held, self.prev);
        let mut all = Named::new();
        for (name, digest, content) in held.of_kind(Kind::Upstream) {
            let before = prev.and_then(|prev| prev.upstreams.get(name));
            let config = match content {
                Content::Valid(Resource::Upstream(config)) => Ok(config),
                content => Err(broken(content)),
            };
            // What an upstream is made of includes the certificates that it names.
            let parts = config.and_then(|config| Ok((config, material(held, config)?)));
            let built = match parts {
                Ok((config, material)) => {
                    let digest = material.digest(digest);
                    if let Some(before) = before.filter(|before| before.digest == digest) {
                        all.insert(Arc::clone(name), before.clone());
                        continue;
                    }
                    let tls = config.tls.as_ref().map(|tls| material.tls(tls, config.http2)).transpose();
                    let upstream = tls.map(|tls| Upstream::build(config, tls, before.map(|b| &*b.value)));
                    self.settle((Kind::Upstream, name, digest), before, upstream.map_err(|e| e.under("tls")))
                }
                Err(invalid) => self.settle((Kind::Upstream, name, digest), before, Err(invalid)),
            };
            if let Some(built) = built {
                if let Some(set) = held.endpoints(name) {
                    built.value.set_endpoints(set);
                }
                all.insert(Arc::clone(name), built);
            }
        }
        all
    }

    fn splits(&mut self) -> Named<Split> {
        let (held, prev) = (self.held, self.prev);
        let mut all = Named::new();
        for (name, digest, content) in held.of_kind(Kind::Split) {
            let before = prev.and_then(|prev| prev.splits.get(name));
            let built = match (before, content) {
                (Some(before), _) if before.digest == digest => Some(before.clone()),
                (_, Content::Valid(Resource::Split(config))) => {
                    self.settle((Kind::Split, name, digest), before, Split::build(config))
                }
                (_, content) => self.settle((Kind::Split, name, digest), before, Err(broken(content))),
            };
            if let Some(built) = built {
                all.insert(Arc::clone(name), built);
            }
        }
        all
    }

    fn virtual_hosts(&mut self) -> Named<VirtualHost> {
        let (held, prev) = (self.held, self.prev);
        let mut all = Named::with_capacity(prev.map_or(0, |prev| prev.virtual_hosts.len()));
        for (name, digest, content) in held.of_kind(Kind::VirtualHost) {
            let before = prev.and_then(|prev| prev.virtual_hosts.get(name));
            if let Some(before) = before.filter(|before| before.digest == digest) {
                all.insert(Arc::clone(name), before.clone());
                continue;
            }
            let built = match content {
                Content::Valid(Resource::VirtualHost(config)) => VirtualHost::build(config),
                content => Err(broken(content)),
            };
            // A form that answers 503 is nothing to go back to.
            let before = before.filter(|before| before.value.rejected.is_none());
            let reason = built.as_ref().err().cloned();
            let settled = self.settle((Kind::VirtualHost, name, digest), before, built);
            let closed = || reason.map(|reason| closed(name, content, reason));
            if let Some(built) = settled.or_else(closed) {
                all.insert(Arc::clone(name), built);
            }
        }
        all
    }

    fn route_configs(&self, virtual_hosts: &Named<VirtualHost>) -> HashMap<Arc<str>, Arc<RouteConfig>> {
        let mut members: BTreeMap<&Arc<str>, Vec<Arc<VirtualHost>>> = BTreeMap::new();
        // In order of names, so that equal tables give equal answers.
        for (name, _, _) in self.held.of_kind(Kind::VirtualHost) {
            let Some(host) = virtual_hosts.get(name) else { continue };
            for config in &host.value.route_configs {
                members.entry(config).or_default().push(Arc::clone(&host.value));
            }
        }
        members
            .into_iter()
            .map(|(name, hosts)| {
                let before = self.prev.and_then(|prev| prev.route_configs.get(name));
                (Arc::clone(name), RouteConfig::build(name, hosts, before))
            })
            .collect()
    }

    fn listeners(&mut self) -> (Vec<Arc<Listener>>, HashMap<Arc<str>, Digest>) {
        let (held, prev) = (self.held, self.prev);
        let mut all = Vec::new();
        let mut digests = HashMap::new();
        for (name, digest, content) in held.of_kind(Kind::Listener) {
            let before = prev.and_then(|prev| prev.listener(name));
            let Content::Valid(Resource::Listener(config)) = content else {
                self.reject(Kind::Listener, name, broken(content));
                if let Some(before) = before {
                    all.push(Arc::clone(before));
                }
                continue;
            };
            // What a listener is made of includes its certificates.
            let material = listener_material(held, config, digest);
            let known = prev.and_then(|prev| prev.listener_digests.get(name));
            if let (Some(before), true) = (before, known.is_some() && known == material.as_ref()) {
                all.push(Arc::clone(before));
            } else {
                let (listener, rejected) = Listener::build(config, held, before.map(|before| &**before));
                rejected.into_iter().for_each(|invalid| self.reject(Kind::Listener, name, invalid));
                all.push(Arc::new(listener));
            }
            digests.extend(material.map(|digest| (Arc::clone(name), digest)));
        }
        (all, digests)
    }
}

/// Why a resource has no valid content.
fn broken(content: &Content) -> Invalid {
    match content {
        Content::Broken(broken) => broken.invalid.clone(),
        // `Held` files resources under their own kind.
        Content::Valid(_) => Invalid::new("", "is of another kind"),
    }
}

fn closed(name: &Arc<str>, content: &Content, reason: Invalid) -> Built<VirtualHost> {
    let (origin, claim) = match content {
        Content::Valid(Resource::VirtualHost(config)) => (
            Arc::clone(&config.origin),
            Claim { route_configs: config.route_configs.clone(), domains: config.domains.clone() },
        ),
        Content::Broken(broken) => (Arc::new(Origin::default()), broken.claim.clone()),
        Content::Valid(_) => Default::default(),
    };
    // No resource has this digest, so that the next build tries again and reports again.
    Built { digest: Digest::default(), value: Arc::new(VirtualHost::closed(name, origin, claim, reason)) }
}

/// The certificates of an upstream.
fn material<'a>(held: &'a Held, config: &table::Upstream) -> Result<upstream::tls::Material<'a>, Invalid> {
    let find = |field: &str, name: &Option<Arc<str>>| {
        name.as_ref().map(|name| held.certificate(name)).transpose().map_err(|e| e.under(field).under("tls"))
    };
    let Some(tls) = &config.tls else { return Ok(upstream::tls::Material::default()) };
    Ok(upstream::tls::Material {
        ca: find("ca_certificate", &tls.ca_certificate)?,
        client: find("client_certificate", &tls.client_certificate)?,
    })
}

/// Digest over a listener and its certificates; none while one of them is missing or not valid, so that the next build
/// tries again.
fn listener_material(held: &Held, config: &table::Listener, digest: Digest) -> Option<Digest> {
    let mut bytes = digest.as_bytes().to_vec();
    for tls in config.filter_chains.iter().filter_map(|chain| chain.tls.as_ref()) {
        let (digest, _) = held.certificate(&tls.certificate).ok()?;
        bytes.extend_from_slice(digest.as_bytes());
    }
    Some(Digest::of(&bytes))
}
