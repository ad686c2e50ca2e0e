//! `envoyMetadata`: what users note on a route.

use portcullis_proto::policy::v1 as wire;
use serde_json::Value;

use super::{Levels, Policy};
use crate::ir;
use crate::translate::Notes;

/// The policy.
pub struct Metadata;

impl Policy for Metadata {
    fn option(&self) -> &'static str {
        "envoyMetadata"
    }

    fn lower(&self, levels: &Levels<'_, '_>, _notes: &mut Notes) -> Option<ir::Policy> {
        let found = levels.in_route("envoyMetadata", |options| options.envoy_metadata.as_ref())?;
        let namespaces = found.value.iter().map(|(name, fields)| wire::MetadataNamespace {
            name: name.clone(),
            json: Value::Object(fields.clone()).to_string(),
        });
        let message = wire::Metadata { namespaces: namespaces.collect() };
        (message != wire::Metadata::default()).then(|| super::wire(&message))
    }
}
