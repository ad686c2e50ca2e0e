//! Which VirtualServices are served where, in which form, and who keeps a domain that two of them claim.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ipnet::IpNet;
use smallvec::SmallVec;

use super::Snapshot;
use super::gateway::Gateway;
use super::inherit::SslDefaults;
use super::notes::Notes;
use super::service::{Form, ServiceOut, Variant};
use crate::ir::DownstreamTls;
use crate::policy::Servers;
use crate::resource::{Entry, Object, ObjectRef};

/// One kind of gateway of one proxy that serves a VirtualService.
#[derive(Debug)]
pub struct Target {
    pub proxy: Arc<str>,
    pub variant: Arc<Variant>,
    /// Positions of the gateways that are of this kind.
    pub gateways: Vec<usize>,
    /// What tells a host that is made for it from one that is made for another kind.
    pub suffix: Arc<str>,
}

/// A VirtualService that some gateway serves.
#[derive(Debug, Clone)]
pub struct Candidate<'s> {
    pub id: &'s ObjectRef,
    pub entry: &'s Entry,
    pub form: Form,
    pub targets: Arc<TargetSet>,
    /// One for each target.
    pub outs: Outs,
}

/// Nearly always one.
pub type Outs = SmallVec<[Arc<ServiceOut>; 1]>;

impl Candidate<'_> {
    /// Each gateway that it is served by, once, with what is made for that.
    pub fn served(&self) -> impl Iterator<Item = (usize, &ServiceOut)> {
        let mut seen: SmallVec<[usize; 4]> = SmallVec::new();
        let all = self.targets.targets.iter().zip(&self.outs);
        let all = all.flat_map(|(target, out)| target.gateways.iter().map(move |at| (*at, &**out)));
        all.filter(move |(at, _)| {
            let new = !seen.contains(at);
            seen.push(*at);
            new
        })
    }

    /// The same for every target.
    fn domains(&self) -> &[Arc<str>] {
        self.outs.first().and_then(|out| out.host.as_ref()).map_or(&[], |host| &host.domains)
    }
}

/// All targets of a VirtualService.
#[derive(Debug)]
pub struct TargetSet {
    /// In order of proxy.
    pub targets: Vec<Target>,
    /// Positions of all gateways.
    pub gateways: Vec<usize>,
}

/// The targets of a set of gateways; VirtualServices of the same set share them.
#[derive(Debug, Default)]
pub struct Targets {
    made: HashMap<SmallVec<[usize; 4]>, Arc<TargetSet>>,
    last: Option<Arc<TargetSet>>,
}

impl Targets {
    /// Where a form of a VirtualService is served; `None` = nowhere.
    pub fn of(&mut self, gateways: &[Gateway], service: &Object) -> Option<Arc<TargetSet>> {
        let serving: SmallVec<[usize; 4]> =
            gateways.iter().enumerate().filter(|(_, it)| it.serves(service)).map(|(at, _)| at).collect();
        if serving.is_empty() {
            return None;
        }
        // Neighbours are served alike as a rule.
        if let Some(last) = self.last.as_ref().filter(|last| *last.gateways == *serving) {
            return Some(Arc::clone(last));
        }
        if let Some(known) = self.made.get(&serving) {
            self.last = Some(Arc::clone(known));
            return self.last.clone();
        }
        type Kind = (Arc<str>, u32, bool, Arc<Servers>, Option<SslDefaults>);
        let mut kinds: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
        for at in &serving {
            let Some(gateway) = gateways.get(*at) else { continue };
            for proxy in &gateway.proxies {
                let kind = (
                    Arc::clone(proxy),
                    gateway.max_direct_response_bytes,
                    gateway.most_specific_headers_win,
                    Arc::clone(&gateway.servers),
                    gateway.part.as_ref().and_then(|part| part.ssl.clone()),
                );
                kinds.entry(kind).or_default().push(*at);
            }
        }
        let targets = kinds.into_iter().filter_map(|((proxy, max, wins, servers, ssl), list)| {
            let gateway = gateways.get(*list.first()?)?;
            let variant = Variant {
                gateway: Arc::clone(&gateway.id.name),
                proxy: Arc::clone(&proxy),
                max_direct_response_bytes: max,
                most_specific_headers_win: wins,
                servers,
                ssl,
            };
            let suffix = match &gateway.part {
                Some(part) => format!("{}~{}", gateway.id.name, part.label).into(),
                None => Arc::clone(&gateway.id.name),
            };
            Some(Target { proxy, variant: Arc::new(variant), gateways: list, suffix })
        });
        let set = Arc::new(TargetSet { targets: targets.collect(), gateways: serving.to_vec() });
        self.made.insert(serving, Arc::clone(&set));
        Some(set)
    }
}

