//! `tracing`: how a route's requests show in traces.

use portcullis_proto::policy::v1 as wire;

use super::{Levels, Policy};
use crate::ir;
use crate::translate::Notes;

/// The policy.
pub struct Tracing;

impl Policy for Tracing {
    fn option(&self) -> &'static str {
        "tracing"
    }

    fn lower(&self, levels: &Levels<'_, '_>, _notes: &mut Notes) -> Option<ir::Policy> {
        let found = levels.in_route("tracing", |options| options.tracing.as_ref())?;
        let message = wire::Tracing {
            descriptor: found.value.route_descriptor.clone(),
            no_propagation: found.value.propagate == Some(false),
        };
        (message != wire::Tracing::default()).then(|| super::wire(&message))
    }
}
