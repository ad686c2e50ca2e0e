//! The last translation with some virtual hosts in other forms: what an edit of a route comes to, at the cost of the edit.
//!
//! Only for edits of VirtualServices that go on claiming what they claimed, are served where they were served, and about
//! which nothing was or is to be said. Everything else is translated in full from the memo, which gives the same.

use std::sync::Arc;

use super::build::{Build, Work};
use super::memo::ServiceUnits;
use super::notes::Notes;
use super::place::{Candidate, Outs, TargetSet};
use super::service::Form;
use super::{Translated, assemble};
use crate::resource::{Kind, ObjectRef};

impl<'s> Build<'s, '_> {
    /// The new translation, if it is of this kind.
    pub(super) fn patch(&mut self) -> Option<Translated> {
        let memo = &mut *self.memo;
        let same_namespace = memo.own_namespace.as_ref() == Some(&self.snapshot.own_namespace);
        let said_of = |note: &super::Note| self.changes.touched.contains(&note.object);
        if self.changes.said
            || self.changes.beyond_services
            || !same_namespace
            || memo.uncontested.as_ref() != Some(&memo.gateways)
            || memo.noted.iter().any(said_of)
        {
            return None;
        }
        let mut last = memo.last.take()?;
        let mut services = std::mem::take(&mut memo.services);
        let globals = memo.globals.clone();
        let mut work = Work::new(self.snapshot, &memo.facts, &globals, &self.changes, &memo.gateways, true);
        let edited = self.changes.touched.iter().filter(|id| id.kind == Kind::VirtualService);
        let candidates: Option<Vec<Candidate<'s>>> =
            edited.map(|id| candidate(&mut work, self.snapshot, id, services.get_mut(id)?)).collect();
        let uncontested = !work.claims_differ;
        memo.services = services;
        let patched = candidates.filter(|_| uncontested).filter(|candidates| {
            let ir = Arc::make_mut(&mut last.ir);
            candidates.iter().all(|candidate| assemble::replace(&mut ir.proxies, candidate))
        });
        if patched.is_none() {
            // The units are new and their claims were not compared with everybody's.
            memo.uncontested = None;
            return None;
        }
        memo.last = Some(last.clone());
        Some(last)
    }
}

/// The new form of a VirtualService, if it takes the place of the former without further consequences.
fn candidate<'s>(
    work: &mut Work<'_, 's>,
    snapshot: &'s super::Snapshot,
    id: &ObjectRef,
    known: &mut ServiceUnits,
) -> Option<Candidate<'s>> {
    let (id, entry) = snapshot.entries.get_key_value(id)?;
    let (targets, outs) = known.served.clone()?;
    let mut notes = Notes::default();
    let found = work.candidate(id, entry, known, &mut notes).candidate?;
    known.units.retain(|unit| unit.used);
    let same = found.form == Form::Present
        && known.served.is_some()
        && alike(&targets, &found.targets)
        && outs.len() == found.outs.len()
        && outs.iter().zip(&found.outs).all(|(was, is)| was.wanted == is.wanted)
        && silent(&outs)
        && silent(&found.outs);
    same.then_some(found)
}

fn alike(was: &TargetSet, is: &TargetSet) -> bool {
    // Of the same gateways, so that equal positions are equal targets.
    was.gateways == is.gateways
}

fn silent(outs: &Outs) -> bool {
    outs.iter().all(|out| out.notes.is_empty() && out.substituted.is_empty())
}