/// What a candidate claims for itself alone, on one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Claim {
    /// A domain; with isolation, of one TLS configuration.
    Domain(usize, Option<u32>, Arc<str>),
    /// A server name of clients from one network for one filter chain of a listener, which is named by its first
    /// gateway. `None` is the chain for all names, or for all clients.
    ServerName(usize, Option<Arc<str>>, Option<IpNet>),
}

/// A filter chain: the gateway that it is of, and the number of its TLS configuration.
type Chain = (usize, u32);

/// The claim to a server name (`None` = all) on each network of a gateway.
fn server_name(listener: usize, name: Option<&Arc<str>>, sources: &[IpNet]) -> Vec<Claim> {
    let one = |source| Claim::ServerName(listener, name.cloned(), source);
    match sources {
        [] => vec![one(None)],
        sources => sources.iter().map(|source| one(Some(*source))).collect(),
    }
}

/// The first gateway of the listener that each gateway is part of.
fn listeners(gateways: &[Gateway]) -> Vec<usize> {
    let mut first = 0;
    let mut before: Option<&ObjectRef> = None;
    let of = gateways.iter().enumerate().map(|(at, gateway)| {
        if before.replace(&gateway.id) != Some(&gateway.id) {
            first = at;
        }
        first
    });
    of.collect()
}

/// What parts of gateways claim without VirtualServices.
fn fixed(gateways: &[Gateway], listeners: &[usize]) -> Vec<(Claim, ObjectRef)> {
    let parts = gateways
        .iter()
        .zip(listeners)
        .filter_map(|(gateway, at)| Some((gateway, *at, gateway.part.as_ref()?)));
    let mut claims = Vec::new();
    for (gateway, listener, part) in parts {
        for (names, sources) in gateway.fixed() {
            let of_all = names.is_empty().then(|| server_name(listener, None, sources));
            let of_names = names.iter().map(|name| server_name(listener, Some(name), sources));
            claims.extend(of_names.chain(of_all).flatten().map(|claim| (claim, part.owner.clone())));
        }
    }
    claims
}

/// TLS configurations by number, and which of them serve every server name on a gateway.
#[derive(Debug, Default)]
struct Groups {
    numbers: HashMap<Arc<DownstreamTls>, u32>,
    catch_all: BTreeSet<(usize, u32)>,
}

