//! One translation from beginning to end: settings, upstreams, groups, gateways, virtual services, report.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::cx::{Cx, Facts, Key, Read, UpstreamFact};
use super::gateway::{self, Gateway};
use super::globals::{self, Globals};
use super::memo::{Changes, Said, ServiceUnit, ServiceUnits, Unit};
use super::notes::{Note, Notes};
use super::place::{self, Candidate, Outs, TargetSet, Targets};
use super::service::{self, Form, ServiceOut, Variant};
use super::{
    CertificateSource, Memo, ObjectReport, Report, Snapshot, Translated, WireUpstreams, assemble, of_kind,
    upstreams,
};
use crate::ir::{Endpoints, Ir, Subsets, Upstream};
use crate::resource::{Entry, Finding, Kind, Object, ObjectRef, Spec};

pub(super) struct Build<'s, 'm> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) memo: &'m mut Memo,
    pub(super) changes: Changes,
    notes: Notes,
    wanted: BTreeSet<CertificateSource>,
    /// Resources that stand in their last accepted form.
    substituted: BTreeSet<ObjectRef>,
    /// Nothing was made from a last accepted form, or for want of one: those may change without a trace.
    independent: bool,
}

impl<'s, 'm> Build<'s, 'm> {
    pub(super) fn new(snapshot: &'s Snapshot, memo: &'m mut Memo) -> Self {
        let changes = memo.turn(snapshot);
        let (notes, wanted, substituted) = Default::default();
        Self { snapshot, memo, changes, notes, wanted, substituted, independent: true }
    }

    pub(super) fn run(mut self) -> Translated {
        if let Some(patched) = self.patch() {
            return patched;
        }
        self.memo.last = None;
        let globals = self.globals();
        self.upstreams(&globals);
        let splits = self.groups(&globals);
        let gateways = self.gateways(&globals);
        let (candidates, selected) = self.services(&globals, &gateways);
        let proxies = assemble::proxies(&gateways, &candidates, &selected);
        for candidate in &candidates {
            if candidate.form == Form::Accepted {
                self.substituted.insert(candidate.id.clone());
            }
            for out in &candidate.outs {
                self.substituted.extend(out.substituted.iter().cloned());
            }
        }
        let wire = Arc::clone(&self.memo.wire_upstreams);
        let upstreams = with_own(&wire.served, &gateways);
        let ir = Arc::new(Ir { proxies, upstreams, splits });
        let report = self.report();
        let mut wanted = self.wanted;
        wanted.extend(wire.wanted.iter().cloned());
        let settled = self.memo.services.iter().all(|(_, known)| known.served.is_some());
        self.independent &= settled && self.memo.settled_upstreams.0;
        let translated =
            Translated { ir, report, wanted: Arc::new(wanted), dynamic: Arc::clone(&wire.dynamic) };
        self.memo.last = self.independent.then(|| translated.clone());
        translated
    }

    /// Settings act on every unit, so that a change of them ends all memory.
    fn globals(&mut self) -> Globals {
        let mut cx = Cx::new(self.snapshot, &self.memo.facts);
        let globals = globals::read(&mut cx, &self.snapshot.own_namespace, &mut self.notes);
        self.substituted.extend(cx.substituted().cloned());
        self.independent &= !cx.finish().iter().any(Read::is_of_accepted);
        globals::warn_of_others(self.snapshot, &mut self.notes);
        let own = Some(Arc::clone(&self.snapshot.own_namespace));
        if self.memo.globals != globals || self.memo.own_namespace != own {
            if self.memo.globals.circuit_breakers != globals.circuit_breakers {
                self.memo.upstreams = Default::default();
                self.memo.facts.upstreams = Default::default();
                self.memo.settled_upstreams.0 = false;
            }
            self.memo.globals = globals.clone();
            self.memo.own_namespace = own;
            self.memo.groups = Default::default();
            self.memo.services = Default::default();
        }
        globals
    }

