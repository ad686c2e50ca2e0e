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
        let timeout = levels.in_route("timeout", |options| options.timeout.as_ref());
        let millis = timeout.as_ref().map(|it| it.value.to_millis());
        if let (Some(timeout), Some(None)) = (&timeout, millis) {
            timeout.error(notes, "", format!("timeout: {} is negative", timeout.value));
            return None;
        }
        // As in Envoy, it takes the place of the other limit, the default of 15 s included.
        let instead = levels.in_route("maxStreamDuration", |options| options.max_stream_duration.as_ref());
        let total_ms = if instead.is_some() { 0 } else { millis.flatten()? };
        Some(super::wire(&wire::Timeout { total_ms }))
    }
}
