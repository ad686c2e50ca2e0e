//! Upstreams and UpstreamGroups: each its own unit, translated before the routes that use them.

use std::sync::Arc;

use super::cx::{Cx, GroupFact, Lookup};
use super::globals::Globals;
use super::notes::{Note, Notes};
use super::route::{Destinations, origin, wire_name};
use crate::ir::{self, CertificateSource};
use crate::policy::{self, Layer, Levels};
use crate::resource::{Object, ObjectRef, Spec, UpstreamGroup};
use crate::upstream::{self, Lowered};

/// Facts of key material, for those who need nothing else of a snapshot.
pub trait SecretReader {
    /// The facts of one source.
    fn secret(&mut self, source: &CertificateSource) -> Option<super::SecretFacts>;
}

impl SecretReader for Cx<'_> {
    fn secret(&mut self, source: &CertificateSource) -> Option<super::SecretFacts> {
        Cx::secret(self, source).cloned()
    }
}

/// The result for one Upstream.
#[derive(Debug, Clone, Default)]
pub struct UpstreamOut {
    /// `None` = rejected, and no accepted form can stand in.
    pub lowered: Option<(Arc<ir::Upstream>, super::DynamicUpstream)>,
    pub notes: Vec<Note>,
    pub substituted: bool,
}

/// The result for one UpstreamGroup.
#[derive(Debug, Clone)]
pub struct GroupOut {
    /// `None` = rejected, or its members have options, so that routes hold their own copy.
    pub split: Option<Arc<ir::Split>>,
    pub fact: GroupFact,
    pub notes: Vec<Note>,
    pub substituted: bool,
}

/// Translates an Upstream, in its last accepted form where the present one has errors.
pub fn upstream(cx: &mut Cx<'_>, globals: &Globals, id: &ObjectRef) -> UpstreamOut {
    let name = wire_name(id);
    let mut out = UpstreamOut::default();
    let mut said: Option<Vec<Note>> = None;
    while let Lookup::Found(object) = cx.object(id) {
        let Spec::Upstream(spec) = &object.spec else {
            break;
        };
        let mut notes = Notes::default();
        let breakers = globals.circuit_breakers.as_ref();
        let lowered = upstream::lower(object, spec, Arc::clone(&name), breakers, cx, &mut notes);
        let failed = notes.any_fatal();
        said.get_or_insert(notes.into_vec());
        if !failed {
            out.lowered = lowered.map(|Lowered { upstream, dynamic, pace }| {
                let name = Arc::clone(&name);
                (Arc::new(upstream), super::DynamicUpstream { name, hosts: dynamic, pace })
            });
        }
        out.substituted = !failed && cx.substituted().next().is_some();
        if !failed || cx.substituted().next().is_some() || !cx.has_other_form(id) {
            break;
        }
        cx.again_with(&[id.clone()].into());
    }
    out.notes = said.unwrap_or_default();
    out
}

/// Translates an UpstreamGroup, in its last accepted form where that has fewer errors.
pub fn group(cx: &mut Cx<'_>, globals: &Globals, id: &ObjectRef) -> GroupOut {
    let present = group_form(cx, globals, id);
    let substituted = cx.substituted().next().is_some();
    let wrong = present
        .as_ref()
        .is_none_or(|(_, notes)| notes.iter().any(|note| note.level == crate::resource::Level::Error));
    if wrong && !substituted && cx.has_other_form(id) {
        cx.again_with(&[id.clone()].into());
        let accepted = group_form(cx, globals, id);
        let better = |(made, notes): &(Option<Made>, Notes)| made.is_some() && !notes.any_fatal();
        if accepted.as_ref().is_some_and(better) {
            let (made, _) = accepted.unwrap_or_default();
            let notes = present.map(|(_, notes)| notes.into_vec()).unwrap_or_default();
            return finish(made, notes, true);
        }
    }
    let (made, notes) = present.unwrap_or_default();
    finish(made, notes.into_vec(), substituted)
}

struct Made {
    split: ir::Split,
    inline: bool,
    missing: Vec<ObjectRef>,
}

fn finish(made: Option<Made>, notes: Vec<Note>, substituted: bool) -> GroupOut {
    let Some(made) = made else {
        let fact = GroupFact { served: false, inline: false, accepted: false, missing: Vec::new() };
        return GroupOut { split: None, fact, notes, substituted: false };
    };
    GroupOut {
        fact: GroupFact { served: true, inline: made.inline, accepted: substituted, missing: made.missing },
        split: (!made.inline).then(|| Arc::new(made.split)),
        notes,
        substituted,
    }
}

fn group_form(cx: &mut Cx<'_>, globals: &Globals, id: &ObjectRef) -> Option<(Option<Made>, Notes)> {
    let Lookup::Found(object) = cx.object(id) else {
        return None;
    };
    let Spec::UpstreamGroup(group) = &object.spec else {
        return None;
    };
    let mut notes = Notes::default();
    let made = members(cx, globals, object, group, &mut notes);
    Some((made, notes))
}

fn members<'s>(
    cx: &mut Cx<'s>,
    globals: &Globals,
    object: &'s Object,
    group: &UpstreamGroup,
    notes: &mut Notes,
) -> Option<Made> {
    let owner = &object.id;
    let mut destinations = Vec::with_capacity(group.destinations.len());
    let mut missing = Vec::new();
    for (at, weighted) in group.destinations.iter().enumerate() {
        let path = format!("spec.destinations[{at}]");
        let Some(destination) = &weighted.destination else {
            notes.error(owner, path, format!("destination # {}: a destination is needed", at + 1));
            continue;
        };
        if let Some(options) = &weighted.options {
            let layer = Layer { options, owner, path: format!("{path}.options").into(), depth: 0 };
            let levels = Levels {
                host: &[],
                route: &[],
                destination: Some(&layer),
                most_specific_headers_win: false,
                servers: &globals.servers,
                host_name: "",
                route_at: 0,
            };
            policy::of_destination(&levels, notes);
        }
        let mut about = Notes::default();
        let mut resolver = Destinations::new(owner, cx, globals, &mut about);
        let path = format!("{path}.destination");
        let member = resolver.member(&path, destination, weighted.weight.unwrap_or(0));
        let lost = std::mem::take(&mut resolver.missing_ids);
        if !lost.is_empty() {
            // The rest of the group is served; this member answers 503, or what replaces invalid routes.
            let text = format!("destination # {}: upstream not found", at + 1);
            notes.complaint(owner, format!("{path}.upstream"), text);
        }
        missing.extend(lost);
        for note in about.into_vec().into_iter().filter(|note| note.fatal) {
            notes.add(note);
        }
        destinations.extend(member);
    }
    let total: u64 = destinations.iter().map(|it: &ir::Destination| u64::from(it.weight)).sum();
    if destinations.is_empty() {
        notes.error(owner, "spec.destinations", "must specify at least one weighted destination");
    } else if total == 0 {
        notes.error(owner, "spec.destinations", "the total weight of the destinations must be above 0");
    } else if total > u64::from(u32::MAX) {
        notes.error(owner, "spec.destinations", format!("the total weight {total} is too large"));
    }
    let has_options = |it: &crate::resource::WeightedDestination| {
        it.options
            .as_ref()
            .is_some_and(|options| *options != crate::resource::WeightedDestinationOptions::default())
    };
    let inline = group.destinations.iter().any(has_options);
    let split = ir::Split { name: wire_name(owner), origin: origin(owner), destinations };
    (!notes.any_fatal()).then_some(Made { split, inline, missing })
}
