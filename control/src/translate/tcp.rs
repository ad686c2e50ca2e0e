//! `tcpGateway`: the filter chains of its hosts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::routing::{ChainIndex, ChainMatch};
use portcullis_shared::table::ServerName;

use super::cx::{Cx, UpstreamFact};
use super::globals::Globals;
use super::notes::Notes;
use super::route::{object_ref, wire_name};
use super::ssl::{lower_ssl, server_names};
use super::tls;
use crate::ir::{Destination, FilterChain, Serve, TcpProxy, TcpTarget};
use crate::policy::listener::{Settings, lower_tcp};
use crate::resource::{
    self, DestinationKind, Kind, ObjectRef, Ref, Spec, SslConfig, TcpGateway, TcpHost, TcpProxySettings,
    WeightedDestination,
};

/// What Envoy closes a silent connection after.
const IDLE: Duration = Duration::from_secs(3600);

/// The chains of a `tcpGateway`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TcpChains {
    pub chains: Vec<FilterChain>,
}

impl TcpChains {
    /// With what the listener has for all connections that are passed on.
    pub fn with(&mut self, settings: &Settings) {
        for chain in &mut self.chains {
            if let Serve::Tcp(proxy) = &mut chain.serve {
                // One encoded message behind another is both of them in one.
                proxy.options = [&proxy.options[..], &settings.tcp[..]].concat().into();
            }
        }
    }
}

/// Where a `tcpGateway` stands.
pub struct Place<'a> {
    pub owner: &'a ObjectRef,
    /// Of the `tcpGateway`.
    pub path: String,
}

/// Translates the hosts.
pub fn chains(
    cx: &mut Cx<'_>,
    globals: &Globals,
    place: &Place<'_>,
    gateway: &TcpGateway,
    notes: &mut Notes,
) -> TcpChains {
    let Place { owner, path } = place;
    let settings = gateway.options.as_ref().and_then(|options| options.tcp_proxy_settings.as_ref());
    let settings = settings.cloned().unwrap_or_default();
    let shared = lower_tcp(gateway.options.as_ref(), owner, &format!("{path}.options"), notes);
    let (attempts, idle) = limits(owner, &format!("{path}.options.tcpProxySettings"), &settings, notes);
    if gateway.tcp_hosts.is_empty() {
        notes.warning(owner, format!("{path}.tcpHosts"), "without a TCP host nothing is listened for");
    }
    let mut out = TcpChains::default();
    let mut names = BTreeSet::new();
    let mut taken: ChainIndex<String> = ChainIndex::default();
    for (at, host) in gateway.tcp_hosts.iter().enumerate() {
        let path = format!("{path}.tcpHosts[{at}]");
        if !host.name.is_empty() && !names.insert(host.name.as_str()) {
            let text = format!("another TCP host of this gateway is named [{}]", host.name);
            notes.error(owner, format!("{path}.name"), text);
        }
        let mut one = Host { cx: &mut *cx, globals, owner, path, notes: &mut *notes };
        let target = one.target(host);
        let matching = one.matching(host.ssl_config.as_ref());
        let (Some(target), Some((server_names, tls))) = (target, matching) else { continue };
        if let Err(other) = taken.insert(
            ChainMatch { server_names: &parsed(&server_names), source_prefixes: &[] },
            one.path.clone(),
        ) {
            let name = other.name.and_then(|at| server_names.get(at));
            let which = name.map_or_else(|| "every server name".to_owned(), |name| format!("[{name}]"));
            let field = if name.is_some() { ".sslConfig.sniDomains" } else { "" };
            let text = format!(
                "multiple filter chains with the same FilterChainMatch: {which} is already served by {}",
                other.by
            );
            let path = format!("{}{field}", one.path);
            notes.error(owner, path, text);
            continue;
        }
        let label = if host.name.is_empty() { at.to_string() } else { host.name.clone() };
        out.chains.push(FilterChain {
            name: format!("tcp-{label}").into(),
            server_names,
            source_prefixes: Vec::new(),
            tls,
            serve: Serve::Tcp(TcpProxy {
                name: host.name.as_str().into(),
                target,
                max_connect_attempts: attempts,
                idle_timeout: idle,
                options: shared.options.clone(),
            }),
            http: Default::default(),
            policies: Vec::new(),
            part: None,
            admission: shared.admission.clone(),
        });
    }
    out
}

