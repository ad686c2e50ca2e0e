//! `idleTimeout` and `maxStreamDuration`: how long a request may be silent, and how long it may live.

use portcullis_proto::policy::v1 as wire;

use super::{ActionKind, Fit, Found, Levels, Policy};
use crate::ir;
use crate::resource::GoDuration;
use crate::translate::Notes;

/// The policy.
pub struct StreamLimits;

impl Policy for StreamLimits {
    fn option(&self) -> &'static str {
        "maxStreamDuration"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        action.only_forward()
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let mut message = wire::StreamLimits::default();
        if let Some(idle) = levels.in_route("idleTimeout", |options| options.idle_timeout.as_ref()) {
            message.idle_ms = millis(&idle, "", "idleTimeout", Some(*idle.value), notes);
        }
        if let Some(found) =
            levels.in_route("maxStreamDuration", |options| options.max_stream_duration.as_ref())
        {
            let value = found.value;
            let mut read = |field: &str, value| millis(&found, &format!(".{field}"), field, value, notes);
            message.max_ms = read("maxStreamDuration", value.max_stream_duration);
            message.grpc_timeout_max_ms = read("grpcTimeoutHeaderMax", value.grpc_timeout_header_max);
            message.grpc_timeout_offset_ms =
                read("grpcTimeoutHeaderOffset", value.grpc_timeout_header_offset).unwrap_or(0);
        }
        (message != wire::StreamLimits::default()).then(|| super::wire(&message))
    }
}

fn millis<T>(
    found: &Found<'_, T>,
    field: &str,
    name: &str,
    value: Option<GoDuration>,
    notes: &mut Notes,
) -> Option<u64> {
    let value = value?;
    if value.to_millis().is_none() {
        found.error(notes, field, format!("{name}: {value} is negative"));
    }
    value.to_millis()
}
