//! Settled VirtualServices put behind the listeners of their gateways.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use portcullis_shared::version::Digest;

use super::gateway::Gateway;
use super::place::{Candidate, Target};
use super::route::origin;
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
    for (at, gateway) in gateways.iter().enumerate() {
        let chains = if !gateway.tcp.chains.is_empty() {
            gateway.tcp.chains.clone()
        } else if gateway.ssl {
            chains.tls(at, gateway)
        } else if selected.contains(&at) {
            vec![plain(gateway)]
        } else {
            Vec::new()
        };
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
        let route_configs = configs.of(target, candidate);
        if route_configs.is_empty() {
            continue;
        }
        let name = placement_name(&host.name, target, again);
        let require_tls = target.gateways.first().and_then(|at| gateways.get(*at)).is_some_and(|it| it.ssl);
        let client_chain = client_chain(candidate);
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
            placement.client_chain = client_chain(candidate);
        };
        held.map(put).is_some()
    })
}

/// The chain of a candidate that asks for client certificates.
fn client_chain(candidate: &Candidate<'_>) -> Option<Arc<str>> {
    let tls = candidate.any()?.tls.as_ref()?.tls.as_ref()?;
    tls.require_client_certificate.then(|| chain_name(tls))
}

fn chain_name(tls: &DownstreamTls) -> Arc<str> {
    format!("tls-{}", group_name(tls)).into()
}

/// Two gateways of one proxy that need different forms of a host: the second form has a name of its own.
fn placement_name(host: &Arc<str>, target: &Target, again: bool) -> Arc<str> {
    match again {
        false => Arc::clone(host),
        true => format!("{host}~{}", target.variant.gateway).into(),
    }
}

fn plain(gateway: &Gateway) -> FilterChain {
    FilterChain {
        name: "plain".into(),
        server_names: Vec::new(),
        source_prefixes: Vec::new(),
        tls: None,
        serve: Serve::Http(route_config(gateway, None)),
        http: gateway.settings.http.clone(),
        policies: gateway.policies.clone(),
        admission: gateway.settings.admission.clone(),
    }
}

fn route_config(gateway: &Gateway, group: Option<&DownstreamTls>) -> Arc<str> {
    match group.filter(|_| gateway.isolate) {
        None => format!("{}-routes", gateway.listener).into(),
        Some(tls) => format!("{}-routes-{}", gateway.listener, group_name(tls)).into(),
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
            let Some(service) = candidate.any().and_then(|out| out.tls.as_ref()) else { continue };
            let Some(tls) = &service.tls else { continue };
            for at in &candidate.targets.gateways {
                if !gateways.get(*at).is_some_and(|gateway| gateway.ssl) {
                    continue;
                }
                let group = groups.entry(*at).or_default();
                if !group.contains_key(tls) {
                    group.insert(Arc::clone(tls), Names::default());
                }
                if let Some(names) = group.get_mut(tls) {
                    names.all |= service.server_names.is_empty();
                    names.names.extend(service.server_names.iter().cloned());
                }
            }
        }
        Self { groups }
    }

    fn tls(&self, at: usize, gateway: &Gateway) -> Vec<FilterChain> {
        let groups = self.groups.get(&at).into_iter().flatten();
        let mut chains: Vec<FilterChain> = groups
            .map(|(tls, names)| FilterChain {
                name: chain_name(tls),
                server_names: if names.all { Vec::new() } else { names.names.iter().cloned().collect() },
                source_prefixes: Vec::new(),
                tls: Some(DownstreamTls::clone(tls)),
                serve: Serve::Http(route_config(gateway, Some(tls))),
                http: gateway.settings.http.clone(),
                policies: gateway.policies.clone(),
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
    fn of(&mut self, target: &Target, candidate: &Candidate<'_>) -> Arc<[Arc<str>]> {
        let gateways = || target.gateways.iter().filter_map(|at| self.gateways.get(*at));
        let tls = candidate.any().and_then(|out| out.tls.as_ref()?.tls.clone());
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