impl Groups {
    fn of(candidates: &[Candidate<'_>]) -> Self {
        let mut groups = Self::default();
        for candidate in candidates {
            for (gateway, out) in candidate.served() {
                let Some((tls, names)) = out.chain() else { continue };
                let next = u32::try_from(groups.numbers.len()).unwrap_or(u32::MAX);
                let number = *groups.numbers.entry(Arc::clone(tls)).or_insert(next);
                if names.is_empty() {
                    groups.catch_all.insert((gateway, number));
                }
            }
        }
        groups
    }

    /// The claims of a candidate, each with its filter chain: equal server names may be shared within one, domains never.
    fn claims(
        &self,
        candidate: &Candidate<'_>,
        gateways: &[Gateway],
        listeners: &[usize],
    ) -> Vec<(Claim, Option<Chain>)> {
        let mut claims = Vec::new();
        for (at, out) in candidate.served() {
            let (Some(gateway), Some(listener)) = (gateways.get(at), listeners.get(at)) else { continue };
            let tls = out.chain();
            let number = tls.and_then(|(tls, _)| self.numbers.get(tls).copied());
            if gateway.ssl && tls.is_none() {
                // Without key material it is not served, and claims nothing.
                continue;
            }
            let isolated = gateway.ssl && gateway.isolate;
            let scope = if isolated { number } else { None };
            claims.extend(
                candidate.domains().iter().map(|it| (Claim::Domain(at, scope, Arc::clone(it)), None)),
            );
            if let (true, Some((_, names)), Some(number)) = (gateway.ssl, tls, number) {
                let all = (names.is_empty() || self.catch_all.contains(&(at, number))).then_some(None);
                let names = names.iter().map(Some).filter(|_| all.is_none());
                claims.extend(
                    all.into_iter()
                        .chain(names)
                        .flat_map(|name| server_name(*listener, name, gateway.sources()))
                        .map(|claim| (claim, Some((at, number)))),
                );
            }
        }
        claims
    }
}

/// Whether a new result claims something else than the last one.
pub fn claims_differ(was: &ServiceOut, is: &ServiceOut) -> bool {
    let domains = |out: &ServiceOut| out.host.as_ref().map(|host| host.domains.clone());
    was.failed != is.failed || was.tls != is.tls || domains(was) != domains(is)
}

/// Whether no two candidates claim the same.
pub fn uncontested(candidates: &[Candidate<'_>], gateways: &[Gateway]) -> bool {
    !contested(candidates, &Groups::of(candidates), gateways)
}

/// Leaves no claim with two holders. `fall_back` gives the last accepted form of a candidate, if that can be served.
pub fn settle<'s>(
    candidates: Vec<Candidate<'s>>,
    gateways: &[Gateway],
    snapshot: &Snapshot,
    notes: &mut Notes,
    mut fall_back: impl FnMut(&Candidate<'s>) -> Option<Candidate<'s>>,
) -> Vec<Candidate<'s>> {
    let groups = Groups::of(&candidates);
    let listeners = listeners(gateways);
    // Rare, and so it may be slow: by precedence, each takes what it claims or falls back.
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_cached_key(|at| candidates.get(*at).map(|it| precedence(it, snapshot)));
    let mut held: HashMap<Claim, (Option<Chain>, ObjectRef)> =
        fixed(gateways, &listeners).into_iter().map(|(claim, owner)| (claim, (None, owner))).collect();
    let mut settled: Vec<Candidate<'s>> = Vec::with_capacity(candidates.len());
    let mut candidates: Vec<Option<Candidate<'s>>> = candidates.into_iter().map(Some).collect();
    for at in order {
        let Some(candidate) = candidates.get_mut(at).and_then(Option::take) else { continue };
        let mut next = Some(candidate);
        while let Some(candidate) = next {
            let claims = groups.claims(&candidate, gateways, &listeners);
            let mut lost: Vec<(Claim, ObjectRef)> = claims
                .iter()
                .filter_map(|(claim, number)| {
                    let (of, holder) = held.get(claim)?;
                    (number.is_none() || number != of).then(|| (claim.clone(), holder.clone()))
                })
                .collect();
            lost.extend(twice(&claims, gateways));
            if lost.is_empty() {
                for (claim, number) in claims {
                    held.insert(claim, (number, candidate.id.clone()));
                }
                settled.push(candidate);
                break;
            }
            if candidate.form == Form::Present {
                tell(candidate.id, &lost, notes);
                next = fall_back(&candidate);
            } else {
                next = None;
            }
        }
    }
    settled.sort_by(|a, b| a.id.cmp(b.id));
    settled
}

/// What a candidate claims for two filter chains of one listener: parts that take the same connections serve it both.
fn twice(claims: &[(Claim, Option<Chain>)], gateways: &[Gateway]) -> Vec<(Claim, ObjectRef)> {
    let mut seen: HashMap<&Claim, Option<Chain>> = HashMap::with_capacity(claims.len());
    let again = claims.iter().filter(|(claim, chain)| {
        let before = seen.insert(claim, *chain);
        before.is_some_and(|before| chain.is_none() || *chain != before)
    });
    let held = again.filter_map(|(claim, chain)| {
        let gateway = gateways.get(chain.map(|(at, _)| at)?)?;
        let owner = gateway.part.as_ref().map_or(&gateway.id, |part| &part.owner);
        Some((claim.clone(), owner.clone()))
    });
    held.collect()
}

fn contested(candidates: &[Candidate<'_>], groups: &Groups, gateways: &[Gateway]) -> bool {
    let listeners = listeners(gateways);
    let mut held: HashMap<Claim, Option<Chain>> = HashMap::with_capacity(candidates.len());
    held.extend(fixed(gateways, &listeners).into_iter().map(|(claim, _)| (claim, None)));
    candidates
        .iter()
        .flat_map(|it| groups.claims(it, gateways, &listeners))
        .any(|(claim, number)| held.insert(claim, number).is_some_and(|of| number.is_none() || number != of))
}

/// Who comes first: those that claim nothing beyond their accepted form, those that claim more, those that were never
/// accepted; among them the one that was accepted first, or stands first in the files.
fn precedence(candidate: &Candidate<'_>, snapshot: &Snapshot) -> impl Ord + use<> {
    let accepted = snapshot.accepted.get(candidate.id);
    let tier = match accepted {
        None => 2,
        Some(accepted) if candidate.form == Form::Accepted || claims_no_more(candidate, &accepted.object) => {
            0
        }
        Some(_) => 1,
    };
    let order = accepted.map_or(u64::MAX, |it| it.order);
    (tier, order, candidate.entry.location.clone(), candidate.id.clone())
}

fn claims_no_more(candidate: &Candidate<'_>, accepted: &Object) -> bool {
    let crate::resource::Spec::VirtualService(service) = &accepted.spec else {
        return false;
    };
    let listed = service.virtual_host.as_ref().map(|host| host.domains.as_slice()).unwrap_or_default();
    let all = listed.is_empty() || listed == [""];
    candidate
        .domains()
        .iter()
        .all(|domain| (all && **domain == *"*") || listed.iter().any(|was| was.eq_ignore_ascii_case(domain)))
}

/// Both are told: the one that loses with an error, the one that keeps with a warning.
fn tell(loser: &ObjectRef, lost: &[(Claim, ObjectRef)], notes: &mut Notes) {
    let name = |id: &ObjectRef| format!("{}.{}", id.namespace, id.name);
    let mut domains: BTreeMap<&ObjectRef, BTreeSet<String>> = BTreeMap::new();
    let mut names: BTreeMap<&ObjectRef, BTreeSet<String>> = BTreeMap::new();
    for (claim, holder) in lost {
        match claim {
            Claim::Domain(_, _, domain) => domains.entry(holder).or_default().insert(domain.to_string()),
            Claim::ServerName(_, name, source) => {
                let name = name.as_deref().unwrap_or("every server name");
                let from = source.map(|source| format!(" from {source}")).unwrap_or_default();
                names.entry(holder).or_default().insert(format!("{name}{from}"))
            }
        };
    }
    for (holder, list) in domains {
        let list = list.into_iter().collect::<Vec<_>>().join(", ");
        let text = format!(
            "domain conflict: the [{list}] domain is present in another virtual service that belongs to the same \
             gateway as this one and keeps it: [{}]",
            name(holder)
        );
        notes.complaint(loser, "spec.virtualHost.domains", text);
        let text = format!(
            "domain conflict: the [{list}] domain is also claimed by [{}], which is rejected: this virtual service \
             keeps it",
            name(loser)
        );
        notes.warning(holder, "spec.virtualHost.domains", text);
    }
    for (holder, list) in names {
        let list = list.into_iter().collect::<Vec<_>>().join(", ");
        let text = format!(
            "multiple filter chains with the same FilterChainMatch: {list} is already served with another sslConfig \
             by [{}]",
            name(holder)
        );
        notes.complaint(loser, "spec.sslConfig.sniDomains", text);
        let text = format!(
            "multiple filter chains with the same FilterChainMatch: {list} is also claimed by [{}] with another \
             sslConfig, which is rejected: this virtual service keeps it",
            name(loser)
        );
        let path = if holder.kind == loser.kind { "spec.sslConfig.sniDomains" } else { "spec" };
        notes.warning(holder, path, text);
    }
}