    fn upstreams(&mut self, globals: &Globals) {
        if self.changes.beyond_services || !self.memo.settled_upstreams.0 {
            self.update_upstreams(globals);
        }
        let settled = &self.memo.settled_upstreams.1;
        self.notes.add_all(&settled.notes);
        self.substituted.extend(settled.substituted.iter().cloned());
    }

    fn update_upstreams(&mut self, globals: &Globals) {
        let Self { snapshot, memo, changes, .. } = self;
        let mut units = std::mem::take(&mut memo.upstreams);
        let mut facts = std::mem::take(&mut memo.facts);
        let mut differs = false;
        let mut fresh: Vec<(ObjectRef, UpstreamFact)> = Vec::new();
        let mut gone: Vec<ObjectRef> = Vec::new();
        units.update(
            of_kind(snapshot, Kind::Upstream).map(|(id, _)| id),
            |id, was| {
                if let Some(unit) = was
                    && unit.holds(changes, snapshot, &facts)
                {
                    return unit;
                }
                differs = true;
                let mut cx = Cx::new(snapshot, &facts);
                let out = upstreams::upstream(&mut cx, globals, id);
                let fact = match &out.lowered {
                    Some((upstream, _)) => {
                        let keys = |subsets: &Subsets| {
                            subsets.selectors.iter().map(|(keys, _)| keys.clone()).collect()
                        };
                        UpstreamFact::Served { subsets: upstream.balancing.subsets.as_ref().map(keys) }
                    }
                    None => UpstreamFact::Rejected,
                };
                fresh.push((id.clone(), fact));
                Unit::new(out, cx.finish())
            },
            |id| gone.push(id.clone()),
        );
        for id in gone {
            differs = true;
            changes.add(&Key::Upstream(id.clone()));
            facts.upstreams.remove(&id);
        }
        for (id, fact) in fresh {
            if facts.upstreams.get(&id) != Some(&fact) {
                changes.add(&Key::Upstream(id.clone()));
                facts.upstreams.insert(id, fact);
            }
        }
        let mut wire = WireUpstreams::default();
        let mut said = Said::default();
        let mut accepted = false;
        for (id, unit) in units.iter() {
            accepted |= unit.accepted;
            said.notes.extend(unit.out.notes.iter().cloned());
            if unit.out.substituted {
                said.substituted.insert(id.clone());
            }
            if differs {
                wire.wanted.extend(unit.sources().cloned());
                if let Some((upstream, dynamic)) = &unit.out.lowered {
                    if upstream.endpoints == Endpoints::Discovered {
                        Arc::make_mut(&mut wire.dynamic).push(dynamic.clone());
                    }
                    wire.all.push((Arc::clone(&upstream.name), Arc::clone(upstream)));
                }
            }
        }
        memo.upstreams = units;
        memo.facts = facts;
        // Accepted forms may change without a trace in the changes, so that those have to be looked at each time.
        memo.settled_upstreams = (!accepted, said);
        if differs {
            memo.wire_upstreams = Arc::new(wire.finish());
        }
    }

    fn groups(&mut self, globals: &Globals) -> BTreeMap<Arc<str>, Arc<crate::ir::Split>> {
        let Self { snapshot, memo, changes, .. } = self;
        let mut units = std::mem::take(&mut memo.groups);
        let mut facts: Facts = std::mem::take(&mut memo.facts);
        let mut present = BTreeMap::new();
        units.update(
            of_kind(snapshot, Kind::UpstreamGroup).map(|(id, _)| id),
            |id, was| {
                let unit = was.filter(|unit| unit.holds(changes, snapshot, &facts)).unwrap_or_else(|| {
                    let mut cx = Cx::new(snapshot, &facts);
                    let out = upstreams::group(&mut cx, globals, id);
                    Unit::new(out, cx.finish())
                });
                present.insert(id.clone(), unit.out.fact.clone());
                unit
            },
            |_| {},
        );
        for id in facts.groups.keys().chain(present.keys()) {
            if facts.groups.get(id) != present.get(id) {
                changes.add(&Key::Group(id.clone()));
            }
        }
        facts.groups = present;
        let mut splits = BTreeMap::new();
        for (id, unit) in units.iter() {
            self.notes.add_all(&unit.out.notes);
            self.independent &= !unit.accepted;
            if unit.out.substituted {
                self.substituted.insert(id.clone());
            }
            if let Some(split) = &unit.out.split {
                splits.insert(Arc::clone(&split.name), Arc::clone(split));
            }
        }
        memo.groups = units;
        memo.facts = facts;
        splits
    }

