//! `hybridGateway`: its parts, those that stand in it and those that other resources hold, and whose connections each takes.
//!
//! A part that has errors and never was accepted is closed: its connections are not served by the other parts, of which one
//! may be for everybody.

mod distinct;
mod matching;

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use self::distinct::distinct;
use self::matching::{Matching, check_ssl, label, matching};
use super::cx::{Cx, Lookup};
use super::gateway::{Part, Side, Whole, http_side, tcp_side};
use super::globals::Globals;
use super::inherit::{self, SslDefaults};
use super::label::{Labels, TableSelector};
use super::notes::Notes;
use super::path::lower;
use super::route::{not_found, object_ref};
use super::tcp::Place;
use crate::ir::{Destination, FilterChain, Serve, TcpProxy, TcpTarget};
use crate::policy::listener;
use crate::resource::{
    DelegatedHttpGateway, GatewaySelector, HybridGateway, Kind, MatchableHttpGateway, MatchableTcpGateway,
    Object, ObjectRef, Ref, Spec, SslConfig, TcpGateway,
};

/// Nothing is there to be served.
const EMPTY: &str = "hybrid gateway does not have any populated matched gateways";

/// A part and where it stands.
struct Placed {
    owner: ObjectRef,
    path: String,
    side: Side,
}

/// The parts of the hybrid gateway at `place`.
pub fn sides(
    cx: &mut Cx<'_>,
    globals: &Globals,
    place: &Place<'_>,
    whole: &Whole<'_>,
    hybrid: &HybridGateway,
    notes: &mut Notes,
) -> Vec<Side> {
    let mut build = Build { cx, globals, whole, notes };
    let Place { owner, path } = place;
    let delegated = [
        ("delegatedHttpGateways", hybrid.delegated_http_gateways.is_some()),
        ("delegatedTcpGateways", hybrid.delegated_tcp_gateways.is_some()),
    ];
    let delegated = delegated.into_iter().filter(|(_, set)| *set).map(|(field, _)| field);
    let parts = if !hybrid.matched_gateways.is_empty() {
        for field in delegated {
            let text = "has no effect beside matchedGateways";
            build.notes.warning(owner, format!("{path}.{field}"), text);
        }
        build.matched(place, hybrid)
    } else if delegated.count() == 0 {
        build.notes.error(owner, path, EMPTY);
        Vec::new()
    } else {
        let parts = build.delegated(place, hybrid);
        if parts.is_empty() {
            build.notes.warning(owner, path, EMPTY);
        }
        parts
    };
    distinct(build.cx, owner, parts, build.notes)
}

struct Build<'a, 's> {
    cx: &'a mut Cx<'s>,
    globals: &'a Globals,
    whole: &'a Whole<'a>,
    notes: &'a mut Notes,
}

