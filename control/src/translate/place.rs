//! Which VirtualServices are served where, in which form, and who keeps a domain that two of them claim.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use smallvec::SmallVec;

use super::Snapshot;
use super::gateway::Gateway;
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
    /// Domains and TLS are the same for every target.
    pub fn any(&self) -> Option<&ServiceOut> {
        self.outs.first().map(|out| &**out)
    }

    fn gateways(&self) -> impl Iterator<Item = usize> {
        self.targets.gateways.iter().copied()
    }

    fn domains(&self) -> &[Arc<str>] {
        self.any().and_then(|out| out.host.as_ref()).map_or(&[], |host| &host.domains)
    }

    fn tls(&self) -> Option<(&Arc<DownstreamTls>, &[Arc<str>])> {
        let tls = self.any()?.tls.as_ref()?;
        Some((tls.tls.as_ref()?, &tls.server_names))
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
        type Kind = (Arc<str>, u32, bool, Arc<Servers>);
        let mut kinds: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
        for at in &serving {
            let Some(gateway) = gateways.get(*at) else { continue };
            for proxy in &gateway.proxies {
                let kind = (
                    Arc::clone(proxy),
                    gateway.max_direct_response_bytes,
                    gateway.most_specific_headers_win,
                    Arc::clone(&gateway.servers),
                );
                kinds.entry(kind).or_default().push(*at);
            }
        }
        let targets = kinds.into_iter().filter_map(|((proxy, max, wins, servers), list)| {
            let gateway = gateways.get(*list.first()?)?;
            let variant = Variant {
                gateway: Arc::clone(&gateway.id.name),
                proxy: Arc::clone(&proxy),
                max_direct_response_bytes: max,
                most_specific_headers_win: wins,
                servers,
            };
            Some(Target { proxy, variant: Arc::new(variant), gateways: list })
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
    /// A server name for one TLS configuration; `None` is the chain for all names.
    ServerName(usize, Option<Arc<str>>),
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
            let Some((tls, names)) = candidate.tls() else { continue };
            let next = u32::try_from(groups.numbers.len()).unwrap_or(u32::MAX);
            let number = *groups.numbers.entry(Arc::clone(tls)).or_insert(next);
            if names.is_empty() {
                groups.catch_all.extend(candidate.gateways().map(|gateway| (gateway, number)));
            }
        }
        groups
    }

    /// The claims of a candidate, each with the number of its TLS configuration: equal server names may be shared
    /// within one configuration, domains never.
    fn claims(&self, candidate: &Candidate<'_>, gateways: &[Gateway]) -> Vec<(Claim, Option<u32>)> {
        let tls = candidate.tls();
        let number = tls.and_then(|(tls, _)| self.numbers.get(tls).copied());
        let mut claims = Vec::new();
        for at in candidate.gateways() {
            let Some(gateway) = gateways.get(at) else { continue };
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
                if names.is_empty() || self.catch_all.contains(&(at, number)) {
                    claims.push((Claim::ServerName(at, None), Some(number)));
                } else {
                    claims.extend(
                        names.iter().map(|it| (Claim::ServerName(at, Some(Arc::clone(it))), Some(number))),
                    );
                }
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
    // Rare, and so it may be slow: by precedence, each takes what it claims or falls back.
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_cached_key(|at| candidates.get(*at).map(|it| precedence(it, snapshot)));
    let mut held: HashMap<Claim, (Option<u32>, ObjectRef)> = HashMap::new();
    let mut settled: Vec<Candidate<'s>> = Vec::with_capacity(candidates.len());
    let mut candidates: Vec<Option<Candidate<'s>>> = candidates.into_iter().map(Some).collect();
    for at in order {
        let Some(candidate) = candidates.get_mut(at).and_then(Option::take) else { continue };
        let mut next = Some(candidate);
        while let Some(candidate) = next {
            let claims = groups.claims(&candidate, gateways);
            let lost: Vec<(Claim, ObjectRef)> = claims
                .iter()
                .filter_map(|(claim, number)| {
                    let (of, holder) = held.get(claim)?;
                    (number.is_none() || number != of).then(|| (claim.clone(), holder.clone()))
                })
                .collect();
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

fn contested(candidates: &[Candidate<'_>], groups: &Groups, gateways: &[Gateway]) -> bool {
    let mut held: HashMap<Claim, Option<u32>> = HashMap::with_capacity(candidates.len());
    candidates
        .iter()
        .flat_map(|it| groups.claims(it, gateways))
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
            Claim::ServerName(_, name) => {
                let name = name.as_deref().unwrap_or("every server name");
                names.entry(holder).or_default().insert(name.to_owned())
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
        notes.warning(holder, "spec.sslConfig.sniDomains", text);
    }
}
