//! Settled VirtualServices put behind the listeners of their gateways.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use portcullis_shared::version::Digest;

use super::gateway::Gateway;
use super::place::{Candidate, Target};
use super::route::origin;
use super::service::ServiceOut;
use crate::ir::{DownstreamTls, FilterChain, Listener, Placement, Proxy, Serve};

/// The proxies with their listeners and virtual hosts. `selected` says which gateways some VirtualService was selected
/// for, served or not.
pub fn proxies(
    gateways: &[Gateway],
    candidates: &[Candidate<'_>],
    selected: &BTreeSet<usize>,
) -> BTreeMap<Arc<str>, Proxy> {
    let chains = Chains::of(gateways, candidates);
    let mut proxies: BTreeMap<Arc<str>, Proxy> = BTreeMap::new();
    let mut at = 0..;
    for parts in gateways.chunk_by(|a, b| a.id == b.id) {
        let Some(gateway) = parts.first() else { continue };
        let parts = parts.iter().zip(&mut at);
        let chains: Vec<FilterChain> =
            parts.flat_map(|(part, at)| of_part(part, at, &chains, selected)).collect();
        // A listener without a chain would answer nobody, and is not bound.
        if chains.is_empty() {
            continue;
        }
        let listener = Arc::new(Listener {
            name: Arc::clone(&gateway.listener),
            origin: origin(&gateway.id),
            address: gateway.address,
            port: gateway.port,
            proxy_protocol: gateway.proxy_protocol,
            chains,
            connection_logs: gateway.settings.connection_logs.clone(),
            options: gateway.settings.options.clone(),
        });
        for proxy in &gateway.proxies {
            proxies.entry(Arc::clone(proxy)).or_default().listeners.push(Arc::clone(&listener));
        }
    }
    let mut configs = RouteConfigs { gateways, made: HashMap::new() };
    for candidate in candidates {
        place(candidate, gateways, &mut configs, &mut proxies);
    }
    for proxy in proxies.values_mut() {
        proxy.listeners.sort_by(|a, b| a.name.cmp(&b.name));
        proxy.hosts.sort_by(|a, b| a.name.cmp(&b.name));
    }
    proxies
}

/// The filter chains of a gateway, or of a part of one.
fn of_part(gateway: &Gateway, at: usize, chains: &Chains, selected: &BTreeSet<usize>) -> Vec<FilterChain> {
    let mut chains = if !gateway.tcp.chains.is_empty() {
        gateway.tcp.chains.clone()
    } else if gateway.ssl {
        chains.tls(at, gateway)
    } else if selected.contains(&at) {
        vec![plain(gateway)]
    } else {
        Vec::new()
    };
    if let Some(part) = &gateway.part {
        let origin = (origin(&part.owner), Arc::clone(&part.path));
        chains.iter_mut().for_each(|chain| chain.part = Some(origin.clone()));
    }
    chains
}

/// Adds the virtual host of a candidate to each of its proxies.
fn place(
    candidate: &Candidate<'_>,
    gateways: &[Gateway],
    configs: &mut RouteConfigs<'_>,
    proxies: &mut BTreeMap<Arc<str>, Proxy>,
) {
    let mut before: Option<&Target> = None;
    for (target, out) in candidate.targets.targets.iter().zip(&candidate.outs) {
        let again = before.is_some_and(|it| it.proxy == target.proxy);
        before = Some(target);
        let (Some(host), Some(proxy)) = (&out.host, proxies.get_mut(&target.proxy)) else { continue };
        let route_configs = configs.of(target, out);
        if route_configs.is_empty() {
            continue;
        }
        let name = placement_name(&host.name, target, again);
        let require_tls = target.gateways.first().and_then(|at| gateways.get(*at)).is_some_and(|it| it.ssl);
        let client_chain = client_chain(out);
        proxy.hosts.push(Placement {
            name,
            host: Arc::clone(host),
            route_configs,
            require_tls,
            client_chain,
        });
    }
}

/// Puts the hosts of a candidate where its former ones are. Gives `false` when they are not all there.
pub fn replace(proxies: &mut BTreeMap<Arc<str>, Proxy>, candidate: &Candidate<'_>) -> bool {
    let mut before: Option<&Target> = None;
    candidate.targets.targets.iter().zip(&candidate.outs).all(|(target, out)| {
        let again = before.is_some_and(|it| it.proxy == target.proxy);
        before = Some(target);
        let Some(host) = &out.host else { return false };
        let name = placement_name(&host.name, target, again);
        let held = proxies.get_mut(&target.proxy).and_then(|proxy| {
            let at = proxy.hosts.binary_search_by(|placement| placement.name.cmp(&name)).ok()?;
            proxy.hosts.get_mut(at)
        });
        let put = |placement: &mut Placement| {
            placement.host = Arc::clone(host);
            placement.client_chain = client_chain(out);
        };
        held.map(put).is_some()
    })
}

/// The chain that asks for client certificates, if they are asked for.
fn client_chain(out: &ServiceOut) -> Option<Arc<str>> {
    let (tls, _) = out.chain()?;
    tls.require_client_certificate.then(|| chain_name(tls))
}

fn chain_name(tls: &DownstreamTls) -> Arc<str> {
    format!("tls-{}", group_name(tls)).into()
}

/// Two gateways of one proxy that need different forms of a host: the second form has a name of its own.
fn placement_name(host: &Arc<str>, target: &Target, again: bool) -> Arc<str> {
    match again {
        false => Arc::clone(host),
        true => format!("{host}~{}", target.suffix).into(),
    }
}

fn plain(gateway: &Gateway) -> FilterChain {
    FilterChain {
        name: gateway.named("plain"),
        server_names: Vec::new(),
        source_prefixes: gateway.sources().to_vec(),
        tls: None,
        serve: Serve::Http(route_config(gateway, None)),
        http: gateway.settings.http.clone(),
        policies: gateway.policies.clone(),
        part: None,
        admission: gateway.settings.admission.clone(),
    }
}

fn route_config(gateway: &Gateway, group: Option<&DownstreamTls>) -> Arc<str> {
    let part = gateway.part.as_ref().map(|part| format!("-{}", part.label)).unwrap_or_default();
    let routes = format!("{}{part}-routes", gateway.listener);
    match group.filter(|_| gateway.isolate) {
        None => routes.into(),
        Some(tls) => format!("{routes}-{}", group_name(tls)).into(),
    }
}

/// A name that depends on nothing but the configuration.
fn group_name(tls: &DownstreamTls) -> String {
    let mut name = Digest::of(format!("{tls:?}").as_bytes()).to_string();
    name.truncate(12);
    name
}

/// The TLS configurations of each gateway with their merged server names.
struct Chains {
    groups: HashMap<usize, BTreeMap<Arc<DownstreamTls>, Names>>,
}

#[derive(Default)]
struct Names {
    /// A member is for every server name, and so the chain is.
    all: bool,
    names: BTreeSet<Arc<str>>,
}

impl Chains {
    fn of(gateways: &[Gateway], candidates: &[Candidate<'_>]) -> Self {
        let mut groups: HashMap<usize, BTreeMap<Arc<DownstreamTls>, Names>> = HashMap::new();
        for candidate in candidates {
            for (at, out) in candidate.served() {
                let Some((tls, server_names)) = out.chain() else { continue };
                if !gateways.get(at).is_some_and(|gateway| gateway.ssl) {
                    continue;
                }
                let group = groups.entry(at).or_default();
                if !group.contains_key(tls) {
                    group.insert(Arc::clone(tls), Names::default());
                }
                if let Some(names) = group.get_mut(tls) {
                    names.all |= server_names.is_empty();
                    names.names.extend(server_names.iter().cloned());
                }
            }
        }
        Self { groups }
    }

    fn tls(&self, at: usize, gateway: &Gateway) -> Vec<FilterChain> {
        let groups = self.groups.get(&at).into_iter().flatten();
        let mut chains: Vec<FilterChain> = groups
            .map(|(tls, names)| FilterChain {
                name: gateway.named(&chain_name(tls)),
                server_names: if names.all { Vec::new() } else { names.names.iter().cloned().collect() },
                source_prefixes: gateway.sources().to_vec(),
                tls: Some(DownstreamTls::clone(tls)),
                serve: Serve::Http(route_config(gateway, Some(tls))),
                http: gateway.settings.http.clone(),
                policies: gateway.policies.clone(),
                part: None,
                admission: gateway.settings.admission.clone(),
            })
            .collect();
        chains.sort_by(|a, b| a.name.cmp(&b.name));
        chains
    }
}

/// A target, whether there is TLS, and of isolated ones which.
type ConfigKey = (*const Target, bool, Option<Arc<DownstreamTls>>);

/// Names of route configurations by target; without isolation all hosts of a target share one list.
struct RouteConfigs<'a> {
    gateways: &'a [Gateway],
    made: HashMap<ConfigKey, Arc<[Arc<str>]>>,
}

impl RouteConfigs<'_> {
    fn of(&mut self, target: &Target, out: &ServiceOut) -> Arc<[Arc<str>]> {
        let gateways = || target.gateways.iter().filter_map(|at| self.gateways.get(*at));
        let tls = out.chain().map(|(tls, _)| Arc::clone(tls));
        let isolated = gateways().any(|gateway| gateway.ssl && gateway.isolate);
        let has_tls = tls.is_some();
        let key = (std::ptr::from_ref(target), has_tls, tls.filter(|_| isolated));
        if let Some(known) = self.made.get(&key) {
            return Arc::clone(known);
        }
        let names: BTreeSet<Arc<str>> = gateways()
            .filter_map(|gateway| match gateway.ssl {
                false => Some(route_config(gateway, None)),
                // Without key material there is no chain, and it is not served on those of others.
                true => has_tls.then(|| route_config(gateway, key.2.as_deref())),
            })
            .collect();
        let names: Arc<[Arc<str>]> = names.into_iter().collect();
        self.made.insert(key, Arc::clone(&names));
        names
    }
}
