//! `timeout`: the limit of the whole exchange, retries included.

use portcullis_proto::policy::v1 as wire;

use super::{ActionKind, Fit, Levels, Policy};
use crate::ir;
use crate::translate::Notes;

/// The policy.
pub struct Timeout;

impl Policy for Timeout {
    fn option(&self) -> &'static str {
        "timeout"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        action.only_forward()
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        // As in Envoy, where the one limit takes the place of the other, the default of 15 s included.
        let instead = levels.in_route("maxStreamDuration", |options| options.max_stream_duration.as_ref());
        let Some(timeout) = levels.in_route("timeout", |options| options.timeout.as_ref()) else {
            return instead.map(|_| super::wire(&wire::Timeout { total_ms: 0 }));
        };
        let Some(total_ms) = timeout.value.to_millis() else {
            timeout.error(notes, "", format!("timeout: {} is negative", timeout.value));
            return None;
        };
        Some(super::wire(&wire::Timeout { total_ms }))
    }
}