    fn gateways(&mut self, globals: &Globals) -> Vec<Gateway> {
        let mut cx = Cx::new(self.snapshot, &self.memo.facts);
        let found = gateway::read(self.snapshot, &mut cx, globals, &mut self.notes);
        let gateways = found.gateways;
        self.substituted.extend(found.substituted);
        let reads = cx.finish();
        // Also what a form asked for that could not be served: it may be, once it is there.
        self.wanted.extend(reads.iter().filter_map(Read::source).cloned());
        self.independent &= !reads.iter().any(Read::is_of_accepted);
        gateways
    }

    /// The VirtualServices that are served, and the gateways that some were selected for.
    fn services(&mut self, globals: &Globals, gateways: &[Gateway]) -> (Vec<Candidate<'s>>, BTreeSet<usize>) {
        let Self { snapshot, memo, changes, notes, wanted, .. } = self;
        let snapshot: &'s Snapshot = snapshot;
        let mut units = std::mem::take(&mut memo.services);
        let same = memo.gateways == gateways;
        let mut work = Work::new(snapshot, &memo.facts, globals, changes, gateways, same);
        let mut candidates = Vec::new();
        let mut selected: BTreeSet<usize> = BTreeSet::new();
        let mut last: Option<Arc<TargetSet>> = None;
        let mut entries = of_kind(snapshot, Kind::VirtualService);
        units.update(
            of_kind(snapshot, Kind::VirtualService).map(|(id, _)| id),
            |id, was| {
                let mut known = was.unwrap_or_default();
                // Both iterators walk the same range.
                if let Some((_, entry)) = entries.next() {
                    let found = work.candidate(id, entry, &mut known, notes);
                    if let Some(targets) = found.selected
                        && !last.as_ref().is_some_and(|it| Arc::ptr_eq(it, &targets))
                    {
                        selected.extend(targets.gateways.iter().copied());
                        last = Some(targets);
                    }
                    candidates.extend(found.candidate);
                }
                known
            },
            |_| {},
        );
        // What nobody contested stays so while nobody claims anything else; that some claim less does no harm.
        let same = !work.claims_differ && memo.uncontested.as_deref() == Some(gateways);
        let settled = if same || place::uncontested(&candidates, gateways) {
            if !same {
                memo.uncontested = Some(gateways.to_vec());
            }
            candidates
        } else {
            memo.uncontested = None;
            place::settle(candidates, gateways, snapshot, notes, |candidate| {
                let known = units.get_mut(candidate.id)?;
                known.served = None;
                let mut about = Notes::default();
                work.accepted(candidate.id, candidate.entry, &mut known.units, &mut about)
            })
        };
        for (_, known) in units.iter_mut() {
            known.units.retain(|unit| unit.used);
            wanted.extend(known.units.iter().filter_map(|unit| unit.unit.out.wanted.clone()));
        }
        memo.gateways = gateways.to_vec();
        memo.services = units;
        (settled, selected)
    }

