//! `healthCheck` of listeners: the gateway answers for itself on one path.

use portcullis_proto::policy::v1 as wire;

use super::{Layer, Policy};
use crate::ir;
use crate::resource::HttpListenerOptions;
use crate::translate::{Globals, Notes};

/// The policy.
pub struct HealthCheck;

impl Policy for HealthCheck {
    fn option(&self) -> &'static str {
        "healthCheck"
    }

    fn lower_listener(
        &self,
        options: &Layer<'_, HttpListenerOptions>,
        _globals: &Globals,
        notes: &mut Notes,
    ) -> Option<ir::Policy> {
        let check = options.field("healthCheck", |options| options.health_check.as_ref())?;
        let path = check.value.path.clone();
        if !path.starts_with('/') {
            check.error(notes, ".path", format!("healthCheck: the path [{path}] must begin with /"));
            return None;
        }
        Some(super::wire(&wire::HealthCheck { path }))
    }
}
