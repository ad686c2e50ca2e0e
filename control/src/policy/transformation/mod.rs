//! `stagedTransformations` and `transformations`: what is done with headers and bodies, before and after
//! authentication.
//!
//! The most specific level that has any replaces the others as a whole, both stages together; `inheritTransformation`
//! on a route puts the lists of the route that delegates to it, or of the virtual host, after its own. Every template
//! and every expression is compiled here, by the code that workers run.

mod lower;
mod template;

#[cfg(test)]
mod tests;

use portcullis_proto::policy::v1 as wire;

use super::{Found, Levels, Policy};
use crate::ir;
use crate::resource::{RequestResponseTransformations, TransformationStages, Transformations};
use crate::translate::Notes;

/// The policy of the stage before authentication.
pub struct Early;

/// The policy of the stage after it.
pub struct Regular;

impl Policy for Early {
    fn option(&self) -> &'static str {
        STAGED
    }

    fn on_destinations(&self) -> bool {
        true
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let stage = stage(levels, Stage::Early, notes)?;
        Some(super::wire(&wire::EarlyTransformation { stage: Some(stage) }))
    }
}

impl Policy for Regular {
    fn option(&self) -> &'static str {
        STAGED
    }

    fn on_destinations(&self) -> bool {
        true
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let stage = stage(levels, Stage::Regular, notes)?;
        Some(super::wire(&wire::Transformation { stage: Some(stage) }))
    }
}

const STAGED: &str = "stagedTransformations";
const OLD: &str = "transformations";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Early,
    Regular,
}

/// What a level says, in both forms.
#[derive(Default)]
struct Said<'s> {
    staged: Option<Found<'s, TransformationStages>>,
    old: Option<Found<'s, Transformations>>,
}

impl Said<'_> {
    fn any(&self) -> bool {
        self.staged.is_some() || self.old.is_some()
    }
}

/// A stage as it acts on these levels. Without lists it switches off what a less specific level has.
fn stage(levels: &Levels<'_, '_>, stage: Stage, notes: &mut Notes) -> Option<wire::TransformationStage> {
    if levels.destination.is_some() {
        let said = Said {
            staged: levels.in_destination(STAGED, |options| options.staged_transformations.as_ref()),
            old: levels.in_destination(OLD, |options| options.transformations.as_ref()),
        };
        if !said.any() {
            return None;
        }
        // What is wrong with the other levels is said where they are lowered.
        let hidden = || of_route(levels, stage, &mut Notes::default()).is_some();
        let own = lists(&said, &[], stage, notes);
        return own.or_else(|| hidden().then(wire::TransformationStage::default));
    }
    of_route(levels, stage, notes)
}

fn of_route(levels: &Levels<'_, '_>, stage: Stage, notes: &mut Notes) -> Option<wire::TransformationStage> {
    let host = || Said {
        staged: levels.in_host(STAGED, |options| options.staged_transformations.as_ref()),
        old: levels.in_host(OLD, |options| options.transformations.as_ref()),
    };
    let route = Said {
        staged: levels.in_route(STAGED, |options| options.staged_transformations.as_ref()),
        old: levels.in_route(OLD, |options| options.transformations.as_ref()),
    };
    match route.any() {
        true => lists(&route, &inherited(levels), stage, notes),
        false => lists(&host(), &[], stage, notes),
    }
}

/// What follows a route's own lists: those of the routes that delegate to it, as far up as each of them inherits, and
/// then the virtual host's.
fn inherited<'s>(levels: &Levels<'_, 's>) -> Vec<Found<'s, TransformationStages>> {
    let mut list = Vec::new();
    let mut depth = usize::MAX;
    loop {
        let Some((at, found)) = levels.route_below(STAGED, depth, |it| it.staged_transformations.as_ref())
        else {
            return list;
        };
        let inherits = found.value.inherit_transformation;
        // The first is the route's own.
        if depth != usize::MAX {
            list.push(found);
        }
        if !inherits {
            return list;
        }
        if at == 0 {
            list.extend(levels.in_host(STAGED, |options| options.staged_transformations.as_ref()));
            return list;
        }
        depth = at;
    }
}

fn lists(
    own: &Said<'_>,
    inherited: &[Found<'_, TransformationStages>],
    stage: Stage,
    notes: &mut Notes,
) -> Option<wire::TransformationStage> {
    let mut message = wire::TransformationStage::default();
    let mut add = |found: &Found<'_, TransformationStages>, notes: &mut Notes| {
        let (list, field) = in_stage(found.value, stage);
        if let Some(list) = list {
            let defaults = lower::Defaults::of(found.value);
            lower::lists(found, field, list, defaults, &mut message, notes);
        }
    };
    for found in own.staged.iter().chain(inherited) {
        add(found, notes);
    }
    let has_regular = own.staged.as_ref().is_some_and(|found| found.value.regular.is_some());
    match &own.old {
        Some(old) if stage == Stage::Regular && !has_regular => {
            // It is this level's own, so that it comes before what is inherited.
            let mut first = wire::TransformationStage::default();
            lower::old(old, &mut first, notes);
            first.requests.append(&mut message.requests);
            message.requests = first.requests;
        }
        Some(old) if stage == Stage::Regular => {
            old.warning(
                notes,
                "",
                "`stagedTransformations.regular` counts and `transformations` is left out",
            );
        }
        _ => {}
    }
    (message != wire::TransformationStage::default()).then_some(message)
}

fn in_stage(
    stages: &TransformationStages,
    stage: Stage,
) -> (Option<&RequestResponseTransformations>, &'static str) {
    match stage {
        Stage::Early => (stages.early.as_ref(), ".early"),
        Stage::Regular => (stages.regular.as_ref(), ".regular"),
    }
}