    /// Every resource with what was said about it, located in its file; the last report if it would say the same.
    fn report(&mut self) -> Arc<Report> {
        let notes = std::mem::take(&mut self.notes).into_vec();
        let substituted = std::mem::take(&mut self.substituted);
        let same = !self.changes.said
            && self.memo.noted == notes
            && self.memo.substituted == substituted
            && !notes.iter().any(|note| self.changes.touched.contains(&note.object));
        if same {
            return Arc::clone(&self.memo.report);
        }
        let mut about: BTreeMap<&ObjectRef, Vec<&Note>> = BTreeMap::new();
        for note in &notes {
            about.entry(&note.object).or_default().push(note);
        }
        let objects = self.snapshot.entries.iter().map(|(id, entry)| {
            let notes = if about.is_empty() { None } else { about.get(id) };
            let findings = located(entry, notes.map(Vec::as_slice).unwrap_or_default());
            let using_last_accepted = !substituted.is_empty() && substituted.contains(id);
            (id.clone(), ObjectReport { findings, using_last_accepted })
        });
        let report = Arc::new(Report { objects: objects.collect() });
        (self.memo.noted, self.memo.substituted) = (notes, substituted);
        self.memo.report = Arc::clone(&report);
        report
    }
}

/// The upstreams of users, and those that gateways have of their own.
fn with_own(
    served: &Arc<BTreeMap<Arc<str>, Arc<Upstream>>>,
    gateways: &[Gateway],
) -> Arc<BTreeMap<Arc<str>, Arc<Upstream>>> {
    let mut own = gateways.iter().flat_map(|gateway| &gateway.upstreams).peekable();
    if own.peek().is_none() {
        return Arc::clone(served);
    }
    let mut all = BTreeMap::clone(served);
    all.extend(own.map(|upstream| (Arc::clone(&upstream.name), Arc::clone(upstream))));
    Arc::new(all)
}

fn located(entry: &Entry, notes: &[&Note]) -> Vec<Finding> {
    let mut findings = entry.findings.clone();
    let mut seen = HashSet::new();
    for note in notes {
        let mut hasher = DefaultHasher::new();
        (note.level, &note.path, &note.message).hash(&mut hasher);
        if !seen.insert(hasher.finish()) {
            continue;
        }
        let location = match &entry.object {
            Some(object) => object.locate(&note.path),
            None => entry.location.clone(),
        };
        findings.push(Finding {
            level: note.level,
            path: note.path.clone(),
            message: note.message.clone(),
            location: Some(location),
        });
    }
    findings
}

/// What the translation of VirtualServices needs.
pub(super) struct Work<'a, 's> {
    snapshot: &'s Snapshot,
    facts: &'a Facts,
    globals: &'a Globals,
    changes: &'a Changes,
    gateways: &'a [Gateway],
    targets: Targets,
    /// They are those of the last translation.
    gateways_same: bool,
    /// Labels decide who is served where, so that a change of them may be a new claim.
    labels: bool,
    /// Some virtual service claims something else than in the last translation.
    pub(super) claims_differ: bool,
}

/// What came of one VirtualService.
#[derive(Default)]
pub(super) struct FoundCandidate<'s> {
    /// Gateways that it was selected for, whether it can be served or not.
    selected: Option<Arc<TargetSet>>,
    pub(super) candidate: Option<Candidate<'s>>,
}

impl<'a, 's> Work<'a, 's> {
    pub(super) fn new(
        snapshot: &'s Snapshot,
        facts: &'a Facts,
        globals: &'a Globals,
        changes: &'a Changes,
        gateways: &'a [Gateway],
        gateways_same: bool,
    ) -> Self {
        let labels = gateways.iter().any(|it| matches!(it.selection, gateway::Selection::Labelled { .. }));
        let (targets, claims_differ) = Default::default();
        Self { snapshot, facts, globals, changes, gateways, targets, gateways_same, labels, claims_differ }
    }

