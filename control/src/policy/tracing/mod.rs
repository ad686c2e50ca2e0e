//! `tracing`: how a route's requests show in traces.

use portcullis_proto::policy::v1 as wire;

use super::{Levels, Policy};
use crate::ir;
use crate::resource::TracePercentages;
use crate::translate::Notes;

/// The policy.
pub struct Tracing;

impl Policy for Tracing {
    fn option(&self) -> &'static str {
        "tracing"
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let found = levels.in_route("tracing", |options| options.tracing.as_ref())?;
        // A route that says anything of traces says everything: what it leaves out is 100 %, as in Gloo.
        let [client, random, overall] =
            shares(found.value.trace_percentages.as_ref(), &mut |field, problem| {
                found.error(notes, &format!(".tracePercentages.{field}"), problem);
            });
        let message = wire::Tracing {
            descriptor: found.value.route_descriptor.clone(),
            no_propagation: found.value.propagate == Some(false),
            shares: Some(wire::tracing::Shares { client, random, overall }),
        };
        Some(super::wire(&message))
    }
}

/// Client, random and overall share in parts of 10,000. `wrong` gets what is no percentage, with its field.
pub(super) fn shares(
    percentages: Option<&TracePercentages>,
    wrong: &mut dyn FnMut(&str, String),
) -> [u32; 3] {
    let of = |get: fn(&TracePercentages) -> Option<f32>| percentages.and_then(get).unwrap_or(100.0);
    [
        ("clientSamplePercentage", of(|it| it.client_sample_percentage)),
        ("randomSamplePercentage", of(|it| it.random_sample_percentage)),
        ("overallSamplePercentage", of(|it| it.overall_sample_percentage)),
    ]
    .map(|(field, percent)| {
        if !(0.0..=100.0).contains(&percent) {
            wrong(field, format!("a number from 0 to 100 is needed, found {percent}"));
            return 0;
        }
        (percent * 100.0).round() as u32
    })
}