fn parsed(server_names: &[Arc<str>]) -> Vec<ServerName> {
    server_names.iter().filter_map(|name| ServerName::parse(name).ok()).collect()
}

fn limits(
    owner: &ObjectRef,
    path: &str,
    settings: &TcpProxySettings,
    notes: &mut Notes,
) -> (u32, Option<Duration>) {
    let attempts = settings.max_connect_attempts.unwrap_or(1);
    if attempts == 0 {
        notes.error(owner, format!("{path}.maxConnectAttempts"), "0 is below 1: there is always a first try");
    }
    let idle = settings.idle_timeout.map_or(Some(IDLE), |timeout| {
        if timeout.to_std().is_none() {
            notes.error(owner, format!("{path}.idleTimeout"), format!("{timeout} is negative"));
        }
        timeout.to_millis().filter(|ms| *ms > 0).map(Duration::from_millis)
    });
    (attempts, idle)
}

/// One host in the making.
struct Host<'a, 's> {
    cx: &'a mut Cx<'s>,
    globals: &'a Globals,
    owner: &'a ObjectRef,
    path: String,
    notes: &'a mut Notes,
}

type Matching = (Vec<Arc<str>>, Option<crate::ir::DownstreamTls>);

impl Host<'_, '_> {
    fn error(&mut self, field: &str, message: impl Into<String>) {
        self.notes.error(self.owner, format!("{}.{field}", self.path), message);
    }

    /// Server names and termination; `None` = no chain is made.
    fn matching(&mut self, config: Option<&SslConfig>) -> Option<Matching> {
        let Some(config) = config else { return Some((Vec::new(), None)) };
        let path = format!("{}.sslConfig", self.path);
        if tls::source(config.secret_ref.as_ref(), config.ssl_files.as_ref(), config.sds.as_ref()).is_some() {
            let lowered = lower_ssl(config, self.owner, &path, self.globals, self.cx, self.notes);
            let tls = lowered.tls?;
            return Some((lowered.server_names, Some((*tls).clone())));
        }
        if config.sni_domains.is_empty() {
            let text = "secretRef or sslFiles is needed to end TLS here, or sniDomains to pass it on";
            self.error("sslConfig", text);
            return None;
        }
        let names_alone = SslConfig { sni_domains: config.sni_domains.clone(), ..SslConfig::default() };
        if *config != names_alone {
            let text =
                "without secretRef or sslFiles TLS is passed on: of sslConfig only sniDomains has an effect";
            self.notes.warning(self.owner, &path, text);
        }
        Some((server_names(config, self.owner, &path, self.notes), None))
    }

    fn target(&mut self, host: &TcpHost) -> Option<TcpTarget> {
        let Some(target) = host.destination.as_ref().and_then(resource::TcpAction::target) else {
            let text =
                "no destination type was specified: single, multi, upstreamGroup or forwardSniClusterName";
            self.error("destination", text);
            return None;
        };
        match target {
            resource::TcpTarget::ForwardSniClusterName => Some(TcpTarget::Sni),
            resource::TcpTarget::Single(destination) => {
                let one = self.destination("destination.single", destination, 1)?;
                Some(TcpTarget::Destinations(vec![one]))
            }
            resource::TcpTarget::Multi(multi) => {
                self.weighted("destination.multi.destinations", &multi.destinations)
            }
            resource::TcpTarget::UpstreamGroup(reference) => self.group(reference),
        }
    }