impl<'s> Build<'_, 's> {
    fn matched(&mut self, place: &Place<'_>, hybrid: &HybridGateway) -> Vec<Placed> {
        let mut labels = BTreeSet::new();
        let mut parts = Vec::new();
        for (at, matched) in hybrid.matched_gateways.iter().enumerate() {
            let path = format!("{}.matchedGateways[{at}]", place.path);
            let here = Place { owner: place.owner, path: path.clone() };
            let matching = matching(matched.matcher.as_ref(), &here, self.notes);
            let ssl = matched.matcher.as_ref().and_then(|matcher| matcher.ssl_config.as_ref());
            let label = label(&matching, ssl.is_some(), &mut labels);
            let side = match (&matched.tcp_gateway, &matched.http_gateway) {
                (Some(gateway), _) => self.tcp(&here, gateway, ssl, &matching, &label),
                (None, Some(http)) => {
                    let inside = Place { owner: place.owner, path: format!("{path}.httpGateway") };
                    let side = http_side(self.cx, self.globals, &inside, self.whole, http, None, self.notes);
                    Side { ssl: ssl.is_some(), ..side }
                }
                (None, None) => {
                    self.notes.error(place.owner, path, "gateway must contain gatewayType");
                    continue;
                }
            };
            let part = part(&here, label, matching.sources, ssl.cloned());
            parts.push(Placed {
                owner: place.owner.clone(),
                path: here.path,
                side: Side { part: Some(part), ..side },
            });
        }
        parts
    }

    fn delegated(&mut self, place: &Place<'_>, hybrid: &HybridGateway) -> Vec<Placed> {
        let mut parts = Vec::new();
        if let Some(delegated) = &hybrid.delegated_http_gateways {
            let here = Place { owner: place.owner, path: format!("{}.delegatedHttpGateways", place.path) };
            self.check(&here, delegated);
            let (reference, selector) = (delegated.reference.as_ref(), delegated.selector.as_ref());
            for object in self.choose(&here, Kind::MatchableHttpGateway, reference, selector) {
                if let Spec::MatchableHttpGateway(child) = &object.spec
                    && self.taken(&here, delegated, object, child)
                {
                    parts.push(self.child_http(object, child, delegated));
                }
            }
        }
        if let Some(delegated) = &hybrid.delegated_tcp_gateways {
            let here = Place { owner: place.owner, path: format!("{}.delegatedTcpGateways", place.path) };
            let (reference, selector) = (delegated.reference.as_ref(), delegated.selector.as_ref());
            for object in self.choose(&here, Kind::MatchableTcpGateway, reference, selector) {
                if let Spec::MatchableTcpGateway(child) = &object.spec {
                    parts.push(self.child_tcp(object, child));
                }
            }
        }
        parts
    }

    /// What the gateway says for its parts must be right in itself.
    fn check(&mut self, place: &Place<'_>, delegated: &DelegatedHttpGateway) {
        if let Some(settings) = &delegated.http_connection_manager_settings {
            let path = format!("{}.httpConnectionManagerSettings", place.path);
            listener::check_manager(settings, place.owner, &path, self.cx, self.notes);
        }
        if let Some(ssl) = &delegated.ssl_config {
            check_ssl(ssl, place.owner, &format!("{}.sslConfig", place.path), self.notes);
        }
    }

    /// The resources of `kind` that are meant, each in the form that counts.
    fn choose(
        &mut self,
        place: &Place<'_>,
        kind: Kind,
        reference: Option<&Ref>,
        selector: Option<&GatewaySelector>,
    ) -> Vec<&'s Object> {
        let what = match kind {
            Kind::MatchableTcpGateway => "matchable tcp gateway",
            _ => "matchable http gateway",
        };
        if let Some(reference) = reference {
            let id = object_ref(kind, reference);
            return match self.cx.object(&id) {
                Lookup::Found(object) => vec![object],
                Lookup::Missing => {
                    let path = format!("{}.ref", place.path);
                    self.notes.warning(place.owner, path, not_found(what, reference));
                    Vec::new()
                }
                Lookup::Broken => {
                    self.left_out(&id, what, format!("{}.ref", place.path), place.owner);
                    Vec::new()
                }
            };
        }
        let none = GatewaySelector::default();
        let selector = selector.unwrap_or(&none);
        let labels = match Labels::all(&selector.labels, &selector.expressions) {
            Ok(labels) => labels,
            Err((at, problem)) => {
                let path = format!("{}.selector.expressions[{at}]", place.path);
                let text = format!("the selector expression is invalid: {problem}");
                self.notes.error(place.owner, path, text);
                return Vec::new();
            }
        };
        let all = selector.namespaces.is_empty() || selector.namespaces.iter().any(|it| it == "*");
        let namespaces = (!all).then(|| selector.namespaces.iter().map(|it| it.as_str().into()).collect());
        let ids = self.cx.parts(kind, TableSelector { namespaces, labels });
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            match self.cx.object(id) {
                Lookup::Found(object) => found.push(object),
                Lookup::Missing | Lookup::Broken => {
                    self.left_out(id, what, format!("{}.selector", place.path), place.owner);
                }
            }
        }
        found
    }

    fn left_out(&mut self, id: &ObjectRef, what: &str, path: String, owner: &ObjectRef) {
        let text = format!("{what} {}.{} is rejected: it is left out", id.namespace, id.name);
        self.notes.warning(owner, path, text);
    }

    /// Whether a gateway has TLS as those have that are delegated to.
    fn taken(
        &mut self,
        place: &Place<'_>,
        delegated: &DelegatedHttpGateway,
        object: &Object,
        child: &MatchableHttpGateway,
    ) -> bool {
        let own = child.matcher.as_ref().is_some_and(|matcher| matcher.ssl_config.is_some());
        let wanted = delegated.ssl_config.is_some();
        if own != wanted && delegated.reference.is_some() {
            let has = |it: bool| if it { "has an sslConfig" } else { "has no sslConfig" };
            let text = format!(
                "the matcher of matchable http gateway {}.{} {}, and delegatedHttpGateways {}: it is not taken",
                object.id.namespace,
                object.id.name,
                has(own),
                has(wanted)
            );
            self.notes.warning(place.owner, format!("{}.ref", place.path), text);
        }
        own == wanted
    }

    fn child_http(
        &mut self,
        object: &Object,
        child: &MatchableHttpGateway,
        delegated: &DelegatedHttpGateway,
    ) -> Placed {
        let here = Place { owner: &object.id, path: "spec".to_owned() };
        let before = self.fatal(&object.id);
        let matching = matching(child.matcher.as_ref(), &here, self.notes);
        let own_ssl = child.matcher.as_ref().and_then(|matcher| matcher.ssl_config.clone());
        let label: Arc<str> = format!("{}.{}", object.id.namespace, object.id.name).into();
        let side = match &child.http_gateway {
            Some(http) => {
                let own = http.options.as_ref().and_then(|it| it.http_connection_manager_settings.clone());
                let theirs = &delegated.http_connection_manager_settings;
                let manager = match delegated.prevent_child_overrides {
                    false => inherit::merged(&own, theirs),
                    true => inherit::merged(theirs, &own),
                };
                let manager = manager.filter(|_| theirs.is_some());
                let inside = Place { owner: &object.id, path: "spec.httpGateway".to_owned() };
                http_side(self.cx, self.globals, &inside, self.whole, http, manager, self.notes)
            }
            None => {
                self.notes.error(
                    &object.id,
                    "spec.httpGateway",
                    "a matchable http gateway needs an httpGateway",
                );
                Side::default()
            }
        };
        let ssl = own_ssl.is_some();
        let defaults = match delegated.prevent_child_overrides {
            false => inherit::merged(&own_ssl, &delegated.ssl_config),
            true => inherit::merged(&delegated.ssl_config, &own_ssl),
        };
        let side = if self.fatal(&object.id) > before {
            self.closed(object, &matching)
        } else {
            Side { ssl, ..side }
        };
        let part = part(&here, label, matching.sources, defaults.filter(|_| ssl));
        Placed { owner: object.id.clone(), path: here.path, side: Side { part: Some(part), ..side } }
    }

    fn child_tcp(&mut self, object: &Object, child: &MatchableTcpGateway) -> Placed {
        let here = Place { owner: &object.id, path: "spec".to_owned() };
        let before = self.fatal(&object.id);
        let matching = matching(child.matcher.as_ref(), &here, self.notes);
        let ssl = child.matcher.as_ref().and_then(|matcher| matcher.ssl_config.as_ref());
        let label: Arc<str> = format!("{}.{}~tcp", object.id.namespace, object.id.name).into();
        let side = match &child.tcp_gateway {
            Some(gateway) => self.tcp(&here, gateway, ssl, &matching, &label),
            None => {
                self.notes.error(&object.id, "spec.tcpGateway", "a matchable tcp gateway needs a tcpGateway");
                Side::default()
            }
        };
        let side = if self.fatal(&object.id) > before { self.closed(object, &matching) } else { side };
        let part = part(&here, label, matching.sources, None);
        Placed { owner: object.id.clone(), path: here.path, side: Side { part: Some(part), ..side } }
    }

    /// Takes the connections of a part and closes them: those of no upstream that there can be.
    fn closed(&mut self, object: &Object, matching: &Matching) -> Side {
        let upstream = format!("(rejected: {})", object.id).into();
        let nowhere = Destination { upstream, weight: 1, policies: Vec::new(), subset: Default::default() };
        let chain = FilterChain {
            name: format!("{}.{}/closed", object.id.namespace, object.id.name).into(),
            server_names: matching.server_names.clone(),
            source_prefixes: matching.sources.clone(),
            tls: None,
            serve: Serve::Tcp(TcpProxy {
                name: "closed".into(),
                target: TcpTarget::Destinations(vec![nowhere]),
                max_connect_attempts: 1,
                idle_timeout: None,
                options: Default::default(),
            }),
            http: Default::default(),
            policies: Vec::new(),
            admission: Default::default(),
            part: None,
        };
        let settings =
            listener::lower(self.whole.options, None, self.whole.id, self.cx, &mut Notes::default());
        let mut side = Side { settings, ..Side::default() };
        side.tcp.chains.push(chain);
        side
    }

    /// How many errors stop this resource.
    fn fatal(&self, id: &ObjectRef) -> usize {
        self.notes.iter().filter(|note| note.fatal && note.object == *id).count()
    }

    /// The part with the `tcpGateway` at `place`. Its hosts may have some of the matcher's names each.
    fn tcp(
        &mut self,
        place: &Place<'_>,
        gateway: &TcpGateway,
        ssl: Option<&SslConfig>,
        matching: &Matching,
        label: &str,
    ) -> Side {
        let Place { owner, path } = place;
        let inside = Place { owner, path: format!("{path}.tcpGateway") };
        for (at, host) in gateway.tcp_hosts.iter().enumerate().filter(|_| !matching.server_names.is_empty()) {
            let names = host.ssl_config.iter().flat_map(|ssl| &ssl.sni_domains).enumerate();
            for (i, name) in names.filter(|(_, name)| !matching.server_names.contains(&lower(name))) {
                let text = format!("gateway has conflicting sni domains [{}:{name}]", host.name);
                let path = format!("{}.tcpHosts[{at}].sslConfig.sniDomains[{i}]", inside.path);
                self.notes.error(owner, path, format!("{text}: the matcher does not have this one"));
            }
        }
        let names_alone = |ssl: &SslConfig| {
            *ssl == SslConfig { sni_domains: ssl.sni_domains.clone(), ..SslConfig::default() }
        };
        if ssl.is_some_and(|ssl| !names_alone(ssl)) {
            let text = "of the sslConfig of a tcpGateway's matcher only sniDomains has an effect: TLS ends where a TCP host \
                        has a certificate";
            self.notes.warning(owner, format!("{path}.matcher.sslConfig"), text);
        }
        let mut side = tcp_side(self.cx, self.globals, &inside, self.whole, gateway, self.notes);
        for chain in &mut side.tcp.chains {
            chain.name = format!("{label}/{}", chain.name).into();
            chain.source_prefixes.clone_from(&matching.sources);
            if chain.server_names.is_empty() {
                chain.server_names.clone_from(&matching.server_names);
            }
        }
        side
    }
}

fn part(place: &Place<'_>, label: Arc<str>, sources: Vec<IpNet>, ssl: Option<SslConfig>) -> Part {
    Part {
        label,
        owner: place.owner.clone(),
        path: place.path.as_str().into(),
        sources,
        ssl: ssl.and_then(SslDefaults::new),
    }
}