    /// The present form, or where that has errors the last accepted one. One that no gateway serves is not looked at.
    pub(super) fn candidate(
        &mut self,
        id: &'s ObjectRef,
        entry: &'s Entry,
        known: &mut ServiceUnits,
        notes: &mut Notes,
    ) -> FoundCandidate<'s> {
        // The rule in an incremental translation: nothing of it changed, nor anything that it could depend on.
        if self.gateways_same
            && !self.changes.beyond_services
            && !self.changes.touched.contains(id)
            && let Some((targets, outs)) = &known.served
        {
            outs.iter().for_each(|out| notes.add_all(&out.notes));
            let (targets, outs) = (Arc::clone(targets), outs.clone());
            let selected = Some(Arc::clone(&targets));
            let candidate = Candidate { id, entry, form: Form::Present, targets, outs };
            return FoundCandidate { selected, candidate: Some(candidate) };
        }
        known.served = None;
        known.units.iter_mut().for_each(|unit| unit.used = false);
        let mut selected = None;
        if let Some(object) = entry.object.as_deref().filter(|_| !entry.rejected()) {
            let Some(targets) = self.targets.of(self.gateways, object) else {
                return FoundCandidate::default();
            };
            selected = Some(Arc::clone(&targets));
            let outs = self.outs(id, Form::Present, &targets, &mut known.units);
            outs.iter().for_each(|out| notes.add_all(&out.notes));
            if !outs.iter().any(|out| out.failed) {
                // Accepted forms may change without a trace in the changes.
                if !known.units.iter().any(|unit| unit.form == Form::Accepted || unit.unit.accepted) {
                    known.served = Some((Arc::clone(&targets), outs.clone()));
                }
                let candidate = Candidate { id, entry, form: Form::Present, targets, outs };
                return FoundCandidate { selected, candidate: Some(candidate) };
            }
        }
        let candidate = self.accepted(id, entry, &mut known.units, notes);
        let selected = selected.or_else(|| candidate.as_ref().map(|it| Arc::clone(&it.targets)));
        FoundCandidate { selected, candidate }
    }

    /// The last accepted form, if it can be served. What it says about itself is old news, what it says about others is
    /// not.
    fn accepted(
        &mut self,
        id: &'s ObjectRef,
        entry: &'s Entry,
        known: &mut Vec<ServiceUnit>,
        notes: &mut Notes,
    ) -> Option<Candidate<'s>> {
        let accepted: &'s Object = &self.snapshot.accepted.get(id)?.object;
        let present = entry.object.as_ref().filter(|_| !entry.rejected());
        if present.is_some_and(|present| present.digest == accepted.digest)
            || !matches!(accepted.spec, Spec::VirtualService(_))
        {
            return None;
        }
        let targets = self.targets.of(self.gateways, accepted)?;
        let outs = self.outs(id, Form::Accepted, &targets, known);
        for note in outs.iter().flat_map(|out| &out.notes).filter(|note| note.object != *id) {
            notes.add(note.clone());
        }
        (!outs.iter().any(|out| out.failed)).then(|| Candidate {
            id,
            entry,
            form: Form::Accepted,
            targets,
            outs,
        })
    }

    /// One result for each target, from memory where it still holds.
    fn outs(
        &mut self,
        id: &ObjectRef,
        form: Form,
        targets: &TargetSet,
        known: &mut Vec<ServiceUnit>,
    ) -> Outs {
        targets.targets.iter().map(|target| self.out(id, form, &target.variant, known)).collect()
    }

    fn out(
        &mut self,
        id: &ObjectRef,
        form: Form,
        variant: &Arc<Variant>,
        known: &mut Vec<ServiceUnit>,
    ) -> Arc<ServiceOut> {
        let at = known
            .iter()
            .position(|it| it.form == form && (Arc::ptr_eq(&it.variant, variant) || it.variant == *variant));
        if let Some(held) = at.and_then(|at| known.get_mut(at))
            && (held.used || held.unit.holds(self.changes, self.snapshot, self.facts))
        {
            held.used = true;
            return Arc::clone(&held.unit.out);
        }
        let was = at.map(|at| known.swap_remove(at));
        let mut cx = Cx::new(self.snapshot, self.facts);
        let out = service::translate(&mut cx, self.globals, id, form, variant);
        let unit = Unit::new(out, cx.finish());
        let out = Arc::clone(&unit.out);
        self.claims_differ |= self.labels || was.is_none_or(|was| place::claims_differ(&was.unit.out, &out));
        known.push(ServiceUnit { form, variant: Arc::clone(variant), unit, used: true });
        out
    }
}