    fn weighted(&mut self, field: &str, list: &[WeightedDestination]) -> Option<TcpTarget> {
        let mut members = Vec::with_capacity(list.len());
        for (at, weighted) in list.iter().enumerate() {
            let field = format!("{field}[{at}]");
            if weighted.options.is_some() {
                let path = format!("{}.{field}.options", self.path);
                self.notes.warning(
                    self.owner,
                    path,
                    "options are for requests: they have no effect on connections",
                );
            }
            match &weighted.destination {
                Some(destination) => members.extend(self.destination(
                    &format!("{field}.destination"),
                    destination,
                    weighted.weight.unwrap_or(0),
                )),
                None => self.error(&field, "a destination is needed"),
            }
        }
        let total: u64 = members.iter().map(|it| u64::from(it.weight)).sum();
        let problem = match (list.is_empty(), total) {
            (true, _) => "must specify at least one weighted destination".to_owned(),
            (_, 0) => "the total weight of the destinations must be above 0".to_owned(),
            (_, total) if total > u64::from(u32::MAX) => format!("the total weight {total} is too large"),
            _ => return (members.len() == list.len()).then_some(TcpTarget::Destinations(members)),
        };
        self.error(field, problem);
        None
    }

    /// A destination; one that leads nowhere closes its connections.
    fn destination(
        &mut self,
        field: &str,
        destination: &resource::Destination,
        weight: u32,
    ) -> Option<Destination> {
        let Some(DestinationKind::Upstream(reference)) = destination.kind() else {
            self.error(field, "the destination must specify an upstream");
            return None;
        };
        if destination.subset.is_some() {
            self.error(&format!("{field}.subset"), "subset is not supported yet for connections");
        }
        let id = object_ref(Kind::Upstream, reference);
        let fact = self.cx.upstream(&id);
        if !matches!(fact, Some(UpstreamFact::Served { .. })) {
            self.leads_nowhere(&format!("{field}.upstream"), "v1.Upstream", reference, fact.is_some());
        }
        Some(Destination {
            upstream: wire_name(&id),
            weight,
            policies: Vec::new(),
            subset: Default::default(),
        })
    }

    fn group(&mut self, reference: &Ref) -> Option<TcpTarget> {
        let id = object_ref(Kind::UpstreamGroup, reference);
        let field = "destination.upstreamGroup";
        let name = wire_name(&id);
        let fact = self.cx.group(&id);
        let Some(fact) = fact.filter(|fact| fact.served) else {
            self.leads_nowhere(field, "v1.UpstreamGroup", reference, fact.is_some());
            return Some(TcpTarget::Split(name));
        };
        for member in &fact.missing {
            let reference = Ref { name: member.name.to_string(), namespace: member.namespace.to_string() };
            self.leads_nowhere(field, "v1.Upstream", &reference, false);
        }
        if !fact.inline {
            return Some(TcpTarget::Split(name));
        }
        // Its members have options, so that it is not shared; connections have no use for those.
        let Some(Spec::UpstreamGroup(group)) = self.cx.group_object(&id, fact.accepted).map(|it| &it.spec)
        else {
            return None;
        };
        let members = group.destinations.iter().filter_map(|weighted| {
            let Some(DestinationKind::Upstream(reference)) = weighted.destination.as_ref()?.kind() else {
                return None;
            };
            let namespace = match reference.namespace.as_str() {
                "" => Arc::clone(&id.namespace),
                namespace => namespace.into(),
            };
            let upstream = wire_name(&ObjectRef::new(Kind::Upstream, namespace, reference.name.as_str()));
            Some(Destination {
                upstream,
                weight: weighted.weight.unwrap_or(0),
                policies: Vec::new(),
                subset: Default::default(),
            })
        });
        Some(TcpTarget::Destinations(members.collect()))
    }

    fn leads_nowhere(&mut self, field: &str, what: &str, reference: &Ref, rejected: bool) {
        let state = if rejected { "is rejected" } else { "not found" };
        let hint = if reference.namespace.is_empty() { ": this reference needs a namespace" } else { "" };
        let text = format!(
            "TcpHost Warning: InvalidDestinationWarning. Reason: *{what} {{ {}.{} }} {state}{hint}",
            reference.namespace, reference.name
        );
        self.notes.warning(self.owner, format!("{}.{field}", self.path), text);
    }
}
